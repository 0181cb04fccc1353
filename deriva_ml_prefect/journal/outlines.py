"""The executions of a workspace in outline, for lists: one query for all of them, and one for what waits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from deriva_ml_prefect.journal.store import Journal
from deriva_ml_prefect.values.frozen import Frozen
from deriva_ml_prefect.values.rid import RID
from deriva_ml_prefect.values.status import ExecutionStatus, Outcome


class Outline(Frozen):
    """One execution. Times are ISO 8601, UTC."""

    rid: RID
    address: Mapping[str, Any]
    """Fields of values.address.Address."""
    workflow_rid: RID | None
    workflow: str | None
    workflow_url: str | None
    workflow_checksum: str | None
    description: str
    status: ExecutionStatus
    status_detail: str | None
    outcome: Outcome
    user_code: str
    superseded_by: RID | None
    created_at: str
    started_at: str | None
    last_activity: str


class Waiting(Frozen):
    """What is staged and not sent. Bytes of files that are not sealed yet are not known."""

    files: int = 0
    bytes: int = 0
    features: int = 0


def read_outlines(journal: Journal) -> list[Outline]:
    """All executions of the workspace, newest first."""
    found = []
    for row in journal.rows("select_outlines"):
        values = {name: row[name] for name in row.keys()}  # noqa: SIM118 (as in executions)
        values.update(
            address=json.loads(row["address"]),
            status=ExecutionStatus(row["status"]),
            outcome=Outcome(row["outcome"]),
        )
        found.append(Outline(**values))
    return found


def count_waiting(journal: Journal, rids: Sequence[RID]) -> dict[RID, Waiting]:
    """What each of these executions has staged and not sent."""
    rows = journal.rows("count_waiting", rids=json.dumps(list(rids)))
    return {row["rid"]: Waiting(row["files"], row["bytes"], row["features"]) for row in rows}
