"""The model of a catalog in its file: parts as JSON, each with the time that it was valid, so that any snapshot loads.

A part is the catalog itself (annotations and ACLs), a schema without its tables, or a table with its columns, keys and
foreign keys. A change writes the parts that differ from those before it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any, cast

import orjson

from deriva_ml_prefect.embedded.ermrest.clock import Moment, decode_urlb32
from deriva_ml_prefect.embedded.ermrest.model import Column, ForeignKey, Json, Key, Model, Schema, Table, TableName
from deriva_ml_prefect.embedded.ermrest.types_catalog import resolve_type

CATALOG_PART = ("catalog", "")


def model_version_at(connection: sqlite3.Connection, at: Moment | None) -> int:
    """Time of the last change of the model until the given moment (None: until now), in microseconds."""
    if at is None:
        row = connection.execute("SELECT max(micros) FROM model_version").fetchone()
    else:
        row = connection.execute("SELECT max(micros) FROM model_version WHERE micros <= ?", (at.micros,)).fetchone()
    return cast(int, row[0] or 0)


def load_model(connection: sqlite3.Connection, at: Moment | None = None) -> Model:
    """The model as it is, or as it was. Costs as much as the model is large: use `Catalog.model`, which caches."""
    version = model_version_at(connection, at)
    rows = connection.execute(
        "SELECT kind, rid, document FROM model_part WHERE since <= ?1 AND (until IS NULL OR until > ?1)", (version,)
    ).fetchall()
    rows.sort(key=lambda row: decode_urlb32(row[1]) if row[1] else 0)
    whole: Json = {"annotations": {}, "acls": {}}
    schemas: dict[str, Json] = {}
    tables: dict[str, dict[str, Table]] = {}
    for kind, _, text in rows:
        document = orjson.loads(text)
        if kind == "schema":
            schemas[document["name"]] = document
        elif kind == "table":
            table = table_of_part(document)
            tables.setdefault(table.schema, {})[table.name] = table
        else:
            whole = document
    return assemble_model(
        version,
        {name: schema_of_part(part, tables.get(name, {})) for name, part in schemas.items()},
        whole["annotations"],
        whole["acls"],
    )


def assemble_model(
    version: int, schemas: Mapping[str, Schema], annotations: Mapping[str, Json], acls: Mapping[str, list[str]]
) -> Model:
    """A model with its index of incoming foreign keys."""
    incoming: dict[TableName, list[ForeignKey]] = {}
    for schema in schemas.values():
        for table in schema.tables.values():
            for fkey in table.foreign_keys:
                incoming.setdefault(fkey.referenced_table, []).append(fkey)
    return Model(version, schemas, annotations, acls, {name: tuple(fkeys) for name, fkeys in incoming.items()})


def save_model(connection: sqlite3.Connection, before: Model, after: Model, now: Moment) -> Model:
    """Make `after` the model from `now` on; tables that are the same object in both are not written again.

    Returns `after` with `now` as its version.
    """
    old, new = dict(model_parts(before)), dict(model_parts(after))
    for part, value in old.items():
        if new.get(part) != value:
            connection.execute(
                "UPDATE model_part SET until = ? WHERE kind = ? AND rid = ? AND until IS NULL", (now.micros, *part)
            )
    for part, value in new.items():
        if old.get(part) != value:
            document = part_of_table(value) if isinstance(value, Table) else value
            connection.execute(
                "INSERT INTO model_part (kind, rid, since, document) VALUES (?, ?, ?, ?)",
                (*part, now.micros, orjson.dumps(document).decode()),
            )
    connection.execute("INSERT INTO model_version (micros) VALUES (?)", (now.micros,))
    return assemble_model(now.micros, after.schemas, after.annotations, after.acls)


def model_parts(model: Model) -> Iterator[tuple[tuple[str, str], Any]]:
    """Kind and RID of each part, and its value: equal values need not be written again."""
    yield CATALOG_PART, {"annotations": dict(model.annotations), "acls": dict(model.acls)}
    for schema in model.schemas.values():
        yield ("schema", schema.rid), part_of_schema(schema)
        for table in schema.tables.values():
            yield ("table", table.rid), table


def part_of_schema(schema: Schema) -> dict[str, Json]:
    return {
        "rid": schema.rid,
        "name": schema.name,
        "comment": schema.comment,
        "annotations": dict(schema.annotations),
        "acls": dict(schema.acls),
    }


def schema_of_part(part: Mapping[str, Json], tables: Mapping[str, Table]) -> Schema:
    return Schema(
        rid=part["rid"],
        name=part["name"],
        comment=part["comment"],
        annotations=part["annotations"],
        acls=part["acls"],
        tables=tables,
    )


def part_of_table(table: Table) -> dict[str, Json]:
    fields = {name: value for name, value in vars(table).items() if name not in ("columns", "keys", "foreign_keys")}
    columns = [vars(column) | {"type": column.type.name} for column in table.columns.values()]
    return fields | {
        "columns": columns,
        "keys": [vars(key) for key in table.keys],
        "foreign_keys": [vars(fkey) for fkey in table.foreign_keys],
    }


def table_of_part(part: dict[str, Json]) -> Table:
    columns = [Column(**(column | {"type": resolve_type(column["type"])})) for column in part["columns"]]
    keys = [
        Key(**(key | {"columns": tuple(key["columns"]), "name": (key["name"][0], key["name"][1])}))
        for key in part["keys"]
    ]
    return Table(
        **(
            part
            | {
                "columns": {column.name: column for column in columns},
                "keys": tuple(keys),
                "foreign_keys": tuple(foreign_key_of_part(fkey) for fkey in part["foreign_keys"]),
            }
        )
    )


def foreign_key_of_part(part: dict[str, Json]) -> ForeignKey:
    pairs = {name: (part[name][0], part[name][1]) for name in ("table", "referenced_table", "name")}
    lists = {name: tuple(part[name]) for name in ("columns", "referenced_columns")}
    return ForeignKey(**(part | pairs | lists))
