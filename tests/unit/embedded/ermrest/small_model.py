"""A small model and an SQLite file in memory that has its tables, for tests of single stages."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from deriva_ml_prefect.embedded.ermrest.functions import FUNCTIONS
from deriva_ml_prefect.embedded.ermrest.model import Column, ForeignKey, Key, Model, Schema, Table
from deriva_ml_prefect.embedded.ermrest.types_catalog import resolve_type, storage_of_type

SYSTEM = {
    "RID": "ermrest_rid",
    "RCT": "ermrest_rct",
    "RMT": "ermrest_rmt",
    "RCB": "ermrest_rcb",
    "RMB": "ermrest_rmb",
}


def make_column(table: str, name: str, typename: str) -> Column:
    strict = name in ("RID", "RCT", "RMT", "id")
    physical = f"c_{table}_{name}".lower().replace(" ", "_")
    return Column("0", name, resolve_type(typename), not strict, None, None, {}, {}, {}, physical)


def make_table(name: str, columns: Mapping[str, str], *fkeys: tuple[str, str, str]) -> Table:
    """A table of schema S with key `id`; a foreign key is (column, table, column there)."""
    made = {c: make_column(name, c, t) for c, t in {**SYSTEM, **columns}.items()}
    return Table(
        "0",
        "S",
        name,
        "table",
        None,
        {},
        {},
        {},
        made,
        tuple(Key("0", (c,), ("S", c), None, {}) for c in ("RID", "id") if c in made),
        tuple(
            ForeignKey("0", ("S", name), (c,), ("S", t), (to,), ("S", c), "NO ACTION", "NO ACTION", None, {}, {}, {})
            for c, t, to in fkeys
        ),
        f"t_{name}".lower(),
        f"h_{name}".lower(),
    )


def make_model() -> Model:
    tables = {
        table.name: table
        for table in (
            make_table("Subject", {"id": "int4", "name": "text", "tags": "text[]", "weight": "float8"}),
            make_table(
                "Study",
                {"id": "text", "subject": "int4", "owner": "int4"},
                ("subject", "Subject", "id"),
                ("owner", "Subject", "id"),
            ),
            make_table("Image", {"id": "int4", "study": "text", "note": "jsonb"}, ("study", "Study", "id")),
        )
    }
    incoming: dict[tuple[str, str], tuple[ForeignKey, ...]] = {}
    for table in tables.values():
        for fkey in table.foreign_keys:
            incoming[fkey.referenced_table] = (*incoming.get(fkey.referenced_table, ()), fkey)
    return Model(1, {"S": Schema("0", "S", None, {}, {}, tables)}, {}, {}, incoming)


def make_database(model: Model) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    for function in FUNCTIONS:
        connection.create_function(function.name, function.arguments, function.call, deterministic=True)
    for table in model.schemas["S"].tables.values():
        columns = ", ".join(f"{c.physical} {storage_of_type(c.type)}" for c in table.columns.values())
        connection.execute(f"CREATE TABLE {table.physical} ({columns})")
        connection.execute(f"CREATE TABLE {table.history} (until_ TEXT, {columns})")
    return connection


def add_row(
    connection: sqlite3.Connection, table: Table, rid: str, when: str = "2026-01-01T00:00:00+00:00", **values: object
) -> None:
    row = {"RID": rid, "RCT": when, "RMT": when, **values}
    names = ", ".join(table.columns[name].physical for name in row)
    marks = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table.physical} ({names}) VALUES ({marks})", tuple(row.values()))
