"""Workflows: which code an execution runs. One row for one piece of code, however many executions use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.rows import Row, delete_rows, get_rows, insert_rows, insert_with_rid, update_rows
from deriva_ml_prefect.catalog.schema import association_between, ml_table
from deriva_ml_prefect.catalog.urls import any_of, equals, quote, table_name
from deriva_ml_prefect.catalog.vocabulary import term_names
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLNotFoundError, DerivaMLWorkflowError
from deriva_ml_prefect.values.names import MLVocab
from deriva_ml_prefect.values.records import WorkflowRecord
from deriva_ml_prefect.values.rid import RID, check_rid

_COLUMNS = ("RID", "Name", "URL", "Checksum", "Version", "Description")


def find_workflow(catalog: Catalog, *, url: str | None, checksum: str | None) -> WorkflowRecord | None:
    """The oldest workflow of this code: URL or Checksum equals the checksum (the URL, where there is no checksum)."""
    identity = checksum or url
    if not identity:
        return None
    found = _read(catalog, f"{equals('URL', identity)};{equals('Checksum', identity)}")
    return found[0] if found else None


def read_workflow(catalog: Catalog, rid: RID) -> WorkflowRecord:
    """The workflow of that RID; DerivaMLNotFoundError if there is none."""
    found = _read(catalog, equals("RID", check_rid(rid)))
    if not found:
        raise DerivaMLNotFoundError(f"Catalog {catalog.address} has no workflow {rid}.")
    return found[0]


def list_workflows(catalog: Catalog) -> list[WorkflowRecord]:
    """All workflows, the oldest first."""
    return _read(catalog, None)


def insert_workflow(catalog: Catalog, rid: RID, workflow: Workflow) -> WorkflowRecord:
    """Record a workflow under a leased RID, with its types; calling it again with the same changes nothing.

    The types are terms of Workflow_Type, by name or synonym.
    """
    if catalog.dialect.workflow_type_required and not workflow.workflow_type:
        raise DerivaMLWorkflowError(
            f"Catalog {catalog.address} wants a type for every workflow, and {workflow.name!r} has none. "
            "Give workflow_type=, a term of Workflow_Type."
        )
    values: dict[str, Any] = {
        "Name": workflow.name or None,
        "Description": workflow.description or None,
        "URL": workflow.url,
        "Checksum": workflow.checksum,
        "Version": workflow.version,
    }
    types = term_names(catalog, MLVocab.workflow_type, workflow.workflow_type)
    if catalog.dialect.workflow_type_column:
        values["Workflow_Type"] = types[0] if types else None
    row = insert_with_rid(catalog, ml_table(catalog, "Workflow").ref, rid, values, same=("URL", "Checksum"))
    add_workflow_types(catalog, rid, types)
    return _record(row, tuple(types))


def add_workflow_types(catalog: Catalog, rid: RID, types: list[str]) -> None:
    """Give a workflow these types too, where the catalog can hold more than one."""
    if not catalog.dialect.workflow_type_table or not types:
        return
    link = association_between(catalog, ml_table(catalog, "Workflow"), ml_table(catalog, MLVocab.workflow_type))
    rows = [{link.left.column: rid, link.right.column: name} for name in dict.fromkeys(types)]
    insert_rows(catalog, link.table.ref, rows, skip_conflicts=True, repeatable=True)


def write_description(catalog: Catalog, rid: RID, description: str) -> None:
    """Replace the description of a workflow."""
    update_rows(catalog, ml_table(catalog, "Workflow").ref, [{"RID": check_rid(rid), "Description": description}])


def replace_workflow_types(catalog: Catalog, rid: RID, types: Sequence[str]) -> None:
    """Give a workflow these types and no others. They must be terms of Workflow_Type: ask `require_terms` before."""
    wanted = list(dict.fromkeys(types))
    dialect = catalog.dialect
    if not dialect.workflow_type_table and len(wanted) > 1:
        raise DerivaMLWorkflowError(
            f"Catalog {catalog.address} holds one type a workflow, and {len(wanted)} were given: {', '.join(wanted)}."
        )
    if dialect.workflow_type_required and not wanted:
        raise DerivaMLWorkflowError(f"Catalog {catalog.address} wants a type for every workflow. Give one.")
    add_workflow_types(catalog, rid, wanted)
    if dialect.workflow_type_table:
        link = association_between(catalog, ml_table(catalog, "Workflow"), ml_table(catalog, MLVocab.workflow_type))
        own = f"{table_name(*link.table.ref)}/{equals(link.left.column, check_rid(rid))}"
        held = {row[link.right.column] for row in get_rows(catalog, f"entity/{own}")}
        if gone := sorted(held - set(wanted)):
            delete_rows(catalog, f"{own}/{any_of(link.right.column, gone)}")
    if dialect.workflow_type_column:
        first = {"RID": check_rid(rid), "Workflow_Type": wanted[0] if wanted else None}
        update_rows(catalog, ml_table(catalog, "Workflow").ref, [first])


def _read(catalog: Catalog, where: str | None) -> list[WorkflowRecord]:
    """Workflows with their types, in one request."""
    table = ml_table(catalog, "Workflow")
    path = f"W:={table_name(*table.ref)}" + (f"/{where}" if where else "")
    own = ("Workflow_Type",) if catalog.dialect.workflow_type_column else ()
    columns = ",".join(f"{quote(name)}:=W:{quote(name)}" for name in (*_COLUMNS, "RCT", *own))
    if not catalog.dialect.workflow_type_table:
        rows = get_rows(catalog, f"entity/{path}@sort(RCT)")
        return [_record(row, (row["Workflow_Type"],) if row.get("Workflow_Type") else ()) for row in rows]
    link = association_between(catalog, table, ml_table(catalog, MLVocab.workflow_type))
    join = f"left(W:RID)=({table_name(*link.table.ref)}:{quote(link.left.column)})"
    types = f"Types:=array_d({quote(link.right.column)})"
    rows = get_rows(catalog, f"attributegroup/{path}/{join}/{columns};{types}@sort(RCT)")
    return [replace(_record(row, _types(row)), types_linked=any(row["Types"] or ()) or not _types(row)) for row in rows]


def _types(row: Row) -> tuple[str, ...]:
    """Types of the association and that of the workflow's own column, which older releases alone write."""
    return tuple(sorted({name for name in (*(row["Types"] or ()), row.get("Workflow_Type")) if name}))


def _record(row: Row, types: tuple[str, ...]) -> WorkflowRecord:
    return WorkflowRecord(
        rid=row["RID"],
        name=row["Name"],
        url=row["URL"],
        checksum=row["Checksum"],
        version=row["Version"],
        description=row["Description"],
        workflow_types=types,
    )
