"""Who looks for interrupted executions is not stopped by one: others may look too, take it, or have changed it."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.catalog.rows import delete_rows
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLAttemptError, DerivaMLOfflineError
from deriva_ml_prefect.journal import executions, ownership
from deriva_ml_prefect.journal.executions import Entry
from deriva_ml_prefect.journal.store import open_journal
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases import recover, supersede
from deriva_ml_prefect.phases.abort import abort
from deriva_ml_prefect.phases.begin import Request, begin_execution
from deriva_ml_prefect.phases.context import Context
from deriva_ml_prefect.phases.left import Left, find_left, go_on_with
from deriva_ml_prefect.phases.run import run_user_code
from deriva_ml_prefect.values.status import ExecutionStatus

Begin = Callable[..., Execution]
Fork = Callable[[Callable[[], None]], Any]
S = ExecutionStatus


@pytest.fixture
def dead(begin: Begin, fork: Fork, tmp_path: Path) -> Callable[[], str]:
    """RID of an execution whose process was killed while its code ran."""

    def make() -> str:
        told = tmp_path / "rid"

        def killed() -> None:
            exe = begin()
            exe.execution_start()
            told.write_text(exe.rid)
            os.kill(os.getpid(), signal.SIGKILL)

        assert fork(killed).wait() == -signal.SIGKILL
        return told.read_text()

    return make


@contextmanager
def then(act: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Somebody else is quicker: `act` happens between the first look at an owner and what is done about it."""
    look, acted = ownership.owner_of, []

    def slow(folder: Path) -> Any:
        found = look(folder)
        if not acted:
            acted.append(act())
        return found

    with monkeypatch.context() as patch:
        patch.setattr(recover.ownership, "owner_of", slow)
        yield
    assert acted


def test_another_process_takes_it_between_the_look_and_the_note(
    dead: Callable[[], str], ml: DerivaML, fork: Fork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rid, done = dead(), tmp_path / "done"
    taken: list[Any] = []

    def take() -> None:
        ml.resume_execution(rid)
        (tmp_path / "taken").touch()
        while not done.exists():
            os.sched_yield()

    def taking() -> None:
        taken.append(fork(take))
        while not (tmp_path / "taken").exists():
            os.sched_yield()

    with then(taking, monkeypatch):
        assert not recover.note_lost_owner(ml.address, rid)
    assert not (ml.lookup_execution(rid).status_detail or "").startswith("owner lost")
    done.touch()
    assert taken[0].wait() == 0


def test_it_was_finished_between_the_look_and_the_note(
    dead: Callable[[], str], ml: DerivaML, fork: Fork, monkeypatch: pytest.MonkeyPatch
) -> None:
    rid = dead()

    def finish() -> None:
        assert fork(lambda: ml.resume_execution(rid).upload_execution_outputs() and None).wait() == 0

    with then(finish, monkeypatch):
        assert not recover.note_lost_owner(ml.address, rid)
    assert ml.lookup_execution(rid).status is S.Uploaded


def test_one_that_is_no_longer_in_the_catalog_does_not_hide_the_others(
    dead: Callable[[], str], ml: DerivaML, caplog: pytest.LogCaptureFixture
) -> None:
    kept, gone = dead(), dead()
    for path in (f"deriva-ml:Execution_Metadata_Execution/Execution={gone}", f"deriva-ml:Execution/RID={gone}"):
        delete_rows(ml._catalog, path)
    assert kept in [item.rid for item in ml.find_interrupted()]
    assert (ml.lookup_execution(kept).status_detail or "").startswith("owner lost")
    assert any(gone in message and "deleted its row" in message for message in caplog.messages)


def test_another_process_goes_on_with_it_between_the_look_and_the_hold(
    dead: Callable[[], str], begin: Begin, fork: Fork, monkeypatch: pytest.MonkeyPatch
) -> None:
    rid = dead()
    take = supersede.hold_to_look

    def slow(context: Context, entry: Entry) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(supersede, "hold_to_look", take)
            assert fork(lambda: begin(continues=rid) and None).wait() == 0
        take(context, entry)

    monkeypatch.setattr(supersede, "hold_to_look", slow)
    with pytest.raises(DerivaMLAttemptError, match=f"Execution {rid} is continued by .* already"):
        begin(continues=rid)
    assert not ownership.owns(begin().context.folder.with_name(rid))


def test_a_flow_run_whose_execution_was_given_up_keeps_nothing_of_it(ml: DerivaML, workflow: Workflow) -> None:
    request = Request(ml.address, ExecutionSpec(workflow=workflow), flow_run_id=str(uuid.uuid4()))
    context = begin_execution(request)
    ownership.release(context.folder)
    abort(ml.address, context.rid)
    with pytest.raises(DerivaMLAttemptError, match="was given up"):
        begin_execution(request)
    assert not ownership.owns(context.folder)


@pytest.mark.parametrize("step", ["begin.upload_metadata", "download._fetch_assets"])
def test_an_execution_that_could_not_begin_is_nobodys(
    step: str, ml: DerivaML, begin: Begin, fork: Fork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its catalog went away in the middle: another process may begin it, or give it up, while this one lives on."""

    def away(*_: Any) -> None:
        raise DerivaMLOfflineError("away")

    with monkeypatch.context() as patch:
        patch.setattr(f"deriva_ml_prefect.phases.{step}", away)
        with pytest.raises(DerivaMLOfflineError):
            begin()
    (found,) = ml.find_interrupted()
    assert fork(lambda: abort(ml.address, found.rid) and None).wait() == 0
    assert ml.lookup_execution(found.rid).status is S.Aborted


@pytest.mark.parametrize("step", ["_resolve", "upload_metadata"])
def test_a_flow_run_that_cannot_begin_anew_keeps_nothing_of_what_it_left(
    step: str, ml: DerivaML, workflow: Workflow, fork: Fork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its code did not finish, and the catalog is away when a new execution is to run it again."""
    request = Request(ml.address, ExecutionSpec(workflow=workflow), flow_run_id=str(uuid.uuid4()))
    context = begin_execution(request)
    with pytest.raises(ZeroDivisionError):
        run_user_code(context, lambda _: 1 / 0)
    ownership.release(context.folder)

    def away(*_: Any) -> None:
        raise DerivaMLOfflineError("away")

    with monkeypatch.context() as patch:
        patch.setattr(f"deriva_ml_prefect.phases.begin.{step}", away)
        with pytest.raises(DerivaMLOfflineError):
            begin_execution(request)
    assert not ownership.owns(context.folder)
    assert fork(lambda: abort(ml.address, context.rid) and None).wait() == 0


def test_what_a_flow_run_left_is_found_behind_a_thousand_newer_ones(ml: DerivaML, workflow: Workflow) -> None:
    request = Request(ml.address, ExecutionSpec(workflow=workflow), flow_run_id=str(uuid.uuid4()))
    context = begin_execution(request)
    run_user_code(context, lambda _: None)
    again = str(uuid.uuid4())
    go_on_with(ml.address, Left(context.rid, ()), again)
    journal = open_journal(context.workspace)
    with journal.transaction():
        for number in range(1000):
            executions.add_execution(
                journal, f"9-{number}", address={}, workflow_rid=None, description="", configuration={}
            )
    assert Left(context.rid, (str(request.flow_run_id), again)) in find_left(ml.address)
