"""Sparse changes of the model: a field that the document lacks stays, null or an empty value clears it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from deriva_ml_prefect.embedded.ermrest.acl import (
    COLUMN_ACLS,
    FKEY_ACLS,
    SCHEMA_ACLS,
    TABLE_ACLS,
    refusal,
    require,
    require_schema,
    schema_right,
    table_right,
)
from deriva_ml_prefect.embedded.ermrest.controls import read_acls, read_bindings
from deriva_ml_prefect.embedded.ermrest.definition import (
    SYSTEM_COLUMNS,
)
from deriva_ml_prefect.embedded.ermrest.documents import SYSTEM_DEFAULTS
from deriva_ml_prefect.embedded.ermrest.draft import Draft, change_foreign_keys, put_schema, put_table
from deriva_ml_prefect.embedded.ermrest.fields import (
    read_action,
    read_annotations,
    read_comment,
    read_constraint_name,
    read_name,
    read_object,
)
from deriva_ml_prefect.embedded.ermrest.model import Column, ForeignKey, Json, Key, Schema, Table, TableName
from deriva_ml_prefect.embedded.ermrest.physical import has_nulls
from deriva_ml_prefect.embedded.ermrest.retype import retype_column
from deriva_ml_prefect.embedded.ermrest.types import cast_json_column
from deriva_ml_prefect.embedded.ermrest.types_catalog import type_of_document
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict


def alter_schema(draft: Draft, name: str, document: Json) -> Schema:
    """Change comment, annotations, ACLs or name of a schema."""
    document = read_object(document, "schema")
    schema = draft.schema(name)
    require_schema(draft.model, schema, draft.client, "owner")
    if "comment" in document:
        schema = replace(schema, comment=read_comment(document))
    if "annotations" in document:
        schema = replace(schema, annotations=read_annotations(document))
    if "acls" in document:
        schema = replace(schema, acls=read_acls(document["acls"], SCHEMA_ACLS))
    put_schema(draft, schema, instead_of=name)
    if not schema_right(draft.access, schema, "owner"):
        raise refusal(draft.client, f"owner access on schema {name}: the change would take it from you")
    if document.get("schema_name", name) != name:
        rename_schema(draft, schema, read_name(document["schema_name"], "schema"))
    return draft.model.schemas[document.get("schema_name", name)]


def rename_schema(draft: Draft, schema: Schema, name: str) -> None:
    if name in draft.model.schemas or name == "_ermrest" or name.startswith("pg_"):
        raise Conflict(f"Schema {name} exists already, or its name is reserved.")
    old = schema.name

    def moved(full_name: TableName) -> TableName:
        return (name, full_name[1]) if full_name[0] == old else full_name

    tables = {
        key: replace(table, schema=name, keys=tuple(replace(each, name=moved(each.name)) for each in table.keys))
        for key, table in schema.tables.items()
    }
    put_schema(draft, replace(schema, name=name, tables=tables), instead_of=old)
    change_foreign_keys(
        draft,
        lambda fkey: replace(
            fkey, table=moved(fkey.table), referenced_table=moved(fkey.referenced_table), name=moved(fkey.name)
        ),
    )


def alter_table(draft: Draft, name: TableName, document: Json) -> Table:
    """Change comment, annotations, ACLs, bindings, name or schema of a table."""
    document = read_object(document, "table")
    table = draft.table(name)
    require(draft.model, table, draft.client, "owner")
    if "comment" in document:
        table = replace(table, comment=read_comment(document))
    if "annotations" in document:
        table = replace(table, annotations=read_annotations(document))
    if "acls" in document:
        table = replace(table, acls=read_acls(document["acls"], TABLE_ACLS))
    if "acl_bindings" in document:
        bindings = read_bindings(document["acl_bindings"], "table", draft.model, table)
        table = replace(table, acl_bindings=bindings)
    put_table(draft, table, instead_of=name)
    if table_right(draft.access, table, "owner") is not True:
        raise refusal(draft.client, f"owner access on table {name[0]}:{name[1]}: the change would take it from you")
    wanted = (document.get("schema_name", name[0]), document.get("table_name", name[1]))
    if wanted != name:
        move_table(draft, table, (read_name(wanted[0], "schema"), read_name(wanted[1], "table")))
    return draft.table(wanted)


def move_table(draft: Draft, table: Table, name: TableName) -> None:
    """Give a table another name, or another schema, to which its constraints follow it."""
    old, schema = table.full_name, draft.schema(name[0])
    if name[1] in schema.tables:
        raise Conflict(f"Table {name[1]} exists already in schema {name[0]}.")
    if schema.name != table.schema:
        require_schema(draft.model, schema, draft.client, "create")
    keys = tuple(replace(key, name=(name[0], key.name[1])) for key in table.keys)
    put_table(draft, replace(table, schema=name[0], name=name[1], keys=keys), instead_of=old)

    def follow(fkey: ForeignKey) -> ForeignKey:
        if fkey.table == old:
            fkey = replace(fkey, table=name, name=(name[0], fkey.name[1]))
        return replace(fkey, referenced_table=name) if fkey.referenced_table == old else fkey

    change_foreign_keys(draft, follow)


def alter_column(draft: Draft, name: TableName, column_name: str, document: Json) -> Column:
    """Change comment, annotations, ACLs, bindings, name, type, default or nullok of a column."""
    document = read_object(document, "column")
    table = draft.table(name)
    require(draft.model, table, draft.client, "owner")
    column = draft.column(table, column_name)
    if column_name in SYSTEM_COLUMNS:
        check_system_column_stays(column, document)
        document = {key: value for key, value in document.items() if key not in ("name", "type", "nullok", "default")}
    if "comment" in document:
        column = replace(column, comment=read_comment(document))
    if "annotations" in document:
        column = replace(column, annotations=read_annotations(document))
    if "acls" in document:
        column = replace(column, acls=read_acls(document["acls"], COLUMN_ACLS))
    if "acl_bindings" in document:
        bindings = read_bindings(document["acl_bindings"], "column", draft.model, table)
        column = replace(column, acl_bindings=bindings)
    if "default" in document:
        column = replace(column, default=document["default"])
    put_column(draft, table, column)
    if "type" in document:
        column = retype_column(draft, name, column, type_of_document(document["type"]))
    if column.default is not None:
        cast_json_column(column, [column.default])
    if "nullok" in document:
        column = set_nullok(draft, name, column, document["nullok"])
    if document.get("name", column_name) != column_name:
        column = rename_column(draft, name, column, read_name(document["name"], "column"))
    return column


def check_system_column_stays(column: Column, document: Mapping[str, Json]) -> None:
    """Raise Conflict when a document would make another column out of a system column."""
    default = document.get("default")
    same_type = "type" not in document or type_of_document(document["type"]) == column.type
    if (
        document.get("name", column.name) != column.name
        or not same_type
        or document.get("nullok", column.nullok) != column.nullok
        or default not in (None, SYSTEM_DEFAULTS[column.name])
    ):
        raise Conflict(f"Name, type, default and nullok of the system column {column.name} cannot be changed.")


def put_column(draft: Draft, table: Table, column: Column, *, instead_of: str | None = None) -> Table:
    """Put the column in the place of the one of that name (its own, unless another is given)."""
    old = instead_of or column.name
    columns = {
        column.name if name == old else name: column if name == old else each for name, each in table.columns.items()
    }
    return put_table(draft, replace(table, columns=columns), instead_of=table.full_name)


def set_nullok(draft: Draft, name: TableName, column: Column, nullok: Json) -> Column:
    table = draft.table(name)
    if not isinstance(nullok, bool):
        raise BadRequest(f"The field nullok of column {column.name} must be true or false.")
    if not nullok and has_nulls(draft.connection, table, column):
        raise Conflict(f"Rows of {name[0]}:{name[1]} hold null in {column.name}: give them values first.")
    column = replace(column, nullok=nullok)
    put_column(draft, table, column)
    return column


def rename_column(draft: Draft, name: TableName, column: Column, new: str) -> Column:
    """Give a column another name, in its table and in all constraints that name it."""
    table, old = draft.table(name), column.name
    if new in table.columns:
        raise Conflict(f"Column {new} exists already in table {name[0]}:{name[1]}.")
    if new in SYSTEM_COLUMNS:
        raise BadRequest(f"Only a system column can be named {new}.")

    def renamed(columns: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new if each == old else each for each in columns)

    def follow(fkey: ForeignKey) -> ForeignKey:
        if fkey.table == name:
            fkey = replace(fkey, columns=renamed(fkey.columns))
        if fkey.referenced_table == name:
            fkey = replace(fkey, referenced_columns=renamed(fkey.referenced_columns))
        return fkey

    column = replace(column, name=new)
    table = put_column(draft, table, column, instead_of=old)
    keys = tuple(replace(key, columns=renamed(key.columns)) for key in table.keys)
    put_table(draft, replace(table, keys=keys), instead_of=name)
    change_foreign_keys(draft, follow)
    return column


def alter_key(draft: Draft, name: TableName, key: Key, document: Json) -> Key:
    """Change comment, annotations or name of a key."""
    document = read_object(document, "key")
    table = draft.table(name)
    require(draft.model, table, draft.client, "owner")
    changed = key
    if "comment" in document:
        changed = replace(changed, comment=read_comment(document))
    if "annotations" in document:
        changed = replace(changed, annotations=read_annotations(document))
    wanted = read_constraint_name(document)
    if wanted is not None and wanted != key.name[1]:
        tables = draft.model.schemas[table.schema].tables.values()
        if any(wanted == other.name[1] for each in tables for other in each.keys):
            raise Conflict(f"Schema {table.schema} has a key named {wanted} already.")
        changed = replace(changed, name=(table.schema, wanted))
    keys = tuple(changed if each.rid == key.rid else each for each in table.keys)
    put_table(draft, replace(table, keys=keys), instead_of=name)
    return changed


def alter_foreign_key(draft: Draft, fkey: ForeignKey, document: Json) -> ForeignKey:
    """Change comment, annotations, ACLs, bindings, name or actions of a foreign key."""
    document = read_object(document, "foreign key")
    table = draft.table(fkey.table)
    require(draft.model, table, draft.client, "owner")
    changed = fkey
    if "comment" in document:
        changed = replace(changed, comment=read_comment(document))
    if "annotations" in document:
        changed = replace(changed, annotations=read_annotations(document))
    if "acls" in document:
        changed = replace(changed, acls=read_acls(document["acls"], FKEY_ACLS, wildcard=True))
    if "acl_bindings" in document:
        target = draft.table(fkey.referenced_table)
        bindings = read_bindings(document["acl_bindings"], "foreign key", draft.model, target)
        changed = replace(changed, acl_bindings=bindings)
    if "on_delete" in document:
        changed = replace(changed, on_delete=read_action(document, "on_delete"))
    if "on_update" in document:
        changed = replace(changed, on_update=read_action(document, "on_update"))
    wanted = read_constraint_name(document)
    if wanted is not None and wanted != fkey.name[1]:
        if any(wanted == other.name[1] for other in table.foreign_keys):
            raise Conflict(f"Table {table.schema}:{table.name} has a foreign key named {wanted} already.")
        changed = replace(changed, name=(table.schema, wanted))
    put_foreign_key(draft, changed)
    return changed


def put_foreign_key(draft: Draft, fkey: ForeignKey) -> None:
    """Put the foreign key in the place of the one with its RID."""
    table = draft.table(fkey.table)
    fkeys = tuple(fkey if each.rid == fkey.rid else each for each in table.foreign_keys)
    put_table(draft, replace(table, foreign_keys=fkeys), instead_of=fkey.table)
