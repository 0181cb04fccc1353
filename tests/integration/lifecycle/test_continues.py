"""A plain script begun again after its process was killed: `continues=` goes on from the checkpoints, linked."""

from __future__ import annotations

import logging
import os
import signal
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import (
    DerivaMLAttemptError,
    DerivaMLInvalidTerm,
    DerivaMLNotFoundError,
    DerivaMLOwnershipError,
    DerivaMLValidationError,
)
from deriva_ml_prefect.journal import executions as journal_executions
from deriva_ml_prefect.journal.executions import Entry
from deriva_ml_prefect.journal.store import open_journal
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases.begin import Request, begin_execution
from deriva_ml_prefect.phases.run import run_user_code
from deriva_ml_prefect.values.status import ExecutionStatus, Outcome

S = ExecutionStatus
Begin = Callable[..., Execution]


def entry_of(ml: DerivaML, rid: str) -> Entry:
    entry = journal_executions.read_execution(open_journal(ml.working_dir), rid)
    assert entry is not None
    return entry


def newest(ml: DerivaML) -> str:
    return journal_executions.list_executions(open_journal(ml.working_dir))[0].rid


@pytest.fixture
def killed(ml: DerivaML, begin: Begin, fork: Any) -> str:
    """RID of an execution whose process died in the third epoch, with a checkpoint and a registered file."""

    def train() -> None:
        with begin(description="first") as exe:
            exe.checkpoint_path("epoch.txt").write_text("3")
            exe.asset_file_path("Image", f"{exe.execution_rid}.png").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)

    assert fork(train).wait() == -signal.SIGKILL
    return newest(ml)


def test_goes_on_from_the_checkpoint(ml: DerivaML, workflow: Workflow, killed: str) -> None:
    with ml.create_execution(ExecutionSpec(workflow=workflow, description="second"), continues=killed) as exe:
        assert exe.execution_rid != killed
        assert exe.checkpoint_path("epoch.txt").read_text() == "3"
    exe.upload_execution_outputs()
    old, new = ml.lookup_execution(killed), ml.lookup_execution(exe.execution_rid)
    assert (old.status, old.status_detail) == (S.Aborted, f"superseded by {new.rid}")
    assert (entry_of(ml, killed).outcome, entry_of(ml, killed).superseded_by) == (Outcome.killed, new.rid)
    assert (entry_of(ml, new.rid).attempt, entry_of(ml, new.rid).supersedes) == (2, killed)
    record = ml.summarize_execution(new.rid).run_record
    assert record is not None
    assert record["continued_from"] == {"execution_rid": killed, "checkpoints": ["epoch.txt"]}
    assert (record["supersedes"], record["attempt"], record["outcome"]) == (killed, 2, "completed")
    # nothing of the first is left to be done
    assert killed not in [item.rid for item in ml.find_interrupted()]


def test_a_third_attempt_goes_on_with_the_second(
    ml: DerivaML, workflow: Workflow, killed: str, begin: Begin, fork: Any
) -> None:
    def train() -> None:
        with ml.create_execution(ExecutionSpec(workflow=workflow), continues=killed) as exe:
            exe.checkpoint_path("epoch.txt").write_text("5")
            os.kill(os.getpid(), signal.SIGKILL)

    assert fork(train).wait() == -signal.SIGKILL
    second = newest(ml)
    with pytest.raises(DerivaMLAttemptError, match=f"continued by {second}"):
        ml.create_execution(ExecutionSpec(workflow=workflow), continues=killed)
    third = ml.create_execution(ExecutionSpec(workflow=workflow), continues=second)
    assert third.checkpoint_path("epoch.txt").read_text() == "5"
    assert ml.lookup_execution(second).status_detail == f"superseded by {third.execution_rid}"
    assert entry_of(ml, third.execution_rid).attempt == 3


def test_a_failed_run_stays_failed(ml: DerivaML, workflow: Workflow, begin: Begin) -> None:
    exe = begin()
    exe.checkpoint_path("epoch.txt").write_text("1")
    with pytest.raises(ZeroDivisionError), exe:
        _ = 1 / 0
    again = ml.create_execution(ExecutionSpec(workflow=workflow), continues=exe.execution_rid)
    assert again.checkpoint_path("epoch.txt").read_text() == "1"
    old = ml.lookup_execution(exe.execution_rid)
    assert (old.status, old.status_detail) == (S.Failed, "ZeroDivisionError: division by zero")
    assert entry_of(ml, exe.execution_rid).outcome is Outcome.failed


def test_died_during_the_upload_of_what_was_staged(ml: DerivaML, workflow: Workflow, killed: str, fork: Any) -> None:
    def take_over() -> None:
        ml.resume_execution(killed).update_status(S.Pending_Upload)
        os.kill(os.getpid(), signal.SIGKILL)

    assert fork(take_over).wait() == -signal.SIGKILL
    exe = ml.create_execution(ExecutionSpec(workflow=workflow), continues=killed)
    old = ml.lookup_execution(killed)
    assert (old.status, old.status_detail) == (S.Failed, f"superseded by {exe.execution_rid}")


def test_a_part_of_another_execution_stays_one(ml: DerivaML, workflow: Workflow, killed: str, begin: Begin) -> None:
    parent = begin()
    journal_executions.merge_facts(open_journal(ml.working_dir), killed, {"within": [parent.execution_rid, 4]})
    exe = ml.create_execution(ExecutionSpec(workflow=workflow), continues=killed)
    found = ml.lookup_execution(parent.execution_rid).list_execution_children()
    assert [each.rid for each in found] == [exe.execution_rid]


def test_what_cannot_be_continued(ml: DerivaML, workflow: Workflow, begin: Begin, fork: Any, killed: str) -> None:
    spec = ExecutionSpec(workflow=workflow)
    for rid, kind in [("1-NONE", DerivaMLNotFoundError), ("no rid", DerivaMLValidationError)]:
        with pytest.raises(kind):
            ml.create_execution(spec, continues=rid)
    with begin() as finished:
        pass
    with pytest.raises(DerivaMLAttemptError, match="has finished"):
        ml.create_execution(spec, continues=finished.execution_rid)
    with begin() as running:
        with pytest.raises(DerivaMLOwnershipError, match="this very process"):
            ml.create_execution(spec, continues=running.execution_rid)

        def other_process() -> None:
            from deriva_ml_prefect.journal import ownership

            ownership._held.clear()
            with pytest.raises(DerivaMLOwnershipError, match="alive"):
                ml.create_execution(spec, continues=running.execution_rid)

        assert fork(other_process).wait() == 0
    before = entry_of(ml, killed)
    with pytest.raises(DerivaMLInvalidTerm):
        ml.create_execution(
            ExecutionSpec(workflow=workflow.model_copy(update={"workflow_type": ["Trainign"], "checksum": "2" * 40})),
            continues=killed,
        )
    after = entry_of(ml, killed)
    assert (after.status, after.superseded_by) == (before.status, None)
    # a request that was refused keeps nobody from the old execution
    assert fork(lambda: ml.resume_execution(killed).abort()).wait() == 0


def test_died_while_the_successor_began(ml: DerivaML, workflow: Workflow, killed: str, fork: Any) -> None:
    """Killed between the row of the new execution and the checkpoints: the chain hands them on all the same."""

    def begin_and_die() -> None:
        from deriva_ml_prefect.phases import begin

        begin.upload_metadata = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        ml.create_execution(ExecutionSpec(workflow=workflow), continues=killed)

    assert fork(begin_and_die).wait() == -signal.SIGKILL
    second = newest(ml)
    assert second != killed
    third = ml.create_execution(ExecutionSpec(workflow=workflow), continues=second)
    assert third.checkpoint_path("epoch.txt").read_text() == "3"
    assert ml.lookup_execution(killed).status_detail == f"superseded by {second}"
    assert ml.lookup_execution(second).status_detail == f"superseded by {third.execution_rid}"
    # its code never ran, so nothing of it was killed
    assert entry_of(ml, second).outcome is Outcome.unknown


def test_a_run_that_begins_anew_is_told_of_the_killed_one(
    ml: DerivaML, workflow: Workflow, killed: str, begin: Begin, caplog: pytest.LogCaptureFixture
) -> None:
    def told() -> list[str]:
        found = [record.getMessage() for record in caplog.records if "of the same workflow" in record.getMessage()]
        caplog.clear()
        return found

    caplog.set_level(logging.WARNING)
    with begin() as alive:
        (line,) = told()
        assert f"Execution {killed} " in line
        assert f"deriva-ml-prefect resume {killed}" in line
        assert f"continues='{killed}'" in line
        assert alive.execution_rid not in line
    other = workflow.model_copy(update={"checksum": "3" * 40, "url": "https://example.org/other.py"})
    ml.create_execution(ExecutionSpec(workflow=other))
    assert told() == []
    ml.create_execution(ExecutionSpec(workflow=workflow), continues=killed)
    assert told() == []
    begin()
    assert told() == []


def test_a_flow_run_that_runs_it_again_later_does_not_take_the_successors_place(
    ml: DerivaML, workflow: Workflow
) -> None:
    """It was continued by hand: that execution has its checkpoints, and is the one to go on with."""
    request = Request(ml.address, ExecutionSpec(workflow=workflow), flow_run_id=str(uuid.uuid4()))
    old = begin_execution(request)
    with pytest.raises(ZeroDivisionError):
        run_user_code(old, lambda _: 1 / 0)
    by_hand = ml.create_execution(ExecutionSpec(workflow=workflow), continues=old.rid)
    again = begin_execution(request)
    assert entry_of(ml, again.rid).supersedes == old.rid
    assert entry_of(ml, old.rid).superseded_by == by_hand.execution_rid
