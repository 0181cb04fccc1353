"""Delete rows, or the values of some of their columns, along a path."""

from __future__ import annotations

from deriva_ml_prefect.embedded.ermrest.acl import require_columns
from deriva_ml_prefect.embedded.ermrest.catalogs import Catalog, Writing
from deriva_ml_prefect.embedded.ermrest.model import Column, Table
from deriva_ml_prefect.embedded.ermrest.plan import PathPlan
from deriva_ml_prefect.embedded.ermrest.preconditions import tagged
from deriva_ml_prefect.embedded.ermrest.read import restrict_path
from deriva_ml_prefect.embedded.ermrest.resolve_filter import resolve_path
from deriva_ml_prefect.embedded.ermrest.resolve_path import find_column
from deriva_ml_prefect.embedded.ermrest.row_changes import Change, delete_rows, finish, make_set, update_rows
from deriva_ml_prefect.embedded.ermrest.sql import compile_rowids
from deriva_ml_prefect.embedded.ermrest.tree import DataRequest
from deriva_ml_prefect.embedded.ermrest.update import refuse_system
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict, NotFound
from deriva_ml_prefect.embedded.http import Request, Response


def answer_delete(catalog: Catalog, tree: DataRequest, request: Request) -> Response:
    """DELETE /entity/PATH: the rows of the current table. Raises NotFound when there are none."""
    with catalog.writing(request) as writing:
        path = restrict_path(writing.model, resolve_path(writing.visible, tree.path), writing.client, "delete")
        table = _written_table(writing, path)
        change = Change(writing)
        delete_rows(change, table, _find_rows(change, path))
        finish(change)
        return Response(204, tagged(request, writing.now))


def answer_clear(catalog: Catalog, tree: DataRequest, request: Request) -> Response:
    """DELETE /attribute/PATH/c,..: the columns become null. Raises NotFound when the path reaches no row."""
    with catalog.writing(request) as writing:
        whole = resolve_path(writing.visible, tree.path)
        columns = [_find_cleared(whole, item.column.parts, item.function) for item in tree.items]
        path = restrict_path(writing.model, whole, writing.client, "update")
        table = _written_table(writing, path)
        refuse_system(columns, writing.client)
        require_columns(writing.model, table, columns, writing.client, "update")
        _refuse_keys(table, columns)
        change = Change(writing)
        rows = _find_rows(change, path)
        update_rows(change, table, rows, {column.name: "cleared" for column in columns})
        finish(change)
        return Response(204, tagged(request, writing.now))


def _written_table(writing: Writing, path: PathPlan) -> Table:
    table = path.table
    if table.kind != "table":
        raise Conflict(f"The {table.kind} {table.schema}:{table.name} cannot be written.")
    return writing.model.schemas[table.schema].tables[table.name]


def _find_cleared(path: PathPlan, name: tuple[str, ...], function: str | None) -> Column:
    if function is not None:
        raise BadRequest(f"The function {function} cannot stand in a DELETE.")
    if len(name) != 1:
        raise Conflict("Only columns of the current table of the path can be deleted; name them without an alias.")
    return find_column(path.table, name[0])


def _refuse_keys(table: Table, columns: list[Column]) -> None:
    for key in table.keys:
        for column in columns:
            if column.name in key.columns:
                raise Conflict(
                    f"Column {column.name} belongs to a key of {table.schema}:{table.name}: change it by PUT."
                )


def _find_rows(change: Change, path: PathPlan) -> str:
    query = compile_rowids(path)
    rows = make_set(change, f"SELECT rowid AS row, NULL AS cleared FROM ({query.text})", query.parameters)
    if change.connection.execute(f"SELECT 1 FROM {rows} LIMIT 1").fetchone() is None:
        raise NotFound("No row matches the path.")
    return rows
