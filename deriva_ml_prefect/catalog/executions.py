"""Executions: the row of a run, its status, and what it is linked to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.dialect import read_detail, read_status, stored_texts, write_status
from deriva_ml_prefect.catalog.dialect import write_detail as detail_for
from deriva_ml_prefect.catalog.rows import (
    Row,
    get_rows,
    insert_rows,
    insert_with_rid,
    row_by_rid,
    rows_where_any,
    swap_column,
    update_rows,
)
from deriva_ml_prefect.catalog.schema import ml_table
from deriva_ml_prefect.catalog.urls import any_of, equals, quote, table_name
from deriva_ml_prefect.exceptions import DerivaMLSchemaError
from deriva_ml_prefect.values.records import ExecutionRecord
from deriva_ml_prefect.values.rid import RID, check_rid
from deriva_ml_prefect.values.status import ExecutionStatus

Ref = tuple[str, str]


def insert_execution(
    catalog: Catalog,
    rid: RID,
    *,
    workflow_rid: RID | None,
    description: str,
    status: ExecutionStatus = ExecutionStatus.Created,
    detail: str | None = None,
) -> ExecutionRecord:
    """Record an execution under a RID leased and kept before; calling it again gives the row as it is by now."""
    dialect = catalog.dialect
    values = {
        "Workflow": workflow_rid,
        "Description": description or None,
        "Status": write_status(dialect, status),
        "Status_Detail": detail_for(dialect, status, detail),
    }
    return _record(catalog, insert_with_rid(catalog, _table(catalog), rid, values, same=("Workflow", "Description")))


def read_execution(catalog: Catalog, rid: RID) -> ExecutionRecord | None:
    """The execution of that RID, or None."""
    row = row_by_rid(catalog, _table(catalog), rid)
    return None if row is None else _record(catalog, row)


def read_executions(catalog: Catalog, rids: Sequence[RID]) -> list[ExecutionRecord]:
    """The executions that there are among these RIDs."""
    return [_record(catalog, row) for row in rows_where_any(catalog, _table(catalog), "RID", map(check_rid, rids))]


def list_executions(
    catalog: Catalog,
    *,
    workflow_rids: Sequence[RID] | None = None,
    status: ExecutionStatus | None = None,
    since: str | None = None,
    limit: int | None = None,
) -> list[ExecutionRecord]:
    """Executions, the newest first: of some workflows, with a status, created at `since` (ISO 8601) or later."""
    if workflow_rids is not None and not workflow_rids:
        return []
    filters = ""
    if workflow_rids is not None:
        filters += "/" + any_of("Workflow", map(check_rid, workflow_rids))
    if since is not None:
        filters += f"/RCT::geq::{quote(since)}"
    if status is not None:
        texts = stored_texts(catalog.dialect, status)
        alternatives = [equals("Status", None)] if "" in texts else []
        filters += "/" + ";".join([*alternatives, any_of("Status", [text for text in texts if text])])
    path = f"entity/{table_name(*_table(catalog))}{filters}@sort(RCT::desc::,RID)"
    rows = get_rows(catalog, f"{path}?limit={limit}" if limit is not None and status is None else path)
    records = [_record(catalog, row) for row in rows]
    chosen = [record for record in records if status is None or record.status == status]
    return chosen if limit is None else chosen[:limit]


def swap_status(
    catalog: Catalog,
    rid: RID,
    expected: ExecutionStatus | str | None,
    target: ExecutionStatus,
    detail: str | None,
    *,
    durations: Mapping[str, str] | None = None,
) -> bool:
    """Write status, detail and durations if and only if the row still holds `expected`; False: another changed it.

    Durations are texts by phase (`execution`, `download`, `upload`); phases without a column are left out. `expected`
    is a record's `stored_status`, or a status as this catalog stores it. Equal statuses change the detail and move RMT,
    which is the heartbeat.
    """
    dialect = catalog.dialect
    stored = write_status(dialect, expected) if isinstance(expected, ExecutionStatus) else expected
    return swap_column(
        catalog,
        _table(catalog),
        rid,
        "Status",
        expected=stored,
        target=write_status(dialect, target),
        also={"Status_Detail": detail_for(dialect, target, detail), **_duration_values(catalog, durations or {})},
    )


def give_sign(catalog: Catalog, rid: RID, stored: str | None) -> bool:
    """Move RMT and nothing else if the row still holds `stored`; False: its status is another one, or it is gone."""
    return swap_column(catalog, _table(catalog), rid, "Status", expected=stored, target=stored)


def write_detail(catalog: Catalog, rid: RID, detail: str | None, *, status: ExecutionStatus | None = None) -> None:
    """Change the message alone. `status` is needed where the catalog keeps the exact status in the message."""
    text = detail if status is None else detail_for(catalog.dialect, status, detail)
    update_rows(catalog, _table(catalog), [{"RID": check_rid(rid), "Status_Detail": text}])


def link_input_datasets(catalog: Catalog, rid: RID, datasets: Sequence[tuple[RID, RID | None]]) -> None:
    """Say which datasets, in which version rows, the execution reads; links that are there stay as they are."""
    with_version = catalog.dialect.dataset_execution_version
    rows: list[dict[str, Any]] = []
    for dataset, version in dict(datasets).items():
        row: dict[str, Any] = {"Dataset": check_rid(dataset), "Execution": check_rid(rid)}
        rows.append({**row, "Dataset_Version": version} if with_version else row)
    insert_rows(catalog, ml_table(catalog, "Dataset_Execution").ref, rows, skip_conflicts=True, repeatable=True)


def list_input_datasets(catalog: Catalog, rid: RID) -> list[tuple[RID, RID | None]]:
    """(dataset, version row) pairs linked to the execution; the version row is None where it is not recorded."""
    ref = ml_table(catalog, "Dataset_Execution").ref
    rows = get_rows(catalog, f"entity/{table_name(*ref)}/{equals('Execution', check_rid(rid))}@sort(RCT,RID)")
    return [(row["Dataset"], row.get("Dataset_Version")) for row in rows]


def link_nested(catalog: Catalog, parent: RID, child: RID, *, sequence: int | None = None) -> None:
    """Say that `child` is part of `parent`; `sequence` is its place among the others, None for parallel ones."""
    _need_nesting(catalog)
    row = {"Execution": check_rid(parent), "Nested_Execution": check_rid(child), "Sequence": sequence}
    insert_rows(catalog, ml_table(catalog, "Execution_Execution").ref, [row], skip_conflicts=True, repeatable=True)


def list_nested(catalog: Catalog, rid: RID, *, parents: bool = False) -> list[tuple[RID, int | None]]:
    """(RID, sequence) of the executions that are part of this one, or of those that it is part of."""
    if not catalog.dialect.nested_executions:
        return []
    asked, given = ("Nested_Execution", "Execution") if parents else ("Execution", "Nested_Execution")
    ref = ml_table(catalog, "Execution_Execution").ref
    rows = get_rows(catalog, f"entity/{table_name(*ref)}/{equals(asked, check_rid(rid))}@sort(Sequence,RID)")
    return [(row[given], row["Sequence"]) for row in rows]


def _need_nesting(catalog: Catalog) -> None:
    if not catalog.dialect.nested_executions:
        raise DerivaMLSchemaError(
            f"Catalog {catalog.address} was made by a release that knew no nested executions, and has no table "
            "Execution_Execution. Run without a parent, or use a newer catalog."
        )


def _duration_values(catalog: Catalog, durations: Mapping[str, str]) -> dict[str, str]:
    columns = catalog.dialect.durations
    values = {columns[phase]: text for phase, text in durations.items() if phase in columns}
    if catalog.dialect.single_duration and "execution" in durations:
        values["Duration"] = durations["execution"]
    return values


def _table(catalog: Catalog) -> Ref:
    return ml_table(catalog, "Execution").ref


def _record(catalog: Catalog, row: Row) -> ExecutionRecord:
    dialect = catalog.dialect
    durations = {phase: row[column] for phase, column in dialect.durations.items() if row.get(column)}
    if not durations and row.get("Duration"):
        durations = {"execution": row["Duration"]}
    return ExecutionRecord(
        rid=row["RID"],
        workflow_rid=row["Workflow"],
        description=row["Description"],
        status=read_status(dialect, row["Status"], row["Status_Detail"]),
        stored_status=row["Status"],
        status_detail=read_detail(dialect, row["Status"], row["Status_Detail"]),
        created=row["RCT"],
        modified=row["RMT"],
        durations=durations,
    )
