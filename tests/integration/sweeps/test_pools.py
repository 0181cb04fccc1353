"""Where the parts of a sweep run: processes of one machine, Ray, a Dask cluster, and a worker of it that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect import ExecutionStatus

from .conftest import HERE, Surroundings
from .test_run_nested import FINISHED, parent_of, starts

pytestmark = [pytest.mark.prefect, pytest.mark.slow]


def outcome(process: subprocess.Popen[str], seconds: float = 300) -> list[Any]:
    """What the whole returned, from the last line that its process printed."""
    out, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, out[-5000:]
    runs: list[Any] = json.loads(out.strip().splitlines()[-1])
    return runs


def await_start(notes: Path, number: int, seconds: float = 120) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for start in starts(notes):
            if start["number"] == number:
                return start
        time.sleep(0.05)
    raise AssertionError(f"part {number} did not start within {seconds} s")


@pytest.fixture
def dask(surroundings: Surroundings, tmp_path: Path) -> Iterator[str]:
    """Address of a Dask cluster: a scheduler, and two workers of two threads that stay dead when they are killed."""
    place = tmp_path / "scheduler.json"
    quiet = {"DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "error"}
    started = [
        surroundings.start(
            *("-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"),
            *("--scheduler-file", str(place)),
            more=quiet,
        )
    ]
    try:
        deadline = time.monotonic() + 60
        while not place.exists():
            assert time.monotonic() < deadline, "the Dask scheduler did not start"
            time.sleep(0.1)
        for _ in range(2):
            worker = ("-m", "distributed.cli.dask_worker", "--scheduler-file", str(place), "--no-nanny")
            more = ("--nthreads", "2", "--no-dashboard", "--local-directory", str(tmp_path))
            started.append(surroundings.start(*worker, *more, more=quiet))
        yield json.loads(place.read_text())["address"]
    finally:
        for process in started:
            process.kill()
            process.communicate()


def test_parts_in_processes_of_their_own(surroundings: Surroundings) -> None:
    process = surroundings.start(str(HERE / "sweep_flows.py"), "4", "--how", "processes", "--at-once", "2")
    runs = outcome(process)
    assert [result for _, _, _, _, result in runs] == [0, 1, 4, 9]
    assert {status for _, _, status, _, _ in runs} == {FINISHED}
    where = {start["pid"] for start in starts(surroundings.notes)}
    assert process.pid not in where
    assert len(where) == 2


def test_parts_on_ray(surroundings: Surroundings) -> None:
    """On a Ray of the test's own; where the extra `ray` is installed."""
    pytest.importorskip("prefect_ray")
    more = {"RAY_USAGE_STATS_ENABLED": "0"}
    process = surroundings.start(str(HERE / "sweep_flows.py"), "4", "--how", "ray", "--at-once", "2", more=more)
    runs = outcome(process)
    assert [result for _, _, _, _, result in runs] == [0, 1, 4, 9]
    assert {status for _, _, status, _, _ in runs} == {FINISHED}
    assert process.pid not in {start["pid"] for start in starts(surroundings.notes)}


@pytest.mark.workers
def test_twenty_parts_on_dask_with_one_worker_killed(surroundings: Surroundings, dask: str) -> None:
    """What the worker was at work on is begun again elsewhere, once; everything else is untouched."""
    process = surroundings.start(str(HERE / "sweep_flows.py"), "20", "--how", dask, "--at-once", "4", "--wait", "5")
    first = await_start(surroundings.notes, 5)
    os.kill(first["pid"], signal.SIGKILL)
    (surroundings.notes / "go").touch()
    runs = outcome(process)

    assert [(sequence, status) for sequence, _, status, _, _ in runs] == [(n, FINISHED) for n in range(20)]
    ml = surroundings.ml
    kept = {rid for _, rid, _, _, _ in runs}
    (parent,) = {parent_of(ml, rid) for rid in kept}
    lost = [part for part in ml.lookup_execution(parent).list_execution_children() if part.execution_rid not in kept]
    # the worker had two threads, each with one part whose code was running
    assert 1 <= len(lost) <= 2
    assert first["rid"] in {part.execution_rid for part in lost}
    for part in lost:
        assert part.status is ExecutionStatus.Aborted
        assert str(part.status_detail).removeprefix("superseded by ") in kept
    # no code ran a second time but that of the lost ones; one of them may have died before its first line
    began = starts(surroundings.notes)
    assert 20 < len(began) <= 20 + len(lost)
    assert len({start["rid"] for start in began}) == len(began)
    for number, rid, _, _, _ in runs:
        files = [asset.filename for asset in ml.lookup_execution(rid).list_assets("Output")]
        assert f"part-{number}.txt" in files
