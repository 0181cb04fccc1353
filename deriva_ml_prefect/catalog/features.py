"""Features: what a feature is made of. Their values are in `feature_rows`, whose functions are given on here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from deriva_ml_prefect.catalog import documents
from deriva_ml_prefect.catalog.assets import target_of
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.feature_rows import insert_feature_rows, read_feature_rows
from deriva_ml_prefect.catalog.feature_tables import EXECUTION, FEATURE_NAME, define_feature
from deriva_ml_prefect.catalog.naming import closest, make_id
from deriva_ml_prefect.catalog.schema import (
    Table,
    default_schema,
    domain_schemas,
    find_table,
    foreign_keys_to,
    is_asset,
    is_vocabulary,
    ml_table,
)
from deriva_ml_prefect.catalog.tables import create_tables
from deriva_ml_prefect.catalog.vocabulary import add_term
from deriva_ml_prefect.exceptions import (
    DerivaMLCatalogConflict,
    DerivaMLFeatureNotFound,
    DerivaMLSchemaError,
    DerivaMLTableTypeError,
    DerivaMLValidationError,
)
from deriva_ml_prefect.values.names import SYSTEM_COLUMNS, MLVocab
from deriva_ml_prefect.values.records import FeatureDefinition

__all__ = ["create_feature", "find_features", "insert_feature_rows", "lookup_feature", "read_feature_rows"]

TableName = str | tuple[str, str] | Table


def create_feature(
    catalog: Catalog,
    target_table: TableName,
    name: str,
    *,
    terms: Sequence[TableName] = (),
    assets: Sequence[TableName] = (),
    metadata: Sequence[Mapping[str, Any] | TableName] = (),
    optional: Sequence[str] = (),
    comment: str = "",
    schema: str | None = None,
) -> FeatureDefinition:
    """Define feature `name` of a table: values are terms, assets, and further columns (documents or references).

    Terms and assets must be given with each value, except the columns named in `optional`. Also adds the term to
    Feature_Name. A feature of that name is DerivaMLCatalogConflict.
    """
    target = _table(catalog, target_table)
    asset_tables = [_table(catalog, table) for table in assets]
    vocabularies = [_table(catalog, table) for table in terms]
    _check_kinds(vocabularies, asset_tables)
    own_columns = [dict(item) for item in metadata if isinstance(item, Mapping)]
    others = [_table(catalog, item) for item in metadata if not isinstance(item, Mapping)]
    home = schema or (target.schema if target.schema in domain_schemas(catalog) else default_schema(catalog))
    document = documents.association(
        home,
        [
            target_of(catalog, ml_table(catalog, EXECUTION)),
            target_of(catalog, target),
            target_of(catalog, ml_table(catalog, MLVocab.feature_name)),
        ],
        name=make_id(EXECUTION, target.name, name),
        references=[(target_of(catalog, table), False) for table in [*asset_tables, *vocabularies, *others]],
        columns=own_columns,
        defaults={FEATURE_NAME: name},
        comment=comment or None,
    )
    _make_nullable(document, optional)
    if (home, document["table_name"]) in catalog.schema.tables:
        raise DerivaMLCatalogConflict(
            f"Feature {name} of {target.qualified} already exists (table {home}:{document['table_name']}). Use it with "
            "lookup_feature(), or choose another name."
        )
    add_term(catalog, ml_table(catalog, MLVocab.feature_name), name, comment or f"Feature of {target.qualified}")
    table = create_tables(catalog, [document])[0]
    definition = define_feature(catalog.schema, table, target.ref)
    if definition is None:
        raise DerivaMLSchemaError(
            f"{table.qualified} was made and is not a feature table. Look at the server's schema."
        )
    return definition


def lookup_feature(catalog: Catalog, table: TableName, name: str) -> FeatureDefinition:
    """The feature of that name; DerivaMLFeatureNotFound lists what the table has."""
    target = _table(catalog, table)
    found = {feature.name: feature for feature in find_features(catalog, target)}
    if name not in found:
        catalog.refresh()
        target = find_table(catalog, target.ref)
        found = {feature.name: feature for feature in find_features(catalog, target)}
    if name not in found:
        near = closest(name, found)
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise DerivaMLFeatureNotFound(
            f"{target.qualified} has no feature {name!r}.{hint} It has: {', '.join(sorted(found)) or 'none'}. "
            "Make one with create_feature."
        )
    return found[name]


def feature_of_table(catalog: Catalog, table: str, target: str) -> FeatureDefinition:
    """The feature of a table called `target` whose values are in `table` (`schema.table`), as a journal names them.

    DerivaMLFeatureNotFound if there is none: names of targets alone do not tell, since two schemas may have them.
    """
    found = _defined_by(catalog, table, target)
    if found is None:
        catalog.refresh()
        found = _defined_by(catalog, table, target)
    if found is None:
        raise DerivaMLFeatureNotFound(
            f"Catalog {catalog.address} has no table {table} any more that holds values of a feature of {target}."
        )
    return found


def _defined_by(catalog: Catalog, table: str, target: str) -> FeatureDefinition | None:
    for found in catalog.schema.tables.values():
        if f"{found.schema}.{found.name}" == table:
            ends = [fkey.target for fkey in found.foreign_keys if fkey.target_table == target]
            made = (define_feature(catalog.schema, found, end) for end in ends)
            return next((feature for feature in made if feature is not None), None)
    return None


def find_features(catalog: Catalog, table: TableName | None = None) -> list[FeatureDefinition]:
    """The features of a table, or of every table of the domain schemas and the ML schema."""
    if table is not None:
        return _features_of(catalog, _table(catalog, table))
    schemas = {*domain_schemas(catalog), catalog.address.ml_schema}
    return [
        feature
        for target in catalog.schema.tables.values()
        if target.schema in schemas and not is_vocabulary(target) and target.name != EXECUTION
        for feature in _features_of(catalog, target)
    ]


def _features_of(catalog: Catalog, target: Table) -> list[FeatureDefinition]:
    def find() -> list[FeatureDefinition]:
        tables = {(fkey.schema, fkey.table): None for fkey in foreign_keys_to(catalog, target)}
        made = (define_feature(catalog.schema, catalog.schema.tables[ref], target.ref) for ref in tables)
        return [feature for feature in made if feature is not None]

    return catalog.remember(("features", target.ref), find)


def _check_kinds(vocabularies: Iterable[Table], assets: Iterable[Table]) -> None:
    for table in vocabularies:
        if not is_vocabulary(table):
            raise DerivaMLTableTypeError(f"{table.qualified} among terms= is not a vocabulary.")
    for table in assets:
        if not is_asset(table):
            raise DerivaMLTableTypeError(f"{table.qualified} among assets= is not an asset table.")


def _make_nullable(document: dict[str, Any], names: Sequence[str]) -> None:
    ends = set(document["keys"][1]["unique_columns"]) | set(SYSTEM_COLUMNS)
    columns = {c["name"]: c for c in document["column_definitions"] if c["name"] not in ends}
    if unknown := [name for name in names if name not in columns]:
        raise DerivaMLValidationError(
            f"optional= names {', '.join(unknown)}, and the feature's columns are {', '.join(columns) or 'none'}."
        )
    for name in names:
        columns[name]["nullok"] = True


def _table(catalog: Catalog, table: TableName) -> Table:
    return table if isinstance(table, Table) else find_table(catalog, table)
