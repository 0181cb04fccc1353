"""Which executions there are: by workflow, kind of workflow, status and age."""

from __future__ import annotations

from datetime import datetime

from deriva_ml_prefect.catalog import executions, vocabulary, workflows
from deriva_ml_prefect.catalog.connection import catalog_for
from deriva_ml_prefect.exceptions import DerivaMLValidationError
from deriva_ml_prefect.questions.liveness import with_liveness
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.names import MLVocab
from deriva_ml_prefect.values.records import ExecutionRecord
from deriva_ml_prefect.values.rid import RID, is_rid
from deriva_ml_prefect.values.status import ExecutionStatus


def find_executions(
    address: Address,
    *,
    workflow: str | None = None,
    workflow_type: str | None = None,
    status: ExecutionStatus | str | None = None,
    since: datetime | str | None = None,
    limit: int | None = None,
) -> list[ExecutionRecord]:
    """Executions that fit all that is given, the newest first.

    `workflow` is a RID, URL or checksum; `workflow_type` a term of Workflow_Type or a synonym; `since` a time, in local
    time if it names no zone.
    """
    found = executions.list_executions(
        catalog_for(address),
        workflow_rids=_workflows(address, workflow, workflow_type),
        status=_status(status),
        since=_moment(since),
        limit=limit,
    )
    return with_liveness(address, found)


def workflow_executions(address: Address, workflow: str) -> list[RID]:
    """RIDs of the executions of a workflow (RID, URL or checksum), or of all workflows of a type; newest first."""
    catalog = catalog_for(address)
    rids = _named(address, workflow)
    if not rids:
        term = vocabulary.lookup_term(catalog, MLVocab.workflow_type, workflow).name
        rids = [record.rid for record in workflows.list_workflows(catalog) if term in record.workflow_types]
    return [record.rid for record in executions.list_executions(catalog, workflow_rids=rids)]


def _workflows(address: Address, workflow: str | None, workflow_type: str | None) -> list[RID] | None:
    rids = None if workflow is None else _named(address, workflow)
    if workflow_type is None:
        return rids
    catalog = catalog_for(address)
    term = vocabulary.lookup_term(catalog, MLVocab.workflow_type, workflow_type).name
    of_type = [record.rid for record in workflows.list_workflows(catalog) if term in record.workflow_types]
    return of_type if rids is None else [rid for rid in rids if rid in of_type]


def _named(address: Address, workflow: str) -> list[RID]:
    if is_rid(workflow):
        return [workflow]
    records = workflows.list_workflows(catalog_for(address))
    return [record.rid for record in records if workflow in (record.url, record.checksum)]


def _status(status: ExecutionStatus | str | None) -> ExecutionStatus | None:
    if status is None:
        return None
    try:
        return ExecutionStatus(status)
    except ValueError:
        raise DerivaMLValidationError(
            f"{status!r} is no status of an execution. Use one of {', '.join(ExecutionStatus)}."
        ) from None


def _moment(since: datetime | str | None) -> str | None:
    if since is None:
        return None
    try:
        moment = since if isinstance(since, datetime) else datetime.fromisoformat(since)
    except ValueError:
        raise DerivaMLValidationError(
            f"since={since!r} is no time. Write it as 2026-01-31 or 2026-01-31T12:00."
        ) from None
    return moment.astimezone().isoformat()
