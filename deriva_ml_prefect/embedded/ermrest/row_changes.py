"""Change and delete rows by sets: history kept, keys and foreign keys checked, actions of foreign keys followed.

A set of rows is a temporary table whose column `row` holds SQLite's row numbers. What a foreign key without an
action forbids is checked when everything else has been done, as PostgreSQL does at the end of a statement.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deriva_ml_prefect.embedded.database import Connection
from deriva_ml_prefect.embedded.ermrest.acl import table_named
from deriva_ml_prefect.embedded.ermrest.catalogs import Writing
from deriva_ml_prefect.embedded.ermrest.model import Column, ForeignKey, Table
from deriva_ml_prefect.embedded.ermrest.types import Stored, cast_json_column
from deriva_ml_prefect.embedded.errors import Conflict

_NUMBERS = itertools.count(1)


@dataclass
class Change:
    """One request's changes of rows."""

    writing: Writing
    deferred: list[tuple[Table, ForeignKey, str]] = field(default_factory=list)
    """Foreign keys that must hold at the end: referenced table, key, and the set of its former key values."""
    sets: list[str] = field(default_factory=list)

    @property
    def connection(self) -> Connection:
        return self.writing.connection

    @property
    def client_id(self) -> str | None:
        return self.writing.client.id if self.writing.client else None


def make_set(change: Change, query: str, parameters: Sequence[Stored] = ()) -> str:
    """A temporary table of what the query selects."""
    name = f"temp.set{next(_NUMBERS)}"
    # parameters cannot stand in CREATE TABLE AS before SQLite 3.46, so the columns come first
    change.connection.execute(
        f"CREATE TEMP TABLE {name.removeprefix('temp.')} AS SELECT * FROM ({query}) LIMIT 0", tuple(parameters)
    )
    change.connection.execute(f"INSERT INTO {name} {query}", tuple(parameters))
    change.sets.append(name)
    return name


def make_empty_set(change: Change, width: int) -> str:
    """A temporary table with columns `v0`, `v1`, .. of no type, for rows of input."""
    name = f"temp.set{next(_NUMBERS)}"
    columns = ", ".join(f"v{i}" for i in range(width))
    change.connection.execute(f"CREATE TEMP TABLE {name.removeprefix('temp.')} (n INTEGER PRIMARY KEY, {columns})")
    change.sets.append(name)
    return name


def finish(change: Change) -> None:
    """Check what was left for the end, and let the temporary tables go."""
    for table, fkey, former in change.deferred:
        _check_former(change, table, fkey, former)
    for name in change.sets:
        change.connection.execute(f"DROP TABLE {name}")


def keep_history(change: Change, table: Table, rows: str) -> None:
    """Copy the rows to the history before they change; a row that this request made or changed was never seen."""
    kept = change.connection.execute(
        f"INSERT INTO {table.history} SELECT ?1, t.* FROM {table.physical} AS t "
        f"WHERE t.rowid IN (SELECT row FROM {rows}) AND t.{table.columns['RMT'].physical} < ?1",
        (change.writing.now.text,),
    )
    if kept.rowcount > 0:
        change.connection.execute(
            "INSERT INTO former_rows (micros, count) VALUES (?1, ?2) "
            "ON CONFLICT (micros) DO UPDATE SET count = count + ?2",
            (change.writing.now.micros, kept.rowcount),
        )


def update_rows(change: Change, table: Table, rows: str, values: Mapping[str, str]) -> None:
    """Set columns (by name) to what the set's columns hold. Raises Conflict where a constraint forbids it."""
    former = _keep_keys(change, table, rows, set(values))
    keep_history(change, table, rows)
    assigned = {table.columns[name].physical: f"i.{expression}" for name, expression in values.items()}
    assigned[table.columns["RMT"].physical] = "?1"
    assigned[table.columns["RMB"].physical] = "?2"
    settings = ", ".join(f"{column} = {value}" for column, value in assigned.items())
    try:
        change.connection.execute(
            f"UPDATE {table.physical} SET {settings} FROM {rows} AS i WHERE {table.physical}.rowid = i.row",
            (change.writing.now.text, change.client_id),
        )
    except sqlite3.IntegrityError as error:
        raise key_conflict(table, error) from None
    check_not_null(change, table, f"rowid IN (SELECT row FROM {rows})", [table.columns[name] for name in values])
    for fkey in table.foreign_keys:
        if not {*values, "RMB"}.isdisjoint(fkey.columns):
            check_references(change, table, fkey, f"f.rowid IN (SELECT row FROM {rows})")
    for fkey, keys in former:
        _follow_update(change, table, fkey, keys)


def delete_rows(change: Change, table: Table, rows: str) -> None:
    """Raises Conflict where a foreign key forbids it."""
    former = _keep_keys(change, table, rows, None)
    keep_history(change, table, rows)
    change.connection.execute(f"DELETE FROM {table.physical} WHERE rowid IN (SELECT row FROM {rows})")
    for fkey, keys in former:
        _follow_delete(change, table, fkey, keys)


def key_conflict(table: Table, error: sqlite3.IntegrityError) -> Conflict:
    """The error of a broken key: SQLite says which physical columns."""
    message = str(error)
    physical = {part.strip().rpartition(".")[2] for part in message.rpartition(":")[2].split(",")}
    names = [column.name for column in table.columns.values() if column.physical in physical]
    return Conflict(f"A row of {table.schema}:{table.name} with the same {', '.join(names)} exists already.")


def check_not_null(change: Change, table: Table, which: str, columns: Sequence[Column]) -> None:
    strict = [column for column in columns if not column.nullok]
    if not strict:
        return
    missing = " OR ".join(f"{column.physical} IS NULL" for column in strict)
    row = change.connection.execute(
        f"SELECT {', '.join(column.physical for column in strict)} FROM {table.physical} "
        f"WHERE {which} AND ({missing}) LIMIT 1"
    ).fetchone()
    if row is not None:
        name = next(column.name for column, value in zip(strict, row, strict=True) if value is None)
        raise null_conflict(table, name)


def null_conflict(table: Table, name: str) -> Conflict:
    return Conflict(f"Column {name} of table {table.schema}:{table.name} must not be null.")


def check_references(change: Change, table: Table, fkey: ForeignKey, which: str) -> None:
    """Raise Conflict when one of the rows `f` refers to nothing."""
    target = table_named(change.writing.model, fkey.referenced_table)
    if target is None:
        return
    pairs = list(zip(fkey.columns, fkey.referenced_columns, strict=True))
    given = " AND ".join(f"f.{table.columns[name].physical} IS NOT NULL" for name in fkey.columns)
    equal = " AND ".join(f"p.{target.columns[to].physical} = f.{table.columns[name].physical}" for name, to in pairs)
    shown = ", ".join(f"f.{table.columns[name].physical}" for name in fkey.columns)
    astray = change.connection.execute(
        f"SELECT {shown} FROM {table.physical} AS f WHERE {which} AND {given} "
        f"AND NOT EXISTS (SELECT 1 FROM {target.physical} AS p WHERE {equal}) LIMIT 1"
    ).fetchone()
    if astray is not None:
        values = ", ".join(f"{name}={value!r:.80}" for name, value in zip(fkey.columns, astray, strict=True))
        raise Conflict(
            f"A row of {table.schema}:{table.name} refers with {values} to no row of {target.schema}:{target.name}."
        )


def _keep_keys(change: Change, table: Table, rows: str, changed: set[str] | None) -> list[tuple[ForeignKey, str]]:
    """For each foreign key to this table that the change may concern, the set of the rows' former key values."""
    found: list[tuple[ForeignKey, str]] = []
    kept: dict[tuple[str, ...], str] = {}
    for fkey in change.writing.model.incoming.get(table.full_name, ()):
        if changed is not None and changed.isdisjoint(fkey.referenced_columns):
            continue
        if fkey.referenced_columns not in kept:
            keys = ", ".join(
                f"{table.columns[name].physical} AS k{i}" for i, name in enumerate(fkey.referenced_columns)
            )
            kept[fkey.referenced_columns] = make_set(
                change, f"SELECT rowid AS row, {keys} FROM {table.physical} WHERE rowid IN (SELECT row FROM {rows})"
            )
        found.append((fkey, kept[fkey.referenced_columns]))
    return found


def _referring(child: Table, fkey: ForeignKey) -> str:
    return " AND ".join(f"c.{child.columns[name].physical} = o.k{i}" for i, name in enumerate(fkey.columns))


def _follow_update(change: Change, table: Table, fkey: ForeignKey, former: str) -> None:
    child = table_named(change.writing.model, fkey.table)
    if child is None:
        return
    changed = " OR ".join(
        f"o.k{i} IS NOT t.{table.columns[name].physical}" for i, name in enumerate(fkey.referenced_columns)
    )
    new = [f"t.{table.columns[name].physical}" for name in fkey.referenced_columns]
    source = f"{former} AS o JOIN {table.physical} AS t ON t.rowid = o.row AND ({changed})"
    _act(change, table, child, fkey, fkey.on_update, source, new, former)


def _follow_delete(change: Change, table: Table, fkey: ForeignKey, former: str) -> None:
    child = table_named(change.writing.model, fkey.table)
    if child is None:
        return
    if fkey.on_delete == "CASCADE":
        rows = make_set(
            change,
            f"SELECT DISTINCT c.rowid AS row FROM {former} AS o "
            f"JOIN {child.physical} AS c ON {_referring(child, fkey)}",
        )
        if _has_rows(change, rows):
            delete_rows(change, child, rows)
        return
    _act(change, table, child, fkey, fkey.on_delete, f"{former} AS o", [], former)


def _act(
    change: Change,
    table: Table,
    child: Table,
    fkey: ForeignKey,
    action: str,
    source: str,
    new: Sequence[str],
    former: str,
) -> None:
    if action not in ("CASCADE", "SET NULL", "SET DEFAULT"):
        change.deferred.append((table, fkey, former))
        return
    parameters: list[Stored] = []
    if action != "CASCADE":
        columns = [child.columns[name] for name in fkey.columns]
        parameters = [_default_of(column) if action == "SET DEFAULT" else None for column in columns]
        new = [f"?{i + 1}" for i in range(len(columns))]
    shown = ", ".join(f"{value} AS v{i}" for i, value in enumerate(new))
    rows = make_set(
        change,
        f"SELECT c.rowid AS row, {shown} FROM {source} JOIN {child.physical} AS c ON {_referring(child, fkey)}",
        parameters,
    )
    if _has_rows(change, rows):
        update_rows(change, child, rows, {name: f"v{i}" for i, name in enumerate(fkey.columns)})


def _default_of(column: Column) -> Stored:
    return None if column.default is None else cast_json_column(column, [column.default])[0]


def _has_rows(change: Change, rows: str) -> bool:
    return change.connection.execute(f"SELECT 1 FROM {rows} LIMIT 1").fetchone() is not None


def _check_former(change: Change, table: Table, fkey: ForeignKey, former: str) -> None:
    """Raise Conflict when a row still refers to a former key value that no row has now."""
    child = table_named(change.writing.model, fkey.table)
    if child is None:
        return
    equal = " AND ".join(f"p.{table.columns[name].physical} = o.k{i}" for i, name in enumerate(fkey.referenced_columns))
    held = change.connection.execute(
        f"SELECT 1 FROM {former} AS o JOIN {child.physical} AS c ON {_referring(child, fkey)} "
        f"WHERE NOT EXISTS (SELECT 1 FROM {table.physical} AS p WHERE {equal}) LIMIT 1"
    ).fetchone()
    if held is not None:
        raise Conflict(
            f"Rows of {child.schema}:{child.name} still refer to the row of {table.schema}:{table.name} "
            f"by {', '.join(fkey.columns)}: change or delete them first."
        )
