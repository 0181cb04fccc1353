"""Which executions a catalog has, with what this machine knows of those that ran here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deriva_ml_prefect.catalog import assets, executions, workflows
from deriva_ml_prefect.catalog.connection import Catalog, catalog_for
from deriva_ml_prefect.catalog.objects import object_path_of
from deriva_ml_prefect.catalog.rows import rows_where_any
from deriva_ml_prefect.questions.liveness import with_liveness
from deriva_ml_prefect.questions.local_executions import NOTHING, ListedExecution, Wanted, known_here
from deriva_ml_prefect.transfer.parallel import run_parallel
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.liveness import Liveness
from deriva_ml_prefect.values.names import MLAsset
from deriva_ml_prefect.values.records import ExecutionRecord, WorkflowRecord
from deriva_ml_prefect.values.rid import RID
from deriva_ml_prefect.values.run_record import run_record_name
from deriva_ml_prefect.values.status import ExecutionStatus


def list_catalog_executions(address: Address, wanted: Wanted) -> list[ListedExecution]:
    """Executions of a catalog, newest first.

    The outcome of one that ran elsewhere is read from the record that it uploaded about itself, many at once.
    """
    catalog = catalog_for(address)
    named = {record.rid: record for record in workflows.list_workflows(catalog)}
    chosen = None
    if wanted.workflow is not None:
        chosen = [rid for rid, record in named.items() if wanted.workflow in _names(record)]
    found = executions.list_executions(
        catalog, workflow_rids=chosen, limit=None if wanted.statuses or wanted.interrupted else wanted.limit
    )
    if wanted.statuses is not None:
        found = [record for record in found if record.status in wanted.statuses]
    local = known_here(address)
    listed = [_listed(address, record, named, local) for record in with_liveness(address, found)]
    if wanted.interrupted:
        listed = [item for item in listed if item.interrupted]
    return _with_outcomes(catalog, listed[: wanted.limit])


def _names(record: WorkflowRecord) -> tuple[str | None, ...]:
    return (record.rid, record.name, record.url, record.checksum)


def _listed(
    address: Address,
    record: ExecutionRecord,
    named: Mapping[RID, WorkflowRecord],
    local: Mapping[RID, ListedExecution],
) -> ListedExecution:
    here = local.get(record.rid)
    workflow = named.get(record.workflow_rid or "")
    return ListedExecution(
        address=address,
        rid=record.rid,
        status=record.status,
        status_detail=record.status_detail,
        outcome=here.outcome if here else None,
        liveness=record.liveness,
        workflow=workflow.name if workflow else None,
        workflow_rid=record.workflow_rid,
        description=record.description,
        started=here.started if here else None,
        created=record.created,
        waiting=here.waiting if here else NOTHING,
        here=here is not None,
        interrupted=here.interrupted if here else record.liveness is Liveness.dead,
    )


def _with_outcomes(catalog: Catalog, listed: Sequence[ListedExecution]) -> list[ListedExecution]:
    """With outcome and start of those that are Uploaded and that this machine does not know."""
    asked = [item.rid for item in listed if not item.here and item.status is ExecutionStatus.Uploaded]
    if not asked:
        return list(listed)
    table = assets.asset_table(catalog, (catalog.address.ml_schema, MLAsset.execution_metadata))
    rows = rows_where_any(catalog, (table.schema, table.name), "Filename", [run_record_name(rid) for rid in asked])
    # an additive upload writes a further record; the last one tells all
    urls = {str(row["Filename"]): str(row["URL"]) for row in sorted(rows, key=lambda row: str(row["RCT"]))}
    outcomes = run_parallel(
        list(urls.items()),
        lambda named: catalog.client.request("GET", object_path_of(catalog, named[1])),
        overloads=lambda: catalog.client.overloads,
    )
    records = {outcome.job[0]: outcome.result for outcome in outcomes if outcome.result is not None}
    found = []
    for item in listed:
        answer = records.get(run_record_name(item.rid))
        said = answer.json() if answer is not None and answer.is_json else {}
        found.append(item.replace(outcome=said.get("outcome"), started=said.get("started")) if said else item)
    return found
