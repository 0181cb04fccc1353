"""Crash and resume: the two scenarios of the chapter, with processes that are really killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import (
    DerivaMLAttemptError,
    DerivaMLNotFoundError,
    DerivaMLOwnershipError,
    InvalidTransitionError,
)
from deriva_ml_prefect.journal import ownership
from deriva_ml_prefect.journal.executions import list_executions, mark_registered
from deriva_ml_prefect.journal.store import Journal, open_journal
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases import recover
from deriva_ml_prefect.phases.abort import abort
from deriva_ml_prefect.phases.context import entry_of
from deriva_ml_prefect.values.status import ExecutionStatus, Outcome

Fork = Callable[[Callable[[], None]], Any]
RowsOf = Callable[[Execution], dict[str, list[dict[str, Any]]]]
S = ExecutionStatus


def wait_for(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("it never happened")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def only_rid(ml: DerivaML) -> str:
    (entry,) = list_executions(open_journal(ml.working_dir))
    return entry.rid


def status_on_disk(ml: DerivaML) -> str | None:
    """Status of the newest execution, read as another process reads the journal."""
    path = ml.working_dir / "journal.db"
    if not path.exists():
        return None
    with contextlib.closing(sqlite3.connect(path)) as connection, contextlib.suppress(sqlite3.OperationalError):
        row = connection.execute("SELECT status FROM execution_state__executions").fetchone()
        return row[0] if row else None
    return None


def stage_everything(ml: DerivaML, exe: Execution, subjects: tuple[str, ...]) -> None:
    outline, score = (ml.feature_record_class("Subject", name) for name in ("Outline", "Score"))
    mask = exe.asset_file_path("Mask", "mask.png")
    mask.write_bytes(b"mask")
    for i in range(5):
        exe.asset_file_path("Image", f"{i}.png", description=f"picture {i}").write_bytes(bytes([i]) * 50_000)
    exe.add_features([outline(Subject=subjects[0], Mask=mask)])
    exe.add_features([score(Subject=rid, Score=i / 3) for i, rid in enumerate(subjects)])


def check_everything(rows: dict[str, list[dict[str, Any]]], subjects: tuple[str, ...]) -> None:
    """Nothing lost, nothing twice."""
    assert sorted(row["Filename"] for row in rows["Image"]) == [f"{i}.png" for i in range(5)]
    assert len(rows["Image_Execution"]) == 5
    assert [row["Mask"] for row in rows["Execution_Subject_Outline"]] == [rows["Mask"][0]["RID"]]
    assert sorted(row["Subject"] for row in rows["Execution_Subject_Score"]) == sorted(subjects)
    names = [row["Filename"] for row in rows["Execution_Metadata"]]
    assert len([name for name in names if name.startswith("deriva-ml-run-")]) == 1
    assert rows["Execution"][0]["Status"] == "Uploaded"


def test_scenario_a_error_in_the_block(
    ml: DerivaML, workflow: Workflow, subjects: tuple[str, ...], fork: Fork, rows_of: RowsOf
) -> None:
    def child() -> None:
        with contextlib.suppress(MemoryError), ml.create_execution(ExecutionSpec(workflow=workflow)) as exe:
            stage_everything(ml, exe, subjects)
            raise MemoryError("training went too far")

    assert fork(child).wait() == 0
    exe = ml.resume_execution(only_rid(ml))
    assert exe.status is S.Failed
    assert "Execution_Subject_Score" not in rows_of(exe)
    exe.upload_execution_outputs()
    check_everything(rows_of(exe), subjects)
    assert entry_of(exe.context).outcome is Outcome.failed


def test_scenario_b_killed_in_the_block(
    ml: DerivaML, workflow: Workflow, subjects: tuple[str, ...], fork: Fork, rows_of: RowsOf
) -> None:
    def child() -> None:
        with ml.create_execution(ExecutionSpec(workflow=workflow)) as exe:
            stage_everything(ml, exe, subjects)
            die()

    assert fork(child).wait() == -signal.SIGKILL
    rid = only_rid(ml)
    assert ml.lookup_execution(rid).status is S.Running
    assert [item.rid for item in recover.find_interrupted(ml.address)] == [rid]
    exe = ml.resume_execution(rid)
    assert exe.status is S.Running
    with pytest.raises(DerivaMLAttemptError), exe:
        pytest.fail("the code ran a second time")
    assert exe.status is S.Running
    with pytest.raises(InvalidTransitionError):
        exe.update_status(S.Uploaded)
    exe.update_status(S.Pending_Upload)
    assert ml.lookup_execution(rid).status is S.Pending_Upload
    exe.upload_execution_outputs()
    check_everything(rows_of(exe), subjects)
    assert entry_of(exe.context).outcome is Outcome.killed
    assert ml.summarize_execution(rid).outcome == "killed"
    assert recover.find_interrupted(ml.address) == []


def test_killed_run_that_is_given_up(ml: DerivaML, workflow: Workflow, fork: Fork) -> None:
    def child() -> None:
        with ml.create_execution(ExecutionSpec(workflow=workflow)):
            die()

    fork(child).wait()
    abort(ml.address, only_rid(ml), "not worth it")
    record = ml.lookup_execution(only_rid(ml))
    assert (record.status, record.status_detail) == (S.Aborted, "not worth it")


def test_killed_during_the_upload(
    ml: DerivaML, workflow: Workflow, subjects: tuple[str, ...], home: Path, fork: Fork, rows_of: RowsOf
) -> None:
    """The server stands still while the child is killed, so that the child dies waiting for an answer."""
    server = int(json.loads((home / "embedded" / "server.json").read_text())["pid"])

    def child() -> None:
        with ml.create_execution(ExecutionSpec(workflow=workflow)) as exe:
            stage_everything(ml, exe, subjects)
        exe.upload_execution_outputs(chunk_size=10_000)

    running = fork(child)
    wait_for(lambda: status_on_disk(ml) == "Pending_Upload")
    os.kill(server, signal.SIGSTOP)
    try:
        running.kill()
    finally:
        os.kill(server, signal.SIGCONT)
    exe = ml.resume_execution(only_rid(ml))
    assert exe.status in (S.Pending_Upload, S.Stopped)
    exe.upload_execution_outputs()
    check_everything(rows_of(exe), subjects)
    assert entry_of(exe.context).outcome is Outcome.completed


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_boundaries_of_the_upload(
    ml: DerivaML,
    workflow: Workflow,
    subjects: tuple[str, ...],
    fork: Fork,
    rows_of: RowsOf,
    boundary: Any,
    seed: int,
) -> None:
    """Killed again and again, each time some boundaries further: one resume after the other ends it."""
    exe = ml.create_execution(ExecutionSpec(workflow=workflow))
    with exe:
        stage_everything(ml, exe, subjects)
    ownership.release(exe.context.folder)
    kills = 0

    def child(number: int) -> None:
        again = ml.resume_execution(exe.execution_rid)
        boundary(number).install()
        again.upload_execution_outputs(chunk_size=20_000, retry_delay=0)

    for number in (3 + seed, 9 + 2 * seed, 15 + 3 * seed, 25 + 4 * seed, 40 + seed, 60 + seed, 80 + seed):
        status = fork(lambda number=number: child(number)).wait()
        assert status in (0, 99)
        kills += status == 99
    assert kills >= 3
    again = ml.resume_execution(exe.execution_rid)
    again.upload_execution_outputs()
    check_everything(rows_of(again), subjects)


def test_second_process_is_refused_by_name(ml: DerivaML, workflow: Workflow, fork: Fork, tmp_path: Path) -> None:
    ready = tmp_path / "ready"

    def child() -> None:
        with ml.create_execution(ExecutionSpec(workflow=workflow)) as exe:
            exe.asset_file_path("Image", "owned.png").write_bytes(b"owned")
            ready.write_text(exe.execution_rid)
            time.sleep(60)

    first = fork(child)
    rid = wait_for(lambda: ready.exists() and ready.read_text())
    assert recover.find_interrupted(ml.address) == []
    for attempt in (ml.resume_execution, lambda rid: abort(ml.address, rid)):
        with pytest.raises(DerivaMLOwnershipError, match=f"owned by process {first.pid} on "):
            attempt(rid)
    assert ml.lookup_execution(rid).status is S.Running
    first.kill()
    exe = ml.resume_execution(rid)
    assert exe.status is S.Running
    exe.upload_execution_outputs()
    assert ml.lookup_execution(rid).status is S.Uploaded


def test_stale_owner_is_refused_at_its_next_write(ml: DerivaML, workflow: Workflow) -> None:
    """The token in the journal is somebody else's now, whatever the lock says."""
    exe = ml.create_execution(ExecutionSpec(workflow=workflow))
    exe.execution_start()
    journal = open_journal(ml.working_dir)
    journal.write("write_owner", rid=exe.execution_rid, owner="another process")
    with pytest.raises(DerivaMLOwnershipError, match="taken over by another process"):
        exe.update_status(S.Running, "still here")
    assert ml.lookup_execution(exe.execution_rid).status_detail != "still here"


def test_unsent_status_is_sent_by_the_resume(ml: DerivaML, workflow: Workflow, fork: Fork, home: Path) -> None:
    """Killed between the journal's commit and the catalog's: the journal is ahead by one step."""
    exe = ml.create_execution(ExecutionSpec(workflow=workflow))
    exe.execution_start()
    ownership.release(exe.context.folder)
    journal = open_journal(ml.working_dir)
    token = entry_of(exe.context).owner
    journal.write("write_status", rid=exe.execution_rid, status="Stopped", detail="done", owner=token)
    journal.write("append_history", rid=exe.execution_rid, status="Stopped", detail="done", sent=0)
    assert ml.lookup_execution(exe.execution_rid).status is S.Running
    assert ml.resume_execution(exe.execution_rid).status is S.Stopped
    record = ml.lookup_execution(exe.execution_rid)
    assert (record.status, record.status_detail) == (S.Stopped, "done")


def test_answer_lost_after_the_status_was_written(ml: DerivaML, workflow: Workflow) -> None:
    exe = ml.create_execution(ExecutionSpec(workflow=workflow))
    exe.update_status(S.Running, "told")
    journal = open_journal(ml.working_dir)
    mark_registered(journal, exe.execution_rid, "Created")
    journal.connection.execute("UPDATE execution_state__status_history SET sent = 0 WHERE status = 'Running'")
    resumed = ml.resume_execution(exe.execution_rid)
    assert resumed.status is S.Running
    resumed.update_status(S.Stopped)
    assert ml.lookup_execution(exe.execution_rid).status is S.Stopped


def test_what_cannot_be_resumed_is_named(ml: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DerivaMLNotFoundError, match="does not know execution 1-GONE"):
        ml.resume_execution("1-GONE")
    exe = ml.create_execution(ExecutionSpec(workflow=workflow))
    with pytest.raises(DerivaMLNotFoundError):
        ml.resume_execution("1-GONE")
    assert ml.resume_execution(exe.execution_rid).status is S.Created


def test_killed_while_the_record_of_the_run_is_written(ml: DerivaML, workflow: Workflow, fork: Fork) -> None:
    """At each commit of the journal around the end of the upload, none of which may leave a file without its bytes."""
    for commit in range(1, 60):
        exe = ml.create_execution(ExecutionSpec(workflow=workflow))
        with exe:
            pass
        ownership.release(exe.context.folder)

        def child(exe: Execution = exe, commit: int = commit) -> None:
            again = ml.resume_execution(exe.execution_rid)
            transaction, seen = Journal.transaction, [0]

            @contextlib.contextmanager
            def counted(journal: Journal) -> Iterator[None]:
                with transaction(journal):
                    yield
                seen[0] += journal.depth == 0
                if seen[0] == commit:
                    die()

            Journal.transaction = counted  # type: ignore[method-assign]
            again.upload_execution_outputs()

        status = fork(child).wait()
        ml.resume_execution(exe.execution_rid).upload_execution_outputs()
        names = [str(a.filename) for a in ml.summarize_execution(exe.execution_rid).output_assets]
        assert len([name for name in names if name.startswith("deriva-ml-run-")]) == 1, f"commit {commit}"
        if status == 0:
            return
    raise AssertionError("the upload never ended")
