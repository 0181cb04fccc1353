"""Insert rows: POST /entity, and the new rows of a PUT."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from deriva_ml_prefect.embedded.database import REQUEST_SECONDS
from deriva_ml_prefect.embedded.ermrest.acl import (
    Access,
    refusal,
    require_all_rows,
    require_columns,
    roles_of,
    table_named,
    table_right,
)
from deriva_ml_prefect.embedded.ermrest.catalogs import Catalog, Writing
from deriva_ml_prefect.embedded.ermrest.clock import allocate_column_serials, note_rids
from deriva_ml_prefect.embedded.ermrest.echo import Echo, add_batch, finish_echo
from deriva_ml_prefect.embedded.ermrest.input import LARGEST_BODY, read_columns
from deriva_ml_prefect.embedded.ermrest.input_set import load_input, refuse_equal_rows
from deriva_ml_prefect.embedded.ermrest.model import Column, Model, Table
from deriva_ml_prefect.embedded.ermrest.negotiation import form_headers, input_form, negotiate
from deriva_ml_prefect.embedded.ermrest.preconditions import tagged
from deriva_ml_prefect.embedded.ermrest.representation import Shape, render
from deriva_ml_prefect.embedded.ermrest.resolve_filter import resolve_path
from deriva_ml_prefect.embedded.ermrest.rids import new_rids
from deriva_ml_prefect.embedded.ermrest.row_changes import (
    Change,
    check_references,
    delete_rows,
    finish,
    key_conflict,
    make_set,
    null_conflict,
)
from deriva_ml_prefect.embedded.ermrest.row_rights import refuse_references
from deriva_ml_prefect.embedded.ermrest.sql import Query
from deriva_ml_prefect.embedded.ermrest.tree import DataRequest, Options, Path
from deriva_ml_prefect.embedded.ermrest.types import Stored, cast_json_column
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict, Forbidden
from deriva_ml_prefect.embedded.http import Request, Response
from deriva_ml_prefect.embedded.spool import Spool, answer_spool, spool_body

SYSTEM: Final = ("RID", "RCT", "RMT", "RCB", "RMB")
_IDENTIFIERS: Final = ("ID", "id", "URI", "uri")
Rows = list[Sequence[Stored]]
"""Values column by column."""


@dataclass(frozen=True)
class Insertion:
    """What is inserted where: which columns the client gives, and which are filled in."""

    table: Table
    given: tuple[Column, ...]
    filled: tuple[Column, ...]
    skip_conflicts: bool


def only_table(model: Model, path: Path) -> Table:
    """The one table of a path. Raises BadRequest for a path with joins or filters."""
    plan = resolve_path(model, path)
    if len(plan.sources) != 1 or plan.conditions or len(path) != 1:
        raise BadRequest("Rows can be written to a table only: the path must have no joins and no filters.")
    table = plan.table
    if table.kind != "table":
        raise Conflict(f"The {table.kind} {table.schema}:{table.name} cannot be written.")
    return table


def answer_insert(catalog: Catalog, tree: DataRequest, options: Options, request: Request) -> Response:
    """POST /entity/[S:]T: the rows as they are stored, in the form of the body unless another is asked for."""
    if options.onconflict not in (None, "abort", "skip"):
        raise BadRequest(f"The parameter onconflict is 'abort' or 'skip', not {options.onconflict!r}.")
    with (
        answer_spool() as answer,
        spool_body(request.body, LARGEST_BODY) as body,
        catalog.writing(request) as writing,
    ):
        seen = only_table(writing.visible, tree.path)
        refuse_unknown(seen, options)
        require_all_rows(writing.model, seen, writing.client, "insert")
        table = writing.model.schemas[seen.schema].tables[seen.name]
        in_form = input_form(request)
        insertion = plan_insertion(table, options)
        require_given(writing, insertion)
        form = negotiate(request, options, in_form)
        insert_body(Change(writing), insertion, in_form, body, Echo(shape_of(table), form, answer))
        return answer.answer(200, (*form_headers(form, options), *tagged(request, writing.now)))


def insert_body(change: Change, insertion: Insertion, form: str, body: Spool, echo: Echo) -> None:
    """Insert the rows of a body in this form, and write them to the echo as they are stored."""
    before = last_row(change.connection, insertion.table)
    try:
        is_searched, is_whole = insert_rows(change, insertion, form, body, echo)
        check_inserted(change, insertion, before)
    except Conflict:
        refuse_equal(change, insertion, form, body)  # which is said first
        raise
    if is_searched:
        refuse_equal(change, insertion, form, body)
    finish(change)
    if is_whole:
        finish_echo(echo)
    else:
        echo.answer.clear()
        for piece in render_inserted(change.connection, insertion.table, before, echo.form):
            echo.answer.write(piece)


def insert_rows(change: Change, insertion: Insertion, form: str, body: Spool, echo: Echo) -> tuple[bool, bool]:
    """Insert the rows of a body, and write them to the echo as long as none is skipped.

    Returns whether some may be equal without a unique index having said so, and whether none was skipped.
    """
    named = [(column.name, column) for column in insertion.given]
    keys = [at for at, column in enumerate(insertion.given) if column.name in _key_names(insertion.table)]
    given = {column.name for column in insertion.given}
    is_searched = bool(keys) and not any(given.issuperset(key.columns) for key in insertion.table.keys)
    is_whole = True
    for columns in read_columns(form, body.rewound(), named, [column.name for column in insertion.filled]):
        change.connection.allow(REQUEST_SECONDS)  # the bound is for a statement, not for a body that gets on
        stored, count = insert_batch(change, insertion, columns)
        if stored:
            is_whole = is_whole and count == len(stored[0])
            is_searched = is_searched or not is_whole or any(None in columns[at] for at in keys)
            if is_whole:
                add_batch(echo, stored)
    return is_searched, is_whole


def refuse_equal(change: Change, insertion: Insertion, form: str, body: Spool) -> None:
    """Raise BadRequest for rows of the body that are equal in all columns of all keys that are given."""
    names = _key_names(insertion.table)
    keys = [(column.name, column) for column in insertion.given if column.name in names]
    if keys:
        others = [column.name for column in (*insertion.given, *insertion.filled) if column.name not in names]
        filled = [column.name for column in insertion.filled if column.name in names]
        refuse_equal_rows(change, load_input(change, form, body, keys, [*others, *filled]), len(keys))


def _key_names(table: Table) -> set[str]:
    return {name for key in table.keys for name in key.columns if key.columns != ("RID",)}


def refuse_unknown(table: Table, options: Options) -> None:
    """Raises Conflict for a default that the table, as the client sees it, does not have."""
    for name in options.defaults:
        if name not in table.columns:
            raise Conflict(f"Column {name} of the defaults does not exist in table {table.schema}:{table.name}.")


def plan_insertion(table: Table, options: Options) -> Insertion:
    """Raises Forbidden for RMT and RMB, Conflict when no column is given."""
    for name in ("RMT", "RMB"):
        if name in options.nondefaults:
            raise Forbidden(f"Column {name} can never be written.")
    filled = {*options.defaults, *(name for name in SYSTEM if name not in options.nondefaults)}
    columns = table.columns.values()
    if filled.issuperset(table.columns):
        raise Conflict("Rows need at least one column that is given, not left to its default.")
    return Insertion(
        table,
        tuple(column for column in columns if column.name not in filled),
        tuple(column for column in columns if column.name in filled),
        options.onconflict == "skip",
    )


def require_given(writing: Writing, insertion: Insertion) -> None:
    """Raise Forbidden unless the client may give these columns; system columns are the owner's, RID also a lessee's."""
    require_columns(writing.model, insertion.table, insertion.given, writing.client, "insert")
    for column in insertion.given:
        if column.name in ("RCT", "RCB") and not is_owner(writing, insertion.table):
            raise refusal(writing.client, f"Column {column.name} can be given by owners only.")


def is_owner(writing: Writing, table: Table) -> bool:
    return table_right(Access(writing.model, roles_of(writing.client)), table, "owner") is True


def last_row(connection: sqlite3.Connection, table: Table) -> int:
    """SQLite's number of the newest row; rows that are inserted get larger ones."""
    return int(connection.execute(f"SELECT ifnull(max(rowid), 0) FROM {table.physical}").fetchone()[0])


def insert_batch(change: Change, insertion: Insertion, given: Rows) -> tuple[Rows, int]:
    """Insert rows, of which `given` has the values of the given columns.

    Returns the values of all the table's columns, and how many rows were inserted: without those that were skipped.

    Raises Conflict for nulls and equal keys.
    """
    count = len(given[0]) if given else 0
    if count == 0:
        return [], 0
    table = insertion.table
    values: dict[str, Sequence[Stored]] = {
        column.name: cells for column, cells in zip(insertion.given, given, strict=True)
    }
    for column in insertion.filled:
        values[column.name] = fill_column(change, column, count)
    rids = values["RID"]
    for column in table.columns.values():
        if column.name in _IDENTIFIERS and column.type.name in ("ermrest_curie", "ermrest_uri"):
            values[column.name] = _put_rids(values[column.name], rids)
    for column in table.columns.values():
        cells = values[column.name]
        if not column.nullok and None in cells:
            raise null_conflict(table, column.name)
    names = ", ".join(column.physical for column in table.columns.values())
    marks = ", ".join("?" * len(table.columns))
    otherwise = " ON CONFLICT DO NOTHING" if insertion.skip_conflicts else ""
    stored = [values[name] for name in table.columns]
    try:
        done = change.connection.executemany(
            f"INSERT INTO {table.physical} ({names}) VALUES ({marks}){otherwise}",
            zip(*stored, strict=True),
        )
    except sqlite3.IntegrityError as error:
        raise key_conflict(table, error) from None
    return stored, done.rowcount


def fill_column(change: Change, column: Column, count: int) -> Sequence[Stored]:
    """Values for a column that the client does not give."""
    now = change.writing.now.text
    fixed = {"RCT": now, "RMT": now, "RCB": change.client_id, "RMB": change.client_id}
    if column.name == "RID":
        return new_rids(change.connection, count)
    if column.name in fixed:
        return [fixed[column.name]] * count
    if column.type.scalar.startswith("serial") and not column.type.is_array:
        return list(allocate_column_serials(change.connection, column.physical, count))
    (value,) = cast_json_column(column, [column.default]) if column.default is not None else (None,)
    return [value] * count


def _put_rids(cells: Sequence[Stored], rids: Sequence[Stored]) -> list[Stored]:
    return [
        cell.replace("{RID}", str(rid)) if isinstance(cell, str) and "{RID}" in cell else cell
        for cell, rid in zip(cells, rids, strict=True)
    ]


def check_inserted(change: Change, insertion: Insertion, before: int) -> None:
    """Check the foreign keys of the rows behind `before`, and settle the RIDs that the client gave."""
    table = insertion.table
    which = f"f.rowid > {before}"
    refuse_references(change, table, "insert", which, [column.name for column in insertion.given])
    fixed = {column.name for column in insertion.filled} & {"RCT", "RMT", "RCB", "RMB"}
    for fkey in table.foreign_keys:
        # one value for all rows needs one look
        once = fixed.issuperset(fkey.columns)
        first = f"f.rowid = (SELECT min(rowid) FROM {table.physical} WHERE rowid > {before})"
        check_references(change, table, fkey, first if once else which)
    if any(column.name == "RID" for column in insertion.given):
        _settle_rids(change, table, before)


def _settle_rids(change: Change, table: Table, before: int) -> None:
    """Move the sequence past RIDs that were given, and use up their leases; a client without rights needs them."""
    rid = table.columns["RID"].physical
    given = change.connection.execute(f"SELECT {rid} FROM {table.physical} WHERE rowid > ?", (before,))
    note_rids(change.connection, (row[0] for row in given))
    lease = table_named(change.writing.model, ("public", "ERMrest_RID_Lease"))
    if lease is None or lease.full_name == table.full_name:
        return
    lessee = f"l.{lease.columns['RCB'].physical} IS ?1"
    same = f"l.{lease.columns['RID'].physical} = t.{rid}"
    if not is_owner(change.writing, table):
        unleased = change.connection.execute(
            f"SELECT t.{rid} FROM {table.physical} AS t WHERE t.rowid > ?2 AND NOT EXISTS "
            f"(SELECT 1 FROM {lease.physical} AS l WHERE {same} AND {lessee}) LIMIT 1",
            (change.client_id, before),
        ).fetchone()
        if unleased is not None:
            raise refusal(change.writing.client, f"The RID {unleased[0]} is not leased to this client.")
    if change.connection.execute(f"SELECT 1 FROM {lease.physical} LIMIT 1").fetchone() is None:
        return
    used = make_set(
        change,
        f"SELECT l.rowid AS row FROM {table.physical} AS t JOIN {lease.physical} AS l ON {same} "
        f"WHERE t.rowid > ?2 AND {lessee}",
        (change.client_id, before),
    )
    delete_rows(change, lease, used)


def render_inserted(connection: sqlite3.Connection, table: Table, before: int, form: str) -> Iterable[bytes]:
    """The rows behind `before`, with all their columns."""
    return render(connection, inserted_query(table, before), shape_of(table), form)


def inserted_query(table: Table, before: int) -> Query:
    names = ", ".join(f"{column.physical} AS o{i}" for i, column in enumerate(table.columns.values()))
    return Query(f"SELECT {names} FROM {table.physical} WHERE rowid > ?1 ORDER BY rowid", (before,))


def shape_of(table: Table) -> Shape:
    return Shape(tuple(table.columns), tuple(column.type for column in table.columns.values()))
