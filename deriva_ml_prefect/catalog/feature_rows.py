"""Values of features: one row says what one execution found for one row of the target table."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.rows import Row, get_rows, insert_missing_rows
from deriva_ml_prefect.catalog.urls import any_of, batches_of_values, table_name
from deriva_ml_prefect.exceptions import (
    DerivaMLCatalogConflict,
    DerivaMLMaterializeLimitExceeded,
    DerivaMLSchemaError,
    DerivaMLValidationError,
)
from deriva_ml_prefect.values.listed import first_of
from deriva_ml_prefect.values.records import FeatureDefinition
from deriva_ml_prefect.values.rid import RID, check_rid

Key = tuple[Any, ...]
_TEXTS = frozenset({"text", "markdown", "longtext", "ermrest_rid", "ermrest_curie", "ermrest_uri"})
"""Types whose values the catalog gives back to the letter."""


def insert_feature_rows(catalog: Catalog, feature: FeatureDefinition, rows: Sequence[Mapping[str, Any]]) -> int:
    """Write values of one feature, once, however often this is called; gives the number that is there, all of `rows`.

    A row has the execution's RID, the target's and the feature's columns; Feature_Name is filled in. Rows that the
    catalog holds already are compared value by value: another value is DerivaMLCatalogConflict.
    """
    key_columns = natural_key(catalog, feature)
    wanted: dict[Key, Row] = {}
    for row in rows:
        full = {**row, feature.feature_name_column: feature.name}
        key = tuple(map(full.get, key_columns))
        if (other := wanted.setdefault(key, full)) is not full and _differences(feature, other, full):
            raise DerivaMLValidationError(
                f"Feature {feature.name}: two different values for {_shown(key_columns, key)}. "
                "One execution says one thing about one row: leave one of them out."
            )
    inserted = insert_missing_rows(catalog, (feature.schema, feature.table), list(wanted.values()))
    if inserted < len(wanted):
        _compare_held(catalog, feature, key_columns, wanted)
    return len(wanted)


def read_feature_rows(
    catalog: Catalog,
    feature: FeatureDefinition,
    *,
    execution_rid: RID | None = None,
    execution_rids: Sequence[RID] | None = None,
    snapshot: str | None = None,
    most: int | None = None,
) -> list[Row]:
    """All values of a feature, or those that some executions wrote, as rows with their system columns.

    More rows than `most` are DerivaMLMaterializeLimitExceeded, before they are all fetched.
    """
    path = f"entity/{table_name(feature.schema, feature.table)}"
    paths = [path]
    wanted = [execution_rid] if execution_rid is not None else execution_rids
    if wanted is not None:
        batches = batches_of_values(list(dict.fromkeys(map(check_rid, wanted))))
        paths = [f"{path}/{any_of(feature.execution_column, batch)}" for batch in batches]
    rows: list[Row] = []
    for each in paths:
        rest = "" if most is None else f"?limit={most - len(rows) + 1}"
        rows += get_rows(catalog, f"{each}@sort(RID){rest}", snapshot=snapshot)
        if most is not None and len(rows) > most:
            raise DerivaMLMaterializeLimitExceeded(
                f"Feature {feature.name} of {feature.target_table} has more than {most} values. Raise the limit, or "
                "name the executions whose values are wanted."
            )
    return rows


def natural_key(catalog: Catalog, feature: FeatureDefinition) -> tuple[str, ...]:
    """The columns that make a value unique: execution, target, feature name, and qualifiers where there are some."""
    table = catalog.schema.tables[feature.schema, feature.table]
    needed = {feature.execution_column, feature.target_column, feature.feature_name_column}
    for key in sorted(table.keys, key=len, reverse=True):
        if needed <= set(key):
            return key
    raise DerivaMLSchemaError(
        f"{feature.qualified} has no key over {', '.join(sorted(needed))}, so values could be written twice. "
        "Make the feature anew with create_feature."
    )


def _compare_held(
    catalog: Catalog, feature: FeatureDefinition, key_columns: Sequence[str], held: Mapping[Key, Row]
) -> None:
    """Compare rows of which some were left out of an insert with those that the catalog has."""
    executions = list(dict.fromkeys(row[feature.execution_column] for row in held.values()))
    types = catalog.schema.tables[feature.schema, feature.table]
    plain = [column for column in key_columns if types.typename(column) in _TEXTS]
    qualifiers = [(column, types.typename(column)) for column in key_columns if column not in plain]
    found: dict[Key, list[Row]] = {}
    for batch in batches_of_values(executions):
        path = f"entity/{table_name(feature.schema, feature.table)}/{any_of(feature.execution_column, batch)}"
        for there in get_rows(catalog, path):
            found.setdefault(tuple(there[column] for column in plain), []).append(there)
    wrong = []
    for key, row in held.items():
        # what qualifies a value comes back in the catalog's own spelling
        near = found.get(tuple(row.get(column) for column in plain), [])
        stored = next((r for r in near if all(same_value(t, row.get(c), r[c]) for c, t in qualifiers)), None)
        if stored is None:
            wrong.append(f"{_shown(key_columns, key)} is not there, though another unique key refused it")
        elif names := _differences(feature, row, stored):
            values = ", ".join(f"{name}={stored.get(name)!r} not {row.get(name)!r}" for name in names)
            wrong.append(f"{_shown(key_columns, key)} has {values}")
    if wrong:
        raise DerivaMLCatalogConflict(
            f"Feature {feature.name}: the catalog holds other values than those staged: {first_of(wrong)}. "
            "Nothing was overwritten: write the new values in another execution."
        )


def _shown(columns: Sequence[str], key: Key) -> str:
    return ", ".join(f"{column} {value}" for column, value in zip(columns, key, strict=True))


def _differences(feature: FeatureDefinition, wanted: Mapping[str, Any], stored: Mapping[str, Any]) -> list[str]:
    return [
        column.name
        for column in feature.columns
        if not same_value(column.typename, wanted.get(column.name), stored.get(column.name))
    ]


def same_value(typename: str, wanted: Any, stored: Any) -> bool:
    """Whether a value that was sent is the one that the catalog gives back, after its type's own rounding."""
    if wanted is None or stored is None or wanted == stored:
        return wanted is stored or (wanted == stored and wanted is not None)
    try:
        if typename in ("float4", "float8"):
            return _rounded(typename, float(wanted)) == _rounded(typename, float(stored))
        if typename.startswith(("int", "serial")):
            return int(wanted) == int(stored)
        if typename == "boolean":
            return _truth(wanted) == _truth(stored)
        if typename in ("date", "timestamp", "timestamptz", "ermrest_rct", "ermrest_rmt"):
            return _moment(wanted) == _moment(stored)
    except (ValueError, TypeError, OverflowError):
        return False
    if typename.endswith("[]") and isinstance(wanted, (list, tuple)) and isinstance(stored, list):
        return len(wanted) == len(stored) and all(
            same_value(typename[:-2], a, b) for a, b in zip(wanted, stored, strict=True)
        )
    if typename in ("json", "jsonb"):
        # a text may have been taken for the spelling of another value
        return isinstance(wanted, str)
    # of other types (intervals, times) the server may change the spelling: only texts must be equal to the letter
    return not (isinstance(wanted, str) and isinstance(stored, str) and typename in _TEXTS)


def _rounded(typename: str, value: float) -> float:
    single: float = struct.unpack("f", struct.pack("f", value))[0]
    return single if typename == "float4" else value


def _truth(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in ("t", "true", "yes", "on", "1", "y")
    return bool(value)


def _moment(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
