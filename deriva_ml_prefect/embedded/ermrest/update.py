"""Change rows that exist: PUT /attributegroup, and PUT /entity, which also inserts those that do not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from deriva_ml_prefect.embedded.ermrest.acl import refusal, require, require_all_rows, require_columns
from deriva_ml_prefect.embedded.ermrest.catalogs import Catalog, Writing
from deriva_ml_prefect.embedded.ermrest.input import BATCH, LARGEST_BODY
from deriva_ml_prefect.embedded.ermrest.input_set import load_input, refuse_equal_rows
from deriva_ml_prefect.embedded.ermrest.insert import (
    SYSTEM,
    Insertion,
    check_inserted,
    insert_batch,
    inserted_query,
    last_row,
    only_table,
    plan_insertion,
    render_inserted,
    require_given,
    shape_of,
)
from deriva_ml_prefect.embedded.ermrest.model import Column, Model, Table
from deriva_ml_prefect.embedded.ermrest.negotiation import CSV, JSON, form_headers, input_form, negotiate
from deriva_ml_prefect.embedded.ermrest.preconditions import tagged
from deriva_ml_prefect.embedded.ermrest.representation import Shape, render, render_objects
from deriva_ml_prefect.embedded.ermrest.resolve_path import find_column
from deriva_ml_prefect.embedded.ermrest.row_changes import Change, finish, make_set, update_rows
from deriva_ml_prefect.embedded.ermrest.row_rights import refuse_input, refuse_references, refuse_rows
from deriva_ml_prefect.embedded.ermrest.sql import Query
from deriva_ml_prefect.embedded.ermrest.tree import DataRequest, Item, Options
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict
from deriva_ml_prefect.embedded.http import Client, Request, Response
from deriva_ml_prefect.embedded.spool import answer_spool, spool_body


@dataclass(frozen=True)
class Update:
    """Rows of input matched by keys: pairs of (name in the body, column)."""

    table: Table
    keys: tuple[tuple[str, Column], ...]
    targets: tuple[tuple[str, Column], ...]

    @property
    def inputs(self) -> tuple[tuple[str, Column], ...]:
        return (*self.keys, *self.targets)


def answer_update(catalog: Catalog, tree: DataRequest, options: Options, request: Request) -> Response:
    """PUT /attributegroup/[S:]T/keys;targets: the rows that were changed, as keys and targets.

    Input rows that match nothing are missing from the answer: with a column's old value among the keys, the request
    compares and swaps.
    """
    with (
        answer_spool() as answer,
        spool_body(request.body, LARGEST_BODY) as body,
        catalog.writing(request) as writing,
    ):
        table = only_table(writing.visible, tree.path)
        update = resolve_update(table, tree)
        require(writing.model, table, writing.client, "update")
        require_update(writing, update)
        in_form = input_form(request)
        change = Change(writing)
        rows = load_input(change, in_form, body, update.inputs)
        refuse_equal_rows(change, rows, len(update.keys))
        matched = match_rows(change, update, rows)
        change_matched(change, table_of(writing.model, table), update, rows, matched)
        form = negotiate(request, options, in_form)
        shape = Shape(tuple(n for n, _ in update.inputs), tuple(c.type for _, c in update.inputs))
        for piece in render(writing.connection, _changed_query(update, matched), shape, form):
            answer.write(piece)
        finish(change)
        return answer.answer(200, (*form_headers(form, options), *tagged(request, writing.now)))


def table_of(model: Model, seen: Table) -> Table:
    """The whole table, where the client may see a part only."""
    return model.schemas[seen.schema].tables[seen.name]


def resolve_update(table: Table, tree: DataRequest) -> Update:
    """Raises Conflict for names that the table lacks, BadRequest for what cannot be changed that way."""
    keys = tuple(_resolve_input(table, item) for item in tree.keys)
    targets = tuple(_resolve_input(table, item) for item in tree.items)
    if not targets:
        raise BadRequest("An update names its keys, a semicolon, and the columns that it changes.")
    names = [name for name, _ in (*keys, *targets)]
    for given in (names, [column.name for _, column in keys], [column.name for _, column in targets]):
        if len(set(given)) != len(given):
            raise BadRequest("An update names a column of the body, a key, or a column to change, twice.")
    return Update(table, keys, targets)


def _resolve_input(table: Table, item: Item) -> tuple[str, Column]:
    if item.function is not None:
        raise BadRequest(f"The function {item.function} cannot stand in an update.")
    if len(item.column.parts) != 1:
        raise Conflict(f"An update names columns of {table.schema}:{table.name} alone, without alias: {item.column}.")
    column = find_column(table, item.column.parts[0])
    return item.alias or column.name, column


def require_update(writing: Writing, update: Update) -> None:
    columns = [column for _, column in update.targets]
    refuse_system(columns, writing.client)
    model, table = writing.model, table_of(writing.model, update.table)
    require_columns(model, table, columns, writing.client, "update")
    require_columns(model, table, [column for _, column in update.keys], writing.client, "select")


def refuse_system(columns: Iterable[Column], client: Client | None) -> None:
    for column in columns:
        if column.name in SYSTEM:
            raise refusal(client, f"The system column {column.name} cannot be changed.")


def match_rows(change: Change, update: Update, rows: str) -> str:
    """The set of present rows that the input names, with the input: null keys match null."""
    equal = " AND ".join(f"t.{column.physical} IS i.v{i}" for i, (_, column) in enumerate(update.keys))
    return make_set(change, f"SELECT t.rowid AS row, i.* FROM {rows} AS i JOIN {update.table.physical} AS t ON {equal}")


def change_matched(change: Change, table: Table, update: Update, rows: str, matched: str) -> None:
    """Set the targets of matched rows, where the client may change those rows and refer to what they then refer to."""
    targets = _targets(update)
    refuse_input(change, table, "update", rows, targets)
    refuse_rows(change, table, "update", matched)
    update_rows(change, table, matched, targets)
    refuse_references(change, table, "update", f"f.rowid IN (SELECT row FROM {matched})", targets)


def _targets(update: Update) -> dict[str, str]:
    offset = len(update.keys)
    return {column.name: f"v{offset + i}" for i, (_, column) in enumerate(update.targets)}


def _changed_query(update: Update, matched: str) -> Query:
    keys = [f"i.v{i} AS o{i}" for i in range(len(update.keys))]
    targets = [f"t.{column.physical} AS o{len(keys) + i}" for i, (_, column) in enumerate(update.targets)]
    return Query(
        f"SELECT {', '.join(keys + targets)} FROM {matched} AS i "
        f"JOIN {update.table.physical} AS t ON t.rowid = i.row ORDER BY i.n",
        (),
    )


def answer_upsert(catalog: Catalog, tree: DataRequest, options: Options, request: Request) -> Response:
    """PUT /entity/[S:]T: rows equal in all columns of all keys are changed, the others inserted.

    A new row that breaks one of the keys is dropped without a word. Changed rows are answered as they were given, new
    ones with their system columns. The parameters of POST (`defaults` and the like) mean nothing here.
    """
    with (
        answer_spool() as answer,
        spool_body(request.body, LARGEST_BODY) as body,
        catalog.writing(request) as writing,
    ):
        table = table_of(writing.model, only_table(writing.visible, tree.path))
        in_form = input_form(request)
        insertion = plan_insertion(table, Options(onconflict="skip"))
        update = plan_upsert(table, insertion.given)
        require(writing.model, table, writing.client, "update" if update.targets else "insert")
        require_columns(writing.model, table, [c for _, c in update.targets], writing.client, "update")
        change = Change(writing)
        rows = load_input(change, in_form, body, update.inputs)
        refuse_equal_rows(change, rows, len(update.keys))
        matched = match_rows(change, update, rows)
        before = last_row(writing.connection, table)
        if not update.targets or has_missing(change, rows, matched):
            require_all_rows(writing.model, table, writing.client, "insert")
            require_given(writing, insertion)
        change_matched(change, table, update, rows, matched)
        insert_missing(change, insertion, update, rows, matched)
        check_inserted(change, insertion, before)
        form = negotiate(request, options, in_form)
        for piece in _render_upsert(writing.connection, update, matched, before, form):
            answer.write(piece)
        finish(change)
        return answer.answer(200, (*form_headers(form, options), *tagged(request, writing.now)))


def has_missing(change: Change, rows: str, matched: str) -> bool:
    found = change.connection.execute(f"SELECT 1 FROM {rows} WHERE n NOT IN (SELECT n FROM {matched}) LIMIT 1")
    return found.fetchone() is not None


def insert_missing(change: Change, insertion: Insertion, update: Update, rows: str, matched: str) -> None:
    """Insert the rows of the input that match none that is there."""
    positions = {column.name: f"v{i}" for i, (_, column) in enumerate(update.inputs)}
    missing = change.connection.execute(
        f"SELECT {', '.join(positions[column.name] for column in insertion.given)} FROM {rows} "
        f"WHERE n NOT IN (SELECT n FROM {matched}) ORDER BY n"
    )
    while batch := missing.fetchmany(BATCH):
        insert_batch(change, insertion, list(zip(*batch, strict=True)))


def plan_upsert(table: Table, given: Sequence[Column]) -> Update:
    """Raises Conflict for a table without a key other than RID."""
    names = {name for key in table.keys if key.columns != ("RID",) for name in key.columns}
    keys = tuple((column.name, column) for column in given if column.name in names)
    if not keys:
        raise Conflict(f"Table {table.schema}:{table.name} has no key but RID, so a PUT cannot tell rows apart.")
    return Update(table, keys, tuple((column.name, column) for column in given if column.name not in names))


def _render_upsert(
    connection: sqlite3.Connection, update: Update, matched: str, before: int, form: str
) -> Iterable[bytes]:
    table = update.table
    changed = _changed_query(update, matched)
    if connection.execute(f"SELECT 1 FROM {matched} LIMIT 1").fetchone() is None:
        return render_inserted(connection, table, before, form)
    if form == CSV:
        return _render_upsert_csv(connection, update, matched, before)
    shape = Shape(tuple(name for name, _ in update.inputs), tuple(column.type for _, column in update.inputs))
    added = (inserted_query(table, before), shape_of(table))
    return render_objects(connection, ((changed, shape), added), as_array=form == JSON)


def _render_upsert_csv(connection: sqlite3.Connection, update: Update, matched: str, before: int) -> Iterable[bytes]:
    """Changed rows have nothing in the system columns, which only new rows show."""
    inputs = [column for _, column in update.inputs]
    others = [column for column in update.table.columns.values() if column not in inputs]
    columns = [*inputs, *others]
    new = ", ".join(f"{column.physical} AS o{i}" for i, column in enumerate(columns))
    query = (
        f"SELECT *{', NULL' * len(others)} FROM ({_changed_query(update, matched).text}) "
        f"UNION ALL SELECT {new} FROM {update.table.physical} WHERE rowid > ?1"
    )
    named = (
        f"SELECT {', '.join(f'o{i}' for i in range(len(columns)))} FROM (SELECT {new} FROM "
        f"{update.table.physical} WHERE 0 UNION ALL {query})"
    )
    shape = Shape(tuple(column.name for column in columns), tuple(column.type for column in columns))
    return render(connection, Query(named, (before,)), shape, CSV)
