"""Model documents in: schemas, tables, columns, keys and foreign keys made as a client's JSON asks for them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from deriva_ml_prefect.embedded.ermrest.acl import (
    COLUMN_ACLS,
    FKEY_ACLS,
    SCHEMA_ACLS,
    TABLE_ACLS,
    catalog_right,
    require,
    require_catalog,
    require_schema,
    schema_right,
)
from deriva_ml_prefect.embedded.ermrest.controls import read_acls, read_bindings
from deriva_ml_prefect.embedded.ermrest.draft import Draft, put_schema, put_table
from deriva_ml_prefect.embedded.ermrest.fields import (
    LONGEST_NAME,
    read_action,
    read_annotations,
    read_column_set,
    read_comment,
    read_constraint_name,
    read_list,
    read_name,
    read_names,
    read_object,
)
from deriva_ml_prefect.embedded.ermrest.model import (
    Column,
    ForeignKey,
    Json,
    Key,
    Model,
    Schema,
    Table,
    TableName,
    Type,
)
from deriva_ml_prefect.embedded.ermrest.physical import (
    add_physical_column,
    check_references,
    create_physical_table,
    has_rows,
    index_foreign_key,
    index_key,
)
from deriva_ml_prefect.embedded.ermrest.types import cast_json_column
from deriva_ml_prefect.embedded.ermrest.types_catalog import echo_of_type, type_of_document
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict

SYSTEM_COLUMNS: Final = ("RID", "RCT", "RMT", "RCB", "RMB")
COMPARABLE: Final = (
    frozenset({"int2", "int4", "int8", "serial2", "serial4", "serial8", "float4", "float8"}),
    frozenset({"date", "timestamp", "timestamptz"}),
)
"""Types whose values a foreign key may compare although their names differ."""


def create_schema(draft: Draft, document: Json) -> Schema:
    """Make a schema and the tables in it, without their foreign keys: `add_foreign_keys` comes last."""
    document = read_object(document, "schema")
    name = read_name(document.get("schema_name"), "schema")
    if name in draft.model.schemas or name == "_ermrest" or name.startswith("pg_"):
        raise Conflict(f"Schema {name} exists already, or its name is reserved.")
    require_catalog(draft.model, draft.client, "create")
    acls = read_acls(document.get("acls"), SCHEMA_ACLS)
    if not catalog_right(draft.access, "owner") and draft.client is not None:
        acls = {"owner": [draft.client.id]} | acls
    schema = Schema(
        rid=draft.new_rid(),
        name=name,
        comment=read_comment(document),
        annotations=read_annotations(document),
        acls=acls,
        tables={},
    )
    put_schema(draft, schema)
    tables = read_object(document.get("tables") or {}, "set of tables")
    for key, table in tables.items():
        table = read_object(table, "table")
        if table.get("table_name", key) != key:
            raise BadRequest(f"Table key {key} does not match its table_name {table['table_name']}.")
        if table.get("schema_name", name) != name:
            raise Conflict(f"Table {key} names schema {table['schema_name']}, but stands in schema {name}.")
        create_table(draft, {"schema_name": name, **table, "table_name": key}, with_foreign_keys=False)
    return draft.model.schemas[name]


def create_table(draft: Draft, document: Json, *, with_foreign_keys: bool = True) -> Table:
    """Make a table with its columns and keys, and its foreign keys unless the caller adds them later."""
    document = read_object(document, "table")
    schema = draft.schema(read_name(document.get("schema_name"), "schema"))
    name = read_name(document.get("table_name"), "table")
    if document.get("kind", "table") != "table":
        raise Conflict(f"A table of kind {document['kind']} cannot be made here: only kind table.")
    if name in schema.tables:
        raise Conflict(f"Table {name} exists already in schema {schema.name}.")
    require_schema(draft.model, schema, draft.client, "create")
    number = draft.new_physical()
    acls = read_acls(document.get("acls"), TABLE_ACLS)
    if not schema_right(draft.access, schema, "owner") and draft.client is not None:
        acls = {"owner": [draft.client.id]} | acls
    table = Table(
        rid=draft.new_rid(),
        schema=schema.name,
        name=name,
        kind="table",
        comment=read_comment(document),
        annotations=read_annotations(document),
        acls=acls,
        acl_bindings={},
        columns={},
        keys=(),
        foreign_keys=(),
        physical=f"t{number}",
        history=f"h{number}",
    )
    columns: dict[str, Column] = {}
    for definition in read_list(document.get("column_definitions", []), "column_definitions"):
        column = make_column(draft, definition)
        if column.name in columns:
            raise Conflict(f"Column {column.name} is defined twice in table {name}.")
        columns[column.name] = column
    missing = [system for system in SYSTEM_COLUMNS if system not in columns]
    if missing:
        raise BadRequest(f"Table {name} lacks the system columns {', '.join(missing)}.")
    table = replace(table, columns=columns)
    bindings = read_bindings(document.get("acl_bindings"), "table", draft.model, table)
    table = put_table(draft, replace(table, acl_bindings=bindings))
    create_physical_table(draft.connection, table)
    for key in read_list(document.get("keys") or [], "keys"):
        add_key(draft, table.full_name, key)
    if not any(set(key.columns) == {"RID"} for key in draft.table(table.full_name).keys):
        raise BadRequest(f"Table {name} lacks a key on RID.")
    if with_foreign_keys:
        add_foreign_keys(draft, table.full_name, document)
    return draft.table(table.full_name)


def make_column(draft: Draft, document: Json) -> Column:
    """A column as its document describes it, not yet part of a table."""
    document = read_object(document, "column")
    name = read_name(document.get("name"), "column")
    if "type" not in document:
        raise BadRequest(f"Column {name} needs a type.")
    kind = type_of_document(document["type"])
    nullok = document.get("nullok", True)
    nullok = True if nullok is None else nullok
    if not isinstance(nullok, bool):
        raise BadRequest(f"The field nullok of column {name} must be true or false.")
    if name in SYSTEM_COLUMNS:
        check_system_column(name, kind, nullok)
    rid = draft.new_rid()
    draft.echoes[rid] = echo_of_type(document["type"])
    column = Column(
        rid=rid,
        name=name,
        type=kind,
        nullok=nullok,
        default=None if name in SYSTEM_COLUMNS else document.get("default"),
        comment=read_comment(document),
        annotations=read_annotations(document),
        acls=read_acls(document.get("acls"), COLUMN_ACLS),
        acl_bindings=read_bindings(document.get("acl_bindings"), "column", draft.model, None),
        physical=f"c{draft.new_physical()}",
    )
    if column.default is not None:
        cast_json_column(column, [column.default])
    return column


def check_system_column(name: str, kind: Type, nullok: bool) -> None:
    if kind.name != f"ermrest_{name.lower()}":
        raise BadRequest(f"System column {name} cannot have type {kind.name}, only ermrest_{name.lower()}.")
    if nullok and name in ("RID", "RCT", "RMT"):
        raise BadRequest(f"System column {name} must have nullok false.")


def add_column(draft: Draft, name: TableName, document: Json) -> Column:
    """Add a column at the right end; rows that exist get its default."""
    table = draft.table(name)
    require(draft.model, table, draft.client, "owner")
    column = make_column(draft, document)
    if column.name in table.columns:
        raise Conflict(f"Column {column.name} exists already in table {table.schema}:{table.name}.")
    table = put_table(draft, replace(table, columns={**table.columns, column.name: column}), instead_of=name)
    add_physical_column(draft.connection, table, column)
    if column.default is not None:
        draft.connection.execute(
            f"UPDATE {table.physical} SET {column.physical} = ?", tuple(cast_json_column(column, [column.default]))
        )
    elif column.type.name.startswith("serial"):
        number_rows(draft, table, column)
    elif not column.nullok and has_rows(draft.connection, table):
        raise Conflict(f"Column {column.name} cannot be not null: rows exist, and it has no default.")
    return column


def number_rows(draft: Draft, table: Table, column: Column) -> None:
    """Give the rows of a table the first numbers of a new serial column."""
    draft.connection.execute(
        f"UPDATE {table.physical} SET {column.physical} = numbered.n FROM "
        f"(SELECT rowid AS r, row_number() OVER (ORDER BY rowid) AS n FROM {table.physical}) numbered "
        f"WHERE {table.physical}.rowid = numbered.r"
    )
    draft.connection.execute(
        f"INSERT INTO column_serial (physical, last) SELECT ?, count(*) FROM {table.physical}", (column.physical,)
    )


def add_key(draft: Draft, name: TableName, document: Json) -> Key:
    table = draft.table(name)
    require(draft.model, table, draft.client, "owner")
    document = read_object(document, "key")
    columns = read_names(document.get("unique_columns"), "unique_columns")
    for column in columns:
        if column not in table.columns:
            raise BadRequest(f"Key column {column} is not defined in table {table.schema}:{table.name}.")
        if table.columns[column].type.scalar == "json" and not table.columns[column].type.is_array:
            raise Conflict(f"Column {column} has type json, which cannot be compared: it cannot be in a key.")
    if any(set(key.columns) == set(columns) for key in table.keys):
        raise Conflict(f"Table {table.schema}:{table.name} has a key on {', '.join(columns)} already.")
    taken = {key.name[1] for each in draft.model.schemas[table.schema].tables.values() for key in each.keys}
    wanted = read_constraint_name(document)
    if wanted in taken:
        raise Conflict(f"Schema {table.schema} has a key named {wanted} already.")
    key = Key(
        rid=draft.new_rid(),
        columns=columns,
        name=(table.schema, wanted or invent_name(table.name, columns, "key", constraint_names(draft.model))),
        comment=read_comment(document),
        annotations=read_annotations(document),
    )
    put_table(draft, replace(table, keys=(*table.keys, key)), instead_of=name)
    index_key(draft.connection, table, key)
    return key


def add_foreign_keys(draft: Draft, name: TableName, document: Mapping[str, Json]) -> None:
    """Add the foreign keys that a table's document lists."""
    for fkey in read_list(document.get("foreign_keys") or [], "foreign_keys"):
        add_foreign_key(draft, fkey, name)


def add_foreign_key(draft: Draft, document: Json, name: TableName | None = None) -> ForeignKey:
    """Add a foreign key to the table named, or (without one) to the table that its columns name."""
    document = read_object(document, "foreign key")
    source, columns = read_column_set(document.get("foreign_key_columns"), "foreign key", name)
    if name is not None and source != name:
        raise Conflict(f"Foreign key columns must be of table {name[0]}:{name[1]}, not {source[0]}:{source[1]}.")
    target_name, referenced = read_column_set(document.get("referenced_columns"), "referenced", name)
    if len(columns) != len(referenced):
        raise BadRequest("A foreign key needs as many columns as it refers to.")
    table, target = draft.table(source), draft.table(target_name)
    require(draft.model, table, draft.client, "owner")
    check_columns(draft, table, columns, target, referenced)
    pairs = set(zip(columns, referenced, strict=True))
    for other in table.foreign_keys:
        if other.referenced_table == target_name and pairs == set(
            zip(other.columns, other.referenced_columns, strict=True)
        ):
            raise Conflict(f"Table {table.schema}:{table.name} has that foreign key already: {other.name[1]}.")
    taken = {fkey.name[1] for fkey in table.foreign_keys}
    wanted = read_constraint_name(document)
    if wanted in taken:
        raise Conflict(f"Table {table.schema}:{table.name} has a foreign key named {wanted} already.")
    acls = {"insert": ["*"], "update": ["*"]} | read_acls(document.get("acls"), FKEY_ACLS, wildcard=True)
    fkey = ForeignKey(
        rid=draft.new_rid(),
        table=source,
        columns=columns,
        referenced_table=target_name,
        referenced_columns=referenced,
        name=(table.schema, wanted or invent_name(table.name, columns, "fkey", constraint_names(draft.model))),
        on_delete=read_action(document, "on_delete"),
        on_update=read_action(document, "on_update"),
        comment=read_comment(document),
        annotations=read_annotations(document),
        acls=acls,
        acl_bindings=read_bindings(document.get("acl_bindings"), "foreign key", draft.model, target),
    )
    put_table(draft, replace(table, foreign_keys=(*table.foreign_keys, fkey)), instead_of=source)
    check_references(draft.connection, table, fkey, target)
    index_foreign_key(draft.connection, table, fkey)
    return fkey


def check_columns(
    draft: Draft, table: Table, columns: tuple[str, ...], target: Table, referenced: tuple[str, ...]
) -> None:
    """Raise Conflict unless the columns exist, are comparable, and those referred to are a key."""
    for name, other in zip(columns, referenced, strict=True):
        mine, theirs = draft.column(table, name).type, draft.column(target, other).type
        if not are_comparable(mine, theirs):
            raise Conflict(f"Column {name} of type {mine.name} cannot refer to {other} of type {theirs.name}.")
    if not any(set(key.columns) == set(referenced) for key in target.keys):
        raise Conflict(f"The columns {', '.join(referenced)} of {target.schema}:{target.name} are no key.")


def are_comparable(one: Type, other: Type) -> bool:
    if one.is_array or other.is_array:
        return one.is_array and other.is_array and one.scalar == other.scalar
    return one.scalar == other.scalar or any({one.scalar, other.scalar} <= group for group in COMPARABLE)


def constraint_names(model: Model) -> set[str]:
    """Names of all constraints of the catalog: an invented name is to be new in every schema."""
    tables = [table for schema in model.schemas.values() for table in schema.tables.values()]
    keys = {key.name[1] for table in tables for key in table.keys}
    return keys | {fkey.name[1] for table in tables for fkey in table.foreign_keys}


def invent_name(table: str, columns: Sequence[str], suffix: str, taken: set[str]) -> str:
    """`TABLE_COLUMNS_key`, shortened to 63 bytes by hashing, with a number where that name is taken."""
    number = 0
    while True:
        tail = f"_{suffix}{number or ''}"
        parts = [table, "_".join(columns)]
        name = f"{parts[0]}_{parts[1]}{tail}"
        room = (LONGEST_NAME - 1 - len(tail)) // 2
        if len(name.encode()) > LONGEST_NAME:
            name = f"{shorten(parts[0], room)}_{shorten(parts[1], room)}{tail}"
        if name not in taken:
            return name
        number += 1


def shorten(part: str, room: int) -> str:
    if len(part.encode()) <= room:
        return part
    digest = hashlib.md5(part.encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()[:room]
