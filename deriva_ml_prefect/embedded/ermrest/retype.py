"""Changing a column's type: values are converted into a new SQLite column, so that the past keeps the old one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from deriva_ml_prefect.embedded.ermrest.definition import are_comparable
from deriva_ml_prefect.embedded.ermrest.draft import Draft, put_table
from deriva_ml_prefect.embedded.ermrest.model import Column, TableName, Type
from deriva_ml_prefect.embedded.ermrest.physical import (
    add_physical_column,
    drop_foreign_key_index,
    drop_key_index,
    index_foreign_key,
    index_key,
)
from deriva_ml_prefect.embedded.ermrest.types import INTEGERS, QUOTED_EMPTY, Stored, cast_text_column
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict

ROWS_AT_ONCE: Final = 5000


def retype_column(draft: Draft, name: TableName, column: Column, kind: Type) -> Column:
    """Give the column another type, converting the values of all present rows.

    Raises Conflict when a value does not fit, or a foreign key no longer compares equal types.
    """
    if kind == column.type:
        return column
    if kind.name.startswith("serial"):
        raise Conflict(f"Column {column.name} cannot become {kind.name}: add a new column for that.")
    table = draft.table(name)
    changed = replace(column, type=kind, physical=f"c{draft.new_physical()}")
    add_physical_column(draft.connection, table, changed)
    convert_values(draft, table.physical, column, changed)
    columns = {key: changed if key == column.name else each for key, each in table.columns.items()}
    table = put_table(draft, replace(table, columns=columns), instead_of=name)
    for key in table.keys:
        if column.name in key.columns:
            drop_key_index(draft.connection, table, key)
            index_key(draft.connection, table, key)
    for fkey in table.foreign_keys:
        if column.name in fkey.columns:
            drop_foreign_key_index(draft.connection, fkey)
            index_foreign_key(draft.connection, table, fkey)
    check_foreign_key_types(draft, name, column.name)
    return changed


def check_foreign_key_types(draft: Draft, name: TableName, column: str) -> None:
    table = draft.model.schemas[name[0]].tables[name[1]]
    for fkey in (*table.foreign_keys, *draft.model.incoming.get(name, ())):
        source = draft.model.schemas[fkey.table[0]].tables[fkey.table[1]]
        target = draft.model.schemas[fkey.referenced_table[0]].tables[fkey.referenced_table[1]]
        for one, other in zip(fkey.columns, fkey.referenced_columns, strict=True):
            if not are_comparable(source.columns[one].type, target.columns[other].type):
                raise Conflict(f"Column {column} is part of foreign key {fkey.name[1]}, whose types would differ.")


def convert_values(draft: Draft, physical: str, old: Column, new: Column) -> None:
    rows = draft.connection.execute(f"SELECT {old.physical}, rowid FROM {physical} WHERE {old.physical} IS NOT NULL")
    while batch := rows.fetchmany(ROWS_AT_ONCE):
        values = convert([row[0] for row in batch], old, new)
        draft.connection.executemany(
            f"UPDATE {physical} SET {new.physical} = ? WHERE rowid = ?",
            zip(values, (row[1] for row in batch), strict=True),
        )


def convert(values: Sequence[Stored], old: Column, new: Column) -> Sequence[Stored]:
    """Stored values of the old type as stored values of the new, through their text, as a cast in SQL does."""
    texts = [text_of(value, old.type, new.type) for value in values]
    if old.type.is_array != new.type.is_array and old.type.scalar != "text" and new.type.scalar != "text":
        raise Conflict(f"Column {old.name} cannot be converted from {old.type.name} to {new.type.name}.")
    try:
        return cast_text_column(new, texts)
    except BadRequest as error:
        raise Conflict(f"Not every value can become {new.type.name}. {error.message}") from error


def text_of(value: Stored, old: Type, new: Type) -> str:
    """A stored value as the text that a cast to the new type reads; never the text that stands for null."""
    if isinstance(value, str):
        return value or QUOTED_EMPTY
    if old.scalar == "boolean":
        return str(value) if new.scalar in INTEGERS else ("true" if value else "false")
    if isinstance(value, float):
        if new.scalar in INTEGERS and value == value and abs(value) < 2**63:
            return str(round(value))
        return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
    if new.scalar == "boolean" and old.scalar in INTEGERS:
        return "true" if value else "false"
    return str(value)
