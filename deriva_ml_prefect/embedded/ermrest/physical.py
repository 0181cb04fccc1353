"""The SQLite tables and indexes behind the model.

A table has its present rows in `t<N>` and its former rows in `h<N>`, which has one column more, the first: `until_`,
the time from which the row was no longer so. Neither tables nor columns are dropped when the model drops them: the
past still names them. A key is a unique index, a foreign key a plain one; both go with the constraint.
"""

from __future__ import annotations

import sqlite3

from deriva_ml_prefect.embedded.ermrest.model import Column, ForeignKey, Key, Table
from deriva_ml_prefect.embedded.ermrest.types_catalog import storage_of_type
from deriva_ml_prefect.embedded.errors import Conflict

MOST_COLUMNS = 1600
"""As PostgreSQL allows; SQLite would take some more."""


def create_physical_table(connection: sqlite3.Connection, table: Table) -> None:
    """Make both SQLite tables; keys and foreign keys are indexed by their own functions."""
    columns = ", ".join(declared(column) for column in table.columns.values())
    rid = table.columns["RID"].physical
    if len(table.columns) > MOST_COLUMNS:
        raise Conflict(f"Table {table.name} has {len(table.columns)} columns; at most {MOST_COLUMNS} are possible.")
    connection.execute(f"CREATE TABLE {table.physical} ({columns})")
    connection.execute(f"CREATE TABLE {table.history} (until_ TEXT NOT NULL, {columns})")
    connection.execute(f"CREATE INDEX {table.history}_until ON {table.history} (until_)")
    connection.execute(f"CREATE INDEX {table.history}_rid ON {table.history} ({rid})")


def declared(column: Column) -> str:
    return f"{column.physical} {storage_of_type(column.type)}"


def add_physical_column(connection: sqlite3.Connection, table: Table, column: Column) -> None:
    (used,) = connection.execute("SELECT count(*) FROM pragma_table_info(?)", (table.history,)).fetchone()
    if used > MOST_COLUMNS:
        raise Conflict(f"Table {table.name} has had {used} columns, the past's among them: make a new table instead.")
    for name in (table.physical, table.history):
        connection.execute(f"ALTER TABLE {name} ADD COLUMN {declared(column)}")


def index_key(connection: sqlite3.Connection, table: Table, key: Key) -> None:
    """Have SQLite keep the key unique.

    Raises Conflict when present rows already break it.
    """
    columns = ", ".join(table.columns[name].physical for name in key.columns)
    try:
        connection.execute(f'CREATE UNIQUE INDEX "key {key.rid}" ON {table.physical} ({columns})')
    except sqlite3.IntegrityError as error:
        raise Conflict(
            f"Rows of {table.schema}:{table.name} hold equal values in {', '.join(key.columns)}: "
            "change them before making it a key."
        ) from error


def drop_key_index(connection: sqlite3.Connection, table: Table, key: Key) -> None:
    connection.execute(f'DROP INDEX IF EXISTS "key {key.rid}"')
    if key.columns == ("RID",):
        rid = table.columns["RID"].physical
        connection.execute(f"CREATE INDEX IF NOT EXISTS {table.physical}_rid ON {table.physical} ({rid})")


def index_foreign_key(connection: sqlite3.Connection, table: Table, fkey: ForeignKey) -> None:
    columns = ", ".join(table.columns[name].physical for name in fkey.columns)
    connection.execute(f'CREATE INDEX "fkey {fkey.rid}" ON {table.physical} ({columns})')


def drop_foreign_key_index(connection: sqlite3.Connection, fkey: ForeignKey) -> None:
    connection.execute(f'DROP INDEX IF EXISTS "fkey {fkey.rid}"')


def check_references(connection: sqlite3.Connection, table: Table, fkey: ForeignKey, target: Table) -> None:
    """Raise Conflict when a present row refers to nothing."""
    pairs = list(zip(fkey.columns, fkey.referenced_columns, strict=True))
    joined = " AND ".join(f"p.{target.columns[to].physical} = f.{table.columns[name].physical}" for name, to in pairs)
    given = " AND ".join(f"f.{table.columns[name].physical} IS NOT NULL" for name in fkey.columns)
    astray = connection.execute(
        f"SELECT 1 FROM {table.physical} f WHERE {given} "
        f"AND NOT EXISTS (SELECT 1 FROM {target.physical} p WHERE {joined}) LIMIT 1"
    ).fetchone()
    if astray:
        raise Conflict(
            f"Rows of {table.schema}:{table.name} hold values in {', '.join(fkey.columns)} that "
            f"{target.schema}:{target.name} lacks: add or change them before making it a foreign key."
        )


def has_rows(connection: sqlite3.Connection, table: Table) -> bool:
    return connection.execute(f"SELECT 1 FROM {table.physical} LIMIT 1").fetchone() is not None


def has_nulls(connection: sqlite3.Connection, table: Table, column: Column) -> bool:
    found = connection.execute(f"SELECT 1 FROM {table.physical} WHERE {column.physical} IS NULL LIMIT 1").fetchone()
    return found is not None
