"""Taking elements out of the model. Rows and their history stay in the file: the past still shows them."""

from __future__ import annotations

from dataclasses import replace

from deriva_ml_prefect.embedded.ermrest.acl import require, require_schema
from deriva_ml_prefect.embedded.ermrest.definition import SYSTEM_COLUMNS
from deriva_ml_prefect.embedded.ermrest.draft import Draft, put_table, remove_schema, remove_table
from deriva_ml_prefect.embedded.ermrest.model import ForeignKey, Key, Table, TableName
from deriva_ml_prefect.embedded.ermrest.physical import drop_foreign_key_index, drop_key_index
from deriva_ml_prefect.embedded.errors import Conflict


def drop_schema(draft: Draft, name: str) -> None:
    """Raises Conflict while it has tables."""
    schema = draft.schema(name)
    require_schema(draft.model, schema, draft.client, "owner")
    if schema.tables:
        raise Conflict(f"Schema {name} has tables: {', '.join(list(schema.tables)[:5])}. Delete them first.")
    remove_schema(draft, name)


def drop_table(draft: Draft, name: TableName) -> None:
    """Raises Conflict while another table refers to it."""
    table = draft.table(name)
    require(draft.model, table, draft.client, "owner")
    for fkey in draft.model.incoming.get(name, ()):
        if fkey.table != name:
            raise Conflict(f"Table {name[1]} is referred to by {fkey.table[0]}:{fkey.table[1]} ({fkey.name[1]}).")
    remove_table(draft, name)


def drop_column(draft: Draft, name: TableName, column_name: str) -> None:
    """Take a column out, with the keys and foreign keys of its own table that it is part of.

    Raises Conflict when it is a system column, or another table refers to it.
    """
    table = draft.table(name)
    require(draft.model, table, draft.client, "owner")
    draft.column(table, column_name)
    if column_name in SYSTEM_COLUMNS:
        raise Conflict(f"The system column {column_name} cannot be deleted.")
    for fkey in draft.model.incoming.get(name, ()):
        if column_name in fkey.referenced_columns and fkey.table != name:
            raise Conflict(f"Column {column_name} is referred to by {fkey.table[1]} ({fkey.name[1]}).")
    for key in table.keys:
        if column_name in key.columns:
            drop_key_index(draft.connection, table, key)
    gone = [fkey for fkey in table.foreign_keys if uses_column(fkey, name, column_name)]
    for fkey in gone:
        drop_foreign_key_index(draft.connection, fkey)
    put_table(
        draft,
        replace(
            table,
            columns={key: column for key, column in table.columns.items() if key != column_name},
            keys=tuple(key for key in table.keys if column_name not in key.columns),
            foreign_keys=tuple(fkey for fkey in table.foreign_keys if fkey not in gone),
        ),
        instead_of=name,
    )


def uses_column(fkey: ForeignKey, table: TableName, column: str) -> bool:
    return column in fkey.columns or (fkey.referenced_table == table and column in fkey.referenced_columns)


def drop_key(draft: Draft, name: TableName, key: Key) -> None:
    """Raises Conflict while a foreign key refers to it, or when no key without nulls would remain."""
    table = draft.table(name)
    require(draft.model, table, draft.client, "owner")
    for fkey in draft.model.incoming.get(name, ()):
        if set(fkey.referenced_columns) == set(key.columns):
            raise Conflict(f"Key {key.name[1]} is referred to by {fkey.table[1]} ({fkey.name[1]}).")
    remaining = tuple(each for each in table.keys if each.rid != key.rid)
    if not any(is_identifying(table, each) for each in remaining):
        raise Conflict(f"Key {key.name[1]} is the only key without nulls of table {name[1]}.")
    drop_key_index(draft.connection, table, key)
    put_table(draft, replace(table, keys=remaining), instead_of=name)


def is_identifying(table: Table, key: Key) -> bool:
    return not any(table.columns[column].nullok for column in key.columns)


def drop_foreign_key(draft: Draft, fkey: ForeignKey) -> None:
    table = draft.table(fkey.table)
    require(draft.model, table, draft.client, "owner")
    drop_foreign_key_index(draft.connection, fkey)
    remaining = tuple(each for each in table.foreign_keys if each.rid != fkey.rid)
    put_table(draft, replace(table, foreign_keys=remaining), instead_of=fkey.table)
