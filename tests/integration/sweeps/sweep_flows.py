"""Flows of the tests of sweeps: in a module of their own, so that every worker can import them."""

from __future__ import annotations

import argparse
import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

from deriva_ml_prefect import Execution, deriva_execution, run_nested


def note_start(number: int, rid: str) -> None:
    """Leave a note that a part's code starts, and where."""
    note = Path(os.environ["NOTES"]) / f"{number}.{uuid.uuid4().hex[:8]}.tmp"
    note.write_text(json.dumps({"number": number, "pid": os.getpid(), "rid": rid}))
    note.rename(note.with_suffix(".json"))


@deriva_execution(workflow_type="Training", name="part")
def part(number: int, execution: Execution, wrong: tuple[int, ...] = (), wait: tuple[int, ...] = ()) -> int:
    """Write a file; fail if the number is among `wrong`; wait for ever if it is among `wait` and no `go` is there."""
    note_start(number, execution.execution_rid)
    execution.asset_file_path("Execution_Asset", f"part-{number}.txt").write_text(f"{number} {uuid.uuid4()}")
    if number in wrong:
        raise ValueError(f"part {number} cannot be computed")
    while number in wait and not (Path(os.environ["NOTES"]) / "go").exists():
        time.sleep(0.05)
    return number * number


def all_parts(count: int, how: str = "", at_once: int = 4, strict: bool = True, **shared: Any) -> list[Any]:
    """In an execution: `count` parts on threads, processes, a Ray cluster here, or the Dask cluster at `how`."""
    runner: Any = None
    if how == "processes":
        from prefect.task_runners import ProcessPoolTaskRunner

        runner = ProcessPoolTaskRunner(max_workers=at_once)
    elif how == "ray":
        from prefect_ray import RayTaskRunner

        # a Ray of this process, with two workers and no pages
        runner = RayTaskRunner(init_kwargs={"num_cpus": 2, "include_dashboard": False})
    elif how:
        from prefect_dask import DaskTaskRunner

        runner = DaskTaskRunner(address=how)
    parts = [{"number": number, **shared} for number in range(count)]
    runs = run_nested(part, parts, max_at_once=at_once, task_runner=runner, raise_on_failure=strict)
    return [[run.sequence, run.execution_rid, str(run.status), run.error, run.result] for run in runs]


@deriva_execution(workflow_type="Training", name="whole")
def whole(
    count: int,
    how: str = "",
    at_once: int = 4,
    strict: bool = True,
    wrong: tuple[int, ...] = (),
    wait: tuple[int, ...] = (),
    break_off: bool = False,
) -> list[Any]:
    runs = all_parts(count, how, at_once, strict, wrong=wrong, wait=wait)
    if break_off and not (Path(os.environ["NOTES"]) / "go").exists():
        raise RuntimeError("the whole is broken off")
    return runs


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int)
    parser.add_argument("--how", default="")
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--wait", type=int, nargs="*", default=())
    options = parser.parse_args()
    import sweep_flows

    print(json.dumps(sweep_flows.whole(options.count, options.how, options.at_once, wait=tuple(options.wait))))
