"""Two machines on one network folder, as two processes: other boots, other names, and locks that say nothing."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.catalog.files import FileSpec
from deriva_ml_prefect.exceptions import DerivaMLOwnershipError
from deriva_ml_prefect.journal import ownership, store
from deriva_ml_prefect.journal.store import close_journals, open_journal
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases import run
from deriva_ml_prefect.phases.seal import seal_outputs
from deriva_ml_prefect.values.status import ExecutionStatus

Begin = Callable[..., Execution]
Fork = Callable[[Callable[[], None]], Any]
WaitFor = Callable[[Callable[[], Any]], Any]
RowsOf = Callable[[Execution], dict[str, list[dict[str, Any]]]]
S = ExecutionStatus


def become(machine: str, patch: pytest.MonkeyPatch) -> None:
    """This process is on a machine of that name, whose locks on the shared folder nobody else sees."""
    patch.setattr(ownership, "_boot", lambda: f"boot of {machine}")
    patch.setattr(socket, "gethostname", lambda: machine)
    patch.setattr(fcntl, "lockf", lambda *_: None)
    for place in (ownership, store):
        patch.setattr(place, "is_on_network", lambda _: True)
    close_journals()


@pytest.fixture
def on_machine() -> Callable[[str], None]:
    """Make a forked child a process of another machine."""
    return lambda name: become(name, pytest.MonkeyPatch())


def writes_of(
    exe: Execution, subjects: tuple[str, ...], folder: Path, waiting: Any, logged: Any
) -> dict[str, Callable[[], Any]]:
    """Every way in which the owner of an execution writes something of it."""
    score = exe.ml.feature_record_class("Subject", "Score")
    (folder / "told.txt").write_text("told")
    return {
        "register a file": lambda: exe.asset_file_path("Image", "after.png"),
        "describe a file": lambda: waiting.set_metadata("Camera", "B"),
        "give a file types": lambda: waiting.set_asset_types(["Derived"]),
        "unregister a file": lambda: waiting.unregister(),
        "open a metrics file": lambda: exe.metrics_file("late.jsonl"),
        "log a metric": lambda: logged(),
        "stage features": lambda: exe.add_features([score(Subject=subjects[1], Score=0.5)]),
        "give a message": lambda: exe.update_status(S.Running, "still here"),
        "stop": exe.execution_stop,
        "fail": lambda: run.fail(exe.context, ValueError("late")),
        "abort": exe.abort,
        "seal": lambda: seal_outputs(exe.context),
        "upload": exe.upload_execution_outputs,
        "make a dataset": lambda: exe.create_dataset([], description="late"),
        "add files": lambda: exe.add_files(FileSpec.create_filespecs(folder, "late")),
        "add a part": lambda: exe.add_nested_execution(exe.execution_rid),
    }


def test_owner_that_slept_through_a_takeover_is_refused_whatever_it_writes(
    begin: Begin,
    ml: DerivaML,
    fork: Fork,
    on_machine: Callable[[str], None],
    quick: float,
    tmp_path: Path,
    subjects: tuple[str, ...],
    wait_for: WaitFor,
    rows_of: RowsOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Refused by name while the owner gives signs; taken over when it has missed three; the sleeper writes nothing."""
    ready, go_on, told = tmp_path / "ready", tmp_path / "go on", tmp_path / "told"

    def sleeper() -> None:
        on_machine("node1")
        exe = begin()
        exe.execution_start()
        waiting = exe.asset_file_path("Image", "before.png", Camera="A")
        waiting.write_bytes(b"before of " + exe.execution_rid.encode())
        exe.log_metrics({"loss": 1.0})
        attempts = writes_of(exe, subjects, tmp_path, waiting, lambda: exe.log_metrics({"loss": 0.5}))
        ready.write_text(exe.execution_rid)
        wait_for(go_on.exists)
        found = {}
        for name, attempt in attempts.items():
            try:
                attempt()
                found[name] = "done"
            except Exception as e:  # noqa: BLE001 - what it is, is what the test looks at
                found[name] = f"{type(e).__name__}: {e}"
        told.write_text(json.dumps(found))

    process = fork(sleeper)
    rid = wait_for(lambda: ready.exists() and ready.read_text())
    become("node2", monkeypatch)
    time.sleep(4 * quick)
    with pytest.raises(DerivaMLOwnershipError, match=f"owned by process {process.pid} on node1, since"):
        ml.resume_execution(rid)
    os.kill(process.pid, signal.SIGSTOP)
    folder = ml.working_dir / "executions" / rid
    began = time.monotonic()
    wait_for(lambda: not ownership.owner_of(folder).alive)  # type: ignore[union-attr]
    assert time.monotonic() - began < 10 * quick
    taken = ml.resume_execution(rid)
    taken.update_status(S.Pending_Upload, "of node2")
    journal, manifest = open_journal(ml.working_dir), folder / "asset-manifest.json"
    before = list(journal.connection.iterdump()), manifest.read_text(), _staged(folder), _row(taken)

    os.kill(process.pid, signal.SIGCONT)
    go_on.touch()
    wait_for(told.exists)
    assert process.wait() == 0
    found = json.loads(told.read_text())
    assert [name for name, how in found.items() if "taken over by another process" not in how] == []
    assert _untimed(list(journal.connection.iterdump())) == _untimed(before[0])
    assert (manifest.read_text(), _staged(folder), _row(taken)) == before[1:]
    taken.upload_execution_outputs(retry_delay=0)
    rows = rows_of(taken)
    assert rows["Execution"][0]["Status"] == "Uploaded"
    assert [row["Filename"] for row in rows["Image"]] == ["before.png"]


def _row(exe: Execution) -> Any:
    record = exe.ml.lookup_execution(exe.execution_rid)
    return record.status, record.status_detail


def _staged(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.glob("staged/*/*"))}


def _untimed(lines: list[str]) -> list[str]:
    """A journal but for the leases, which are of no execution."""
    return [line for line in lines if "execution_state__leases" not in line]


def test_step_that_was_recorded_before_the_sleep_does_not_undo_the_new_owners(
    begin: Begin, ml: DerivaML, fork: Fork, on_machine: Callable[[str], None], quick: float, tmp_path: Path,
    wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It slept between its journal and its swap; awake, it finds another status, and leaves the journal alone."""
    ready, go_on, told = tmp_path / "ready", tmp_path / "go on", tmp_path / "told"

    def sleeper() -> None:
        on_machine("node1")
        exe = begin()
        exe.execution_start()
        from deriva_ml_prefect.catalog import executions

        swap = executions.swap_status

        def late(*args: Any, **values: Any) -> bool:
            if args[3] is S.Stopped:
                ready.write_text(exe.execution_rid)
                wait_for(go_on.exists)
            return swap(*args, **values)

        executions.swap_status = late
        try:
            exe.execution_stop()
            told.write_text("done")
        except DerivaMLOwnershipError as e:
            told.write_text(str(e))

    process = fork(sleeper)
    rid = wait_for(lambda: ready.exists() and ready.read_text())
    os.kill(process.pid, signal.SIGSTOP)
    become("node2", monkeypatch)
    folder = ml.working_dir / "executions" / rid
    wait_for(lambda: not ownership.owner_of(folder).alive)  # type: ignore[union-attr]
    taken = ml.resume_execution(rid)
    assert taken.status is S.Stopped
    taken.update_status(S.Pending_Upload, "of node2")
    journal = open_journal(ml.working_dir)
    before = list(journal.connection.iterdump())
    os.kill(process.pid, signal.SIGCONT)
    go_on.touch()
    wait_for(told.exists)
    assert process.wait() == 0
    assert "taken over by another process" in told.read_text()
    assert list(journal.connection.iterdump()) == before
    assert _row(taken) == (S.Pending_Upload, "of node2")


def test_it_may_come_back_when_the_other_has_ended(
    begin: Begin, ml: DerivaML, fork: Fork, on_machine: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook whose machine slept: `resume_execution` in the same process asks for the ownership anew."""
    become("node1", monkeypatch)
    exe = begin()
    exe.execution_start()
    exe.asset_file_path("Image", "mine.png").write_bytes(b"mine of " + exe.execution_rid.encode())

    def other() -> None:
        on_machine("node2")
        os.utime(exe.context.folder / ownership.NOTE_NAME, (0, 0))
        theirs = ml.resume_execution(exe.execution_rid)
        theirs.update_status(S.Running, "of node2")
        ownership.release(theirs.context.folder)

    assert fork(other).wait() == 0
    with pytest.raises(DerivaMLOwnershipError, match="taken over by another process"):
        exe.update_status(S.Running, "mine")
    again = ml.resume_execution(exe.execution_rid)
    again.upload_execution_outputs(retry_delay=0)
    assert again.status is S.Uploaded
