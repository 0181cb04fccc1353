"""What the journal knows of executions: status and history, marks around the user's code, attempts."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from deriva_ml_prefect.exceptions import DerivaMLOwnershipError
from deriva_ml_prefect.journal.store import Journal
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.frozen import Frozen
from deriva_ml_prefect.values.rid import RID
from deriva_ml_prefect.values.status import ExecutionStatus, Outcome


class Entry(Frozen):
    """One execution as the journal has it. Times are ISO 8601, UTC."""

    rid: RID
    workflow_rid: RID | None
    description: str
    configuration: Mapping[str, Any]
    registered: bool
    status: ExecutionStatus
    status_detail: str | None
    catalog_status: str | None
    outcome: Outcome
    user_code: str
    """`idle`, `started` or `finished`."""
    error: str | None
    attempt: int
    supersedes: RID | None
    superseded_by: RID | None
    owner: str | None
    facts: Mapping[str, Any]
    created_at: str
    started_at: str | None
    stopped_at: str | None
    uploaded_at: str | None
    last_activity: str


class Step(Frozen):
    """One step of the status."""

    status: ExecutionStatus
    detail: str | None
    at: str = ""
    number: int = 0


def _entry(row: sqlite3.Row) -> Entry:
    values = {name: row[name] for name in row.keys() if name != "address"}  # noqa: SIM118 (a Row iterates over values)
    values.update(
        configuration=json.loads(row["configuration"]),
        registered=bool(row["registered"]),
        status=ExecutionStatus(row["status"]),
        outcome=Outcome(row["outcome"]),
        facts=json.loads(row["facts"]),
    )
    return Entry(**values)


def add_execution(
    journal: Journal,
    rid: RID,
    *,
    address: Mapping[str, Any],
    workflow_rid: RID | None,
    description: str,
    configuration: Mapping[str, Any],
    attempt: int = 1,
    supersedes: RID | None = None,
) -> None:
    """Record an execution before its row goes to the catalog. Doing it again changes nothing."""
    with journal.transaction():
        added = journal.write(
            "insert_execution",
            rid=rid,
            address=json.dumps(dict(address)),
            workflow_rid=workflow_rid,
            description=description,
            configuration=json.dumps(dict(configuration)),
            status=ExecutionStatus.Created,
            attempt=attempt,
            supersedes=supersedes,
        )
        if added:
            journal.write("append_history", rid=rid, status=ExecutionStatus.Created, detail=None, sent=1)
        if supersedes:
            journal.write("write_superseded", rid=supersedes, superseded_by=rid)


def read_execution(journal: Journal, rid: RID) -> Entry | None:
    """The execution, or None when this workspace does not know it."""
    row = journal.row("select_execution", rid=rid)
    return _entry(row) if row else None


def read_status(journal: Journal, rid: RID) -> ExecutionStatus | None:
    """Only its status, for what is asked very often."""
    row = journal.row("select_status", rid=rid)
    return ExecutionStatus(row["status"]) if row else None


def read_address(journal: Journal, rid: RID) -> Address:
    """The catalog that the execution is of."""
    row = journal.row("select_execution", rid=rid)
    assert row is not None
    fields = json.loads(row["address"])
    return Address(**{**fields, "domain_schemas": tuple(fields.get("domain_schemas", ()))})


def list_executions(journal: Journal, *, limit: int = 1000) -> list[Entry]:
    """Executions of the workspace, newest first."""
    return [_entry(row) for row in journal.rows("select_executions", limit=limit)]


def list_rids(journal: Journal) -> set[RID]:
    """All executions that the journal knows."""
    return {str(row[0]) for row in journal.rows("select_rids")}


def mark_registered(journal: Journal, rid: RID, catalog_status: str | None) -> None:
    """The catalog has the row."""
    journal.write("mark_registered", rid=rid, catalog_status=catalog_status)


def write_status(journal: Journal, rid: RID, status: ExecutionStatus, detail: str | None, *, owner: str | None) -> None:
    """Record a step of the status, to be sent. A token that is not the owner's is DerivaMLOwnershipError."""
    with journal.transaction():
        if not journal.write("write_status", rid=rid, status=status, detail=detail, owner=owner):
            raise DerivaMLOwnershipError(
                f"Execution {rid} has been taken over by another process; this one writes no status any more. "
                f"Look at it with `deriva-ml-prefect show {rid}`."
            )
        journal.write("append_history", rid=rid, status=status, detail=detail, sent=0)


def unsent_steps(journal: Journal, rid: RID) -> list[Step]:
    """Steps that the catalog has not confirmed, oldest first."""
    rows = journal.rows("select_unsent_history", rid=rid)
    return [Step(ExecutionStatus(row["status"]), row["detail"], number=row["number"]) for row in rows]


def status_history(journal: Journal, rid: RID) -> list[Step]:
    """All steps, oldest first."""
    rows = journal.rows("select_history", rid=rid)
    return [Step(ExecutionStatus(row["status"]), row["detail"], row["at"]) for row in rows]


def mark_sent(journal: Journal, rid: RID, number: int, catalog_status: str) -> None:
    """The catalog confirmed the steps up to `number`."""
    with journal.transaction():
        journal.write("mark_history_sent", rid=rid, number=number)
        journal.write("write_catalog_status", rid=rid, catalog_status=catalog_status)


def adopt_status(
    journal: Journal, rid: RID, status: ExecutionStatus, detail: str | None, catalog_status: str | None
) -> None:
    """Take over the status that the catalog has; what was unsent is settled by it."""
    with journal.transaction():
        journal.write("mark_history_sent", rid=rid, number=2**62)
        journal.write("adopt_status", rid=rid, status=status, detail=detail, catalog_status=catalog_status)
        journal.write("append_history", rid=rid, status=status, detail=detail, sent=1)


def mark_user_code(journal: Journal, rid: RID, user_code: str, outcome: Outcome) -> None:
    """`started` before the user's code is called, `finished` after it returned or raised."""
    journal.write("mark_user_code", rid=rid, user_code=user_code, outcome=outcome)


def merge_facts(journal: Journal, rid: RID, facts: Mapping[str, Any]) -> None:
    """Add to the free facts of an execution (durations in seconds, workflow facts); None removes one."""
    journal.write("merge_facts", rid=rid, facts=json.dumps(dict(facts)))


def write_workflow(journal: Journal, rid: RID, workflow_rid: RID) -> None:
    """The workflow that the execution runs."""
    journal.write("write_workflow", rid=rid, workflow_rid=workflow_rid)
