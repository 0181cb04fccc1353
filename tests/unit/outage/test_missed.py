"""Which runs that Prefect shows as Running have come to an end, as the journal of this machine has it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Running

from deriva_ml_prefect.journal import executions, flow_runs, ownership
from deriva_ml_prefect.journal.store import Journal, close_journals, open_journal
from deriva_ml_prefect.outage.missed import _end, _ended_execution
from deriva_ml_prefect.values.status import ExecutionStatus

RID = "1-A"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    yield open_journal(tmp_path)
    ownership.release(tmp_path / "executions" / RID)
    close_journals()


def running(at: datetime | None = None) -> FlowRun:
    return FlowRun(id=uuid4(), flow_id=uuid4(), state=Running(timestamp=at or datetime.now(UTC)))


def begin(journal: Journal, run: FlowRun) -> Path:
    executions.add_execution(journal, RID, address={}, workflow_rid="1-W", description="", configuration={})
    flow_runs.bind_flow_run(journal, str(run.id), 1, RID)
    return journal.workspace / "executions" / RID


def come_to(journal: Journal, status: str, detail: str | None = None) -> None:
    executions.write_status(journal, RID, ExecutionStatus(status), detail, owner=ownership.held_token(_folder(journal)))


def _folder(journal: Journal) -> Path:
    return journal.workspace / "executions" / RID


def test_a_run_is_left_alone_until_its_process_is_gone(journal: Journal) -> None:
    run = running()
    assert _ended_execution(run, journal, 0) is None, "not of this machine"
    folder = begin(journal, run)
    assert _ended_execution(run, journal, 0) is None, "its process is about to take it"
    ownership.take(journal, folder, RID)
    come_to(journal, "Running")
    assert _ended_execution(run, journal, 0) is None, "its process lives"
    ownership.release(folder)
    entry = _ended_execution(run, journal, 1000)
    assert entry is not None
    end = _end(entry)
    assert end.name == "Crashed"
    assert "execution 1-A is Running" in (end.message or "")
    # the same run, begun again by a process that has not come to its execution yet
    run.state = Running(timestamp=datetime.now(UTC) + timedelta(seconds=1))
    assert _ended_execution(run, journal, 0) is None


@pytest.mark.parametrize(
    ("statuses", "name"),
    [
        ("Running Failed", "Failed"),
        ("Running Stopped Pending_Upload Uploaded", "Completed"),
        ("Running Aborted", "Cancelled"),
        ("Running Stopped Pending_Upload", "Crashed"),
    ],
)
def test_the_end_is_that_of_the_execution(journal: Journal, statuses: str, name: str) -> None:
    run = running()
    folder = begin(journal, run)
    ownership.take(journal, folder, RID)
    for status in statuses.split():
        come_to(journal, status, "as it says")
    ownership.release(folder)
    # who has come to an end has a while to say so
    assert (_ended_execution(run, journal, 60) is None) == (name != "Crashed")
    entry = _ended_execution(run, journal, 0)
    assert entry is not None
    end = _end(entry)
    assert end.name == name
    assert (end.message or "").endswith("as it says")


def test_a_suspended_run_is_not_at_an_end(journal: Journal) -> None:
    run = running()
    folder = begin(journal, run)
    ownership.take(journal, folder, RID)
    come_to(journal, "Running")
    executions.merge_facts(journal, RID, {"suspended": "2026-01-01"})
    ownership.release(folder)
    assert _ended_execution(run, journal, 0) is None
