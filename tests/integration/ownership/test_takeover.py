"""One owner: who is refused, who may take over, and what a stale owner may still do."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.catalog import executions
from deriva_ml_prefect.catalog.connection import catalog_for
from deriva_ml_prefect.exceptions import DerivaMLOwnershipError, InvalidTransitionError
from deriva_ml_prefect.journal import ownership
from deriva_ml_prefect.journal.ownership import read_owner, write_owner
from deriva_ml_prefect.journal.store import open_journal
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases.advance import advance
from deriva_ml_prefect.values.status import ExecutionStatus

Begin = Callable[..., Execution]
Fork = Callable[[Callable[[], None]], Any]
WaitFor = Callable[[Callable[[], Any]], Any]
S = ExecutionStatus


def other_machine(folder: Path, **changes: Any) -> None:
    """Make the note say that another machine took the execution just now."""
    note = json.loads((folder / ownership.NOTE_NAME).read_text())
    note |= {"host": "node17", "boot": "of another machine", "pid": 4711, "token": "theirs", "heartbeat": 60}
    note.pop("ended", None)
    (folder / ownership.NOTE_NAME).write_text(json.dumps(note | changes))


def make_older(folder: Path, seconds: float) -> None:
    stamp = time.time() - seconds
    os.utime(folder / ownership.NOTE_NAME, (stamp, stamp))


def test_second_machine_is_refused_by_name(begin: Begin, ml: DerivaML) -> None:
    exe = begin()
    exe.execution_start()
    ownership.release(exe.context.folder)
    other_machine(exe.context.folder)
    for attempt in (lambda: ml.resume_execution(exe.rid), lambda: exe.update_status(S.Running, "mine")):
        with pytest.raises(DerivaMLOwnershipError, match=r"owned by process 4711 on node17, since .* another machine"):
            attempt()
    assert not ownership.owns(exe.context.folder)
    owner = ownership.owner_of(exe.context.folder)
    assert owner is not None
    assert (owner.alive, owner.elsewhere, owner.host) == (True, True, "node17")
    make_older(exe.context.folder, 179)
    with pytest.raises(DerivaMLOwnershipError, match="180 s after its last sign"):
        ml.resume_execution(exe.rid)
    make_older(exe.context.folder, 185)
    owner = ownership.owner_of(exe.context.folder)
    assert owner is not None
    assert not owner.alive
    assert ml.resume_execution(exe.rid).status is S.Running


def test_other_machine_without_signs_has_to_be_given_up_by_hand(begin: Begin, ml: DerivaML) -> None:
    exe = begin()
    ownership.release(exe.context.folder)
    other_machine(exe.context.folder, heartbeat=0)
    make_older(exe.context.folder, 86_400)
    with pytest.raises(DerivaMLOwnershipError, match=r"delete .*owner\.json"):
        ml.resume_execution(exe.rid)
    (exe.context.folder / ownership.NOTE_NAME).unlink()
    assert ml.resume_execution(exe.rid).status is S.Created


def test_other_machine_that_ended_in_order_is_no_hindrance(begin: Begin, ml: DerivaML) -> None:
    exe = begin()
    ownership.release(exe.context.folder)
    other_machine(exe.context.folder, ended="2026-01-01T00:00:00+00:00")
    assert ml.resume_execution(exe.rid).status is S.Created


def test_other_container_of_this_machine_is_told_by_the_lock(begin: Begin, ml: DerivaML) -> None:
    """Its host name is another one, but the lock counts at once: it was killed and runs again elsewhere."""
    exe = begin()
    note = json.loads((exe.context.folder / ownership.NOTE_NAME).read_text())
    if note["boot"] is None:
        pytest.fail("this system does not name its boot; the rule cannot be tested here")
    ownership.release(exe.context.folder)
    other_machine(exe.context.folder, boot=note["boot"], host="container-1")
    assert ml.resume_execution(exe.rid).status is S.Created


def test_owner_that_stands_still_is_alive(
    begin: Begin, ml: DerivaML, fork: Fork, tmp_path: Path, wait_for: WaitFor
) -> None:
    ready, go_on, done = tmp_path / "ready", tmp_path / "go on", tmp_path / "done"

    def child() -> None:
        exe = begin()
        exe.execution_start()
        ready.write_text(exe.execution_rid)
        wait_for(go_on.exists)
        exe.update_status(S.Running, "awake again")
        done.touch()

    process = fork(child)
    rid = wait_for(lambda: ready.exists() and ready.read_text())
    os.kill(process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(DerivaMLOwnershipError, match=f"process {process.pid} on .* is alive"):
            ml.resume_execution(rid)
    finally:
        os.kill(process.pid, signal.SIGCONT)
    go_on.touch()
    wait_for(done.exists)
    assert process.wait() == 0
    assert ml.lookup_execution(rid).status_detail == "awake again"


def test_stale_owner_that_wakes_up_is_refused(
    begin: Begin, ml: DerivaML, fork: Fork, tmp_path: Path, wait_for: WaitFor
) -> None:
    """Asleep while another machine took over (its token is in the journal): no write of it comes through."""
    ready, go_on, told = tmp_path / "ready", tmp_path / "go on", tmp_path / "told"

    def child() -> None:
        exe = begin()
        exe.execution_start()
        registered = exe.asset_file_path("Image", "before.png")
        registered.write_bytes(b"before")
        ready.write_text(exe.execution_rid)
        wait_for(go_on.exists)
        refused = []
        for attempt in (
            lambda: exe.asset_file_path("Image", "after.png"),
            lambda: exe.update_status(S.Running, "still here"),
            exe.execution_stop,
            exe.upload_execution_outputs,
        ):
            try:
                attempt()
            except DerivaMLOwnershipError as e:
                refused.append(str(e))
        told.write_text(json.dumps(refused))

    process = fork(child)
    rid = wait_for(lambda: ready.exists() and ready.read_text())
    os.kill(process.pid, signal.SIGSTOP)
    journal = open_journal(ml.working_dir)
    write_owner(journal, rid, "of the machine that took over")
    assert executions.swap_status(catalog_for(ml.address), rid, S.Running, S.Pending_Upload, "taken over")
    go_on.touch()
    os.kill(process.pid, signal.SIGCONT)
    wait_for(told.exists)
    assert process.wait() == 0
    refused = json.loads(told.read_text())
    assert len(refused) == 4
    assert all("taken over by another process" in message for message in refused)
    record = ml.lookup_execution(rid)
    assert (record.status, record.status_detail) == (S.Pending_Upload, "taken over")


def test_swap_in_the_catalog_refuses_where_the_journal_knows_nothing(begin: Begin, ml: DerivaML) -> None:
    """A journal of its own on each side: only the catalog can tell."""
    exe = begin()
    exe.execution_start()
    assert executions.swap_status(catalog_for(ml.address), exe.rid, S.Running, S.Failed, "by another")
    with pytest.raises(DerivaMLOwnershipError, match="somebody else has made it Failed"):
        exe.execution_stop()
    record = ml.lookup_execution(exe.rid)
    assert (record.status, record.status_detail) == (S.Failed, "by another")


def test_illegal_edge_takes_no_ownership(begin: Begin, ml: DerivaML) -> None:
    exe = begin()
    ownership.release(exe.context.folder)
    with pytest.raises(InvalidTransitionError):
        advance(exe.context, S.Uploaded)
    assert not ownership.owns(exe.context.folder)
    advance(exe.context, S.Running)
    assert ownership.owns(exe.context.folder)
    assert read_owner(open_journal(ml.working_dir), exe.rid) == ownership.held_token(exe.context.folder)


def test_edge_is_checked_against_what_the_owner_before_wrote(begin: Begin, ml: DerivaML) -> None:
    """Looking at the status and writing it is one step: nothing fits in between."""
    exe = begin()
    exe.execution_start()
    journal = open_journal(ml.working_dir)
    seen: list[bool] = []
    original = journal.row

    def row(query: str, **values: Any) -> Any:
        if query == "select_execution":
            seen.append(journal.connection.in_transaction)
        return original(query, **values)

    journal.row = row  # type: ignore[method-assign]
    try:
        exe.update_status(S.Running, "message")
    finally:
        journal.row = original  # type: ignore[method-assign]
    assert seen[0] is True
