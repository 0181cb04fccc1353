"""Which tables hold the values of features, and what a value consists of: told by structure, from a schema alone."""

from __future__ import annotations

from deriva_ml_prefect.catalog.schema import ForeignKey, Schema, Table, is_asset, is_vocabulary
from deriva_ml_prefect.values.names import SYSTEM_COLUMNS
from deriva_ml_prefect.values.records import FeatureColumn, FeatureDefinition

EXECUTION = "Execution"
FEATURE_NAME = "Feature_Name"
"""Columns that every feature table has, beside the one that refers to its target."""


def feature_target(table: Table, target: tuple[str, str]) -> ForeignKey | None:
    """The reference to `target`, if the table holds values of a feature of it.

    Such a table's longest compound key consists of at least three references, one each in columns Execution and
    Feature_Name, and Feature_Name has the feature's name as its default.
    """
    references = {fkey.column: fkey for fkey in table.foreign_keys if len(fkey.columns) == 1}
    compound = [key for key in table.keys if len(key) > 1 and not set(key) & set(SYSTEM_COLUMNS)]
    longest = max(compound, key=len, default=())
    if len(longest) < 3 or not {EXECUTION, FEATURE_NAME} <= set(longest) <= set(references):
        return None
    if table.default(FEATURE_NAME) is None:
        return None
    ends = [references[column] for column in longest if column not in (EXECUTION, FEATURE_NAME)]
    return next((fkey for fkey in ends if fkey.target == target), None)


def define_feature(schema: Schema, table: Table, target: tuple[str, str]) -> FeatureDefinition | None:
    """The feature of `target` that a table defines, or None."""
    end = feature_target(table, target)
    if end is None:
        return None
    fixed = {EXECUTION, FEATURE_NAME, end.column, *SYSTEM_COLUMNS}
    return FeatureDefinition(
        name=str(table.default(FEATURE_NAME)),
        schema=table.schema,
        table=table.name,
        target_schema=target[0],
        target_table=target[1],
        target_column=end.column,
        target_referenced_column=end.target_columns[0],
        execution_column=EXECUTION,
        feature_name_column=FEATURE_NAME,
        columns=tuple(_column(schema, table, column) for column in table.columns if column not in fixed),
    )


def _column(schema: Schema, table: Table, name: str) -> FeatureColumn:
    fkey = next((fkey for fkey in table.foreign_keys if fkey.columns == (name,)), None)
    referred = schema.tables.get(fkey.target) if fkey else None
    kind = "value"
    if referred is not None:
        kind = "term" if is_vocabulary(referred) else "asset" if is_asset(referred) else "value"
    return FeatureColumn(
        name=name,
        typename=table.typename(name),
        kind=kind,
        refers_to=fkey.target if fkey else None,
        referenced_column=fkey.target_columns[0] if fkey else None,
        nullok=table.nullok(name),
        default=table.default(name),
    )
