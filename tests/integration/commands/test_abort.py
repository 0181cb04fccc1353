"""`deriva-ml-prefect abort`: asks before staged work is given up, and never takes a live execution."""

from __future__ import annotations

from collections.abc import Callable

from deriva_ml_prefect.journal import ownership
from deriva_ml_prefect.journal.executions import read_execution
from deriva_ml_prefect.journal.store import open_journal
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.values.status import ExecutionStatus, Outcome
from tests.integration.commands.conftest import Call

Run = Callable[..., Execution]


def status_in_catalog(ml: DerivaML, exe: Execution) -> ExecutionStatus:
    return ml.lookup_execution(exe.rid).status


def test_staged_work_is_given_up_only_on_request(call: Call, run: Run, ml: DerivaML) -> None:
    exe = run(upload=False)
    ownership.release(exe.context.folder)
    asked = call("abort", exe.rid)
    assert asked.returncode == 1
    assert "is Stopped and has 1 file, which will never be uploaded" in asked.stderr
    assert "say --yes" in asked.stderr
    assert status_in_catalog(ml, exe) is ExecutionStatus.Stopped
    done = call("abort", exe.rid, "--yes", "--reason", "wrong data")
    assert done.returncode == 0, done.stderr
    assert f"Execution {exe.rid} is Aborted." in done.stdout
    assert "`deriva-ml-prefect gc --aborted --delete` deletes them" in done.stdout
    found = ml.lookup_execution(exe.rid)
    assert (found.status, found.status_detail) == (ExecutionStatus.Aborted, "wrong data")
    assert (exe.context.staged / "Image").is_dir()
    again = call("abort", exe.rid, "--yes")
    assert again.returncode == 0
    assert ml.lookup_execution(exe.rid).status_detail == "wrong data"


def test_one_that_died_while_it_began(call: Call, ml: DerivaML, run: Run) -> None:
    exe = ml.create_execution(workflow=run().configuration.workflow)
    ownership.release(exe.context.folder)
    done = call("abort", exe.rid)
    assert done.returncode == 0, done.stderr
    assert status_in_catalog(ml, exe) is ExecutionStatus.Aborted


def test_killed_code_has_the_outcome_killed(call: Call, ml: DerivaML, run: Run) -> None:
    exe = ml.create_execution(workflow=run().configuration.workflow)
    exe.execution_start()
    ownership.release(exe.context.folder)
    assert call("abort", exe.rid).returncode == 0
    entry = read_execution(open_journal(exe.context.workspace), exe.rid)
    assert entry is not None
    assert (entry.status, entry.outcome) == (ExecutionStatus.Aborted, Outcome.killed)


def test_a_live_one_and_a_finished_one_are_refused(call: Call, run: Run, ml: DerivaML) -> None:
    live = run(upload=False)
    refused = call("abort", live.rid, "--yes")
    assert refused.returncode == 1
    assert "DerivaMLOwnershipError" in refused.stderr
    assert status_in_catalog(ml, live) is ExecutionStatus.Stopped
    finished = run()
    done = call("abort", finished.rid, "--yes")
    assert done.returncode == 1
    assert "is Uploaded and cannot become Aborted" in done.stderr


def test_one_of_another_machine(call: Call, ml: DerivaML) -> None:
    done = call("abort", "1-ABCD", "--host", "embedded", "--catalog", ml.catalog_id)
    assert done.returncode == 1
    assert "does not know execution 1-ABCD" in done.stderr
