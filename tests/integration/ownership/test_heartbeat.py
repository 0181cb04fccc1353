"""Signs of life: the row's RMT moves while an owner lives, and stops with it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.catalog import executions
from deriva_ml_prefect.catalog.connection import catalog_for
from deriva_ml_prefect.journal import ownership
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases import heartbeat
from deriva_ml_prefect.values.status import ExecutionStatus

Begin = Callable[..., Execution]
WaitFor = Callable[[Callable[[], Any]], Any]


def row(exe: Execution) -> Any:
    found = executions.read_execution(catalog_for(exe.context.address), exe.execution_rid)
    assert found is not None
    return found


@pytest.fixture(autouse=True)
def _released(ml: DerivaML) -> Iterator[None]:
    """What a test owned is given back, so that the thread has nothing of it any more."""
    yield
    for folder in list(heartbeat._pulses):
        ownership.release(folder)


def test_row_moves_while_the_main_thread_is_blocked(begin: Begin, quick: float, wait_for: WaitFor) -> None:
    exe = begin()
    exe.update_status("Running", "told by the run")
    first = row(exe)
    time.sleep(5 * quick)
    later = row(exe)
    assert later.modified > first.modified
    assert (later.status, later.status_detail) == (ExecutionStatus.Running, "told by the run")
    wait_for(lambda: row(exe).modified > later.modified)
    ownership.release(exe.context.folder)
    time.sleep(2 * quick)
    still = row(exe).modified
    time.sleep(4 * quick)
    assert row(exe).modified == still


def test_message_is_never_set_back(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs and messages at the same time: the last message stays."""
    monkeypatch.setenv("DERIVA_ML_HEARTBEAT", "0.001")
    exe = begin()
    exe.execution_start()
    for number in range(60):
        exe.update_status("Running", f"step {number}")
        assert row(exe).status_detail == f"step {number}"


def test_settled_execution_gets_no_signs(begin: Begin, quick: float) -> None:
    exe = begin()
    with contextlib.suppress(ZeroDivisionError), exe:
        1 / 0  # noqa: B018
    modified = row(exe).modified
    time.sleep(5 * quick)
    assert row(exe).modified == modified
    assert ownership.owns(exe.context.folder)


@pytest.mark.parametrize("why", ["dry run", "switched off"])
def test_no_thread_where_no_signs_are_due(begin: Begin, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    if why == "switched off":
        monkeypatch.setenv("DERIVA_ML_HEARTBEAT", "0")
    exe = begin(dry_run=why == "dry run")
    exe.execution_start()
    assert exe.context.folder not in heartbeat._pulses


def test_execution_shorter_than_a_minute_sends_nothing(begin: Begin) -> None:
    """Twelve requests are what an execution may cost beside its metadata; signs add none to a short one."""
    exe = begin()
    client = catalog_for(exe.context.address).client
    before = client.requests
    exe.execution_start()
    exe.execution_stop()
    assert client.requests - before == 2


def test_forked_child_gives_no_signs(
    begin: Begin, quick: float, fork: Callable[[Callable[[], None]], Any], wait_for: WaitFor
) -> None:
    exe = begin()
    exe.execution_start()
    wait_for(lambda: heartbeat._thread is not None)

    def child() -> None:
        assert heartbeat._thread is None
        assert not heartbeat._pulses
        assert not [thread for thread in threading.enumerate() if thread.name == "deriva-ml heartbeat"]
        time.sleep(5 * quick)
        assert not heartbeat._pulses

    # many forks while the thread is at work: none of them may find a lock held
    for _ in range(3):
        assert fork(child).wait(20) == 0
    before = row(exe).modified
    wait_for(lambda: row(exe).modified > before)


def test_catalog_that_is_away_is_no_trouble(
    begin: Begin, quick: float, home: Path, wait_for: WaitFor, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("DERIVA_ML_TIMEOUT", "0.5")
    exe = begin()
    exe.execution_start()
    server = int(json.loads((home / "embedded" / "server.json").read_text())["pid"])
    os.kill(server, signal.SIGSTOP)
    try:
        time.sleep(6 * quick)
    finally:
        os.kill(server, signal.SIGCONT)
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []
    before = row(exe).modified
    wait_for(lambda: row(exe).modified > before)


def test_trouble_is_told_once(begin: Begin, quick: float, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody else has changed the status: that is logged, and nothing is written over it."""
    exe = begin()
    exe.execution_start()
    catalog = catalog_for(exe.context.address)
    assert executions.swap_status(
        catalog, exe.execution_rid, ExecutionStatus.Running, ExecutionStatus.Aborted, "by another"
    )
    time.sleep(6 * quick)
    told = [record.message for record in caplog.records if "gives no sign of life" in record.message]
    assert len(told) == 1
    assert "somebody else has changed its status from Running" in told[0]
    assert (row(exe).status, row(exe).status_detail) == (ExecutionStatus.Aborted, "by another")


def test_thread_does_not_keep_the_process_alive(ml: DerivaML, home: Path) -> None:
    import subprocess

    code = (
        "from deriva_ml_prefect import DerivaML, ExecutionConfiguration\n"
        f"ml = DerivaML('embedded', {ml.catalog_id!r})\n"
        "exe = ml.create_execution(ExecutionConfiguration(workflow=ml.create_workflow('W', 'Training', '')))\n"
        "exe.execution_start()\n"
        "raise SystemExit(7)\n"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "DERIVA_ML_HOME": str(home), "DERIVA_ML_HEARTBEAT": "30"},
        cwd=home, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 7, done.stderr
    assert time.monotonic() - began < 25
