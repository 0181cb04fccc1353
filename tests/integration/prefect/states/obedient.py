"""A training that does as its test asks: it waits, raises, pauses, is suspended, or dies."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from uuid import UUID

from prefect import runtime, task
from prefect.flow_runs import pause_flow_run, suspend_flow_run

from deriva_ml_prefect import Execution, deriva_execution

FOLDER = Path(os.environ.get("STATES_FOLDER", "."))
CATALOG = os.environ.get("STATES_CATALOG", "embedded/lab")


@task
def step() -> None:
    """Something that Prefect can stop before."""


def act_out(execution: Execution, act: str) -> str:
    run_id = runtime.flow_run.root_flow_run_id or runtime.flow_run.id
    begun = FOLDER / f"{run_id}.begun"
    with begun.open("a") as stream:
        stream.write(f"{execution.execution_rid}\n")
    (FOLDER / f"{run_id}.pid").write_text(str(os.getpid()))
    times = len(begun.read_text().split())
    execution.asset_file_path("Execution_Asset", f"weights-{run_id}.txt").write_text(f"weights {times}")
    match act:
        case "wait":
            wait(run_id)
        case "raise":
            raise ValueError("the loss is not finite")
        case "raise-once" if times == 1:
            raise ValueError("the loss is not finite")
        case "raise-and-wait":
            if times == 1:
                raise ValueError("the loss is not finite")
            wait(run_id)
        case "pause":
            pause_flow_run(timeout=300, poll_interval=1)
        case "suspend" if times == 1:
            suspend_flow_run(flow_run_id=UUID(runtime.flow_run.root_flow_run_id))
            step()
            raise AssertionError("the task was not to begin")
        case "suspend-wrongly":
            suspend_flow_run()
        case "exit-0":
            sys.exit(0)
        case "exit-3":
            sys.exit(3)
        case "generator-exit":
            raise GeneratorExit
        case "kill" if times == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        case "large":
            with execution.asset_file_path("Execution_Asset", f"large-{run_id}.bin").open("wb") as stream:
                stream.truncate(300_000_000)
            wait(run_id)
        case "no-report":
            path = execution.asset_file_path("Execution_Asset", f"report-{run_id}.txt")
            (FOLDER / f"{run_id}.report").write_text(str(path))
    print(f"the code of {run_id} comes to its end", flush=True)
    with (FOLDER / f"{run_id}.ended").open("a") as stream:
        stream.write(f"{execution.execution_rid}\n")
    return execution.execution_rid


def wait(run_id: str) -> None:
    for _ in range(3000):
        if (FOLDER / f"{run_id}.go").exists():
            return
        time.sleep(0.1)
    raise TimeoutError("nobody said that it may go on")


@deriva_execution(catalog=CATALOG, workflow_type="Training", name="obedient")
def train(execution: Execution, act: str = "train") -> str:
    """Do as asked."""
    return act_out(execution, act)


@deriva_execution(catalog=CATALOG, workflow_type="Training", name="insistent", retries=1, retry_delay_seconds=4)
def train_again(execution: Execution, act: str = "raise-once") -> str:
    """The same, with one repetition."""
    return act_out(execution, act)


if __name__ == "__main__":
    print("RESULT", train(act=sys.argv[1]), flush=True)
