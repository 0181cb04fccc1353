"""Which executions an orchestrator's flow run has begun, and RIDs that were leased before they were used."""

from __future__ import annotations

import uuid

from deriva_ml_prefect.journal.store import Journal
from deriva_ml_prefect.values.rid import RID


def bind_flow_run(journal: Journal, flow_run_id: str, attempt: int, execution_rid: RID) -> None:
    """Remember that an attempt of a flow run works on an execution."""
    journal.write("bind_flow_run", flow_run_id=flow_run_id, attempt=attempt, execution_rid=execution_rid)


def executions_of(journal: Journal, flow_run_id: str) -> list[RID]:
    """Executions of a flow run, the latest last."""
    return [row["execution_rid"] for row in journal.rows("select_flow_run", flow_run_id=flow_run_id)]


def list_flow_runs(journal: Journal) -> list[str]:
    """All flow runs that have begun an execution here, the latest first."""
    return [row["flow_run_id"] for row in journal.rows("select_flow_runs")]


def flow_runs_of(journal: Journal, execution_rid: RID) -> list[str]:
    """Flow runs of an execution: the one that began it, then those that went on with its upload."""
    return [row["flow_run_id"] for row in journal.rows("select_flow_runs_of", execution_rid=execution_rid)]


def flow_run_of(journal: Journal, execution_rid: RID) -> str | None:
    """The flow run that began an execution."""
    return next(iter(flow_runs_of(journal, execution_rid)), None)


def list_left(journal: Journal) -> dict[RID, list[str]]:
    """Executions whose code has finished and whose outputs wait, the newest first, with their flow runs as above."""
    left: dict[RID, list[str]] = {}
    for row in journal.rows("select_left"):
        left.setdefault(row["rid"], []).append(row["flow_run_id"])
    return left


def lease_token(journal: Journal, purpose: str) -> tuple[str, RID | None]:
    """Token for a RID lease, stored before the catalog is asked, and the RID if it is known already."""
    with journal.transaction():
        journal.write("insert_lease", token=str(uuid.uuid4()), purpose=purpose)
        row = journal.row("select_lease", purpose=purpose)
    assert row is not None
    return row["token"], row["rid"]


def note_lease(journal: Journal, token: str, rid: RID) -> None:
    """The RID that the catalog gave for the token."""
    journal.write("write_lease", token=token, rid=rid)


def drop_lease(journal: Journal, purpose: str) -> None:
    """Forget a lease whose RID is in use now, so that the purpose can come again."""
    journal.write("drop_lease", purpose=purpose)
