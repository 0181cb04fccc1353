"""Tables and columns as callers give them: by name, as deriva-py's objects, or as documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deriva_ml_prefect.catalog import documents
from deriva_ml_prefect.config.column import ColumnDefinition


def table_name(table: Any) -> str | tuple[str, str]:
    """A table by name, or deriva-py's Table as (schema, name)."""
    if isinstance(table, str):
        return table
    return (table.schema.name, table.name)


def column_document(column: ColumnDefinition | Mapping[str, Any]) -> Mapping[str, Any]:
    """ERMrest's document of a column to be made."""
    if isinstance(column, ColumnDefinition):
        return documents.column(
            column.name, column.type.value, nullok=column.nullok, default=column.default, comment=column.comment or None
        )
    return column


def column_or_table(item: Any) -> Any:
    """A column's document, or the name of a table to be referred to."""
    if isinstance(item, (ColumnDefinition, Mapping)):
        return column_document(item)
    return table_name(item)
