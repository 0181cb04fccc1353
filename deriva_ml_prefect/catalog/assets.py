"""Assets: files in the object store, each with a row, its types, and the executions that read or made it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deriva_ml_prefect.catalog import documents
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.documents import Target
from deriva_ml_prefect.catalog.feature_rows import same_value
from deriva_ml_prefect.catalog.rows import Row, get_rows, insert_rows, row_by_rid, rows_where_any
from deriva_ml_prefect.catalog.schema import (
    Association,
    Table,
    association_between,
    associations_of,
    default_schema,
    find_table,
    is_asset,
    ml_table,
    reference_column,
)
from deriva_ml_prefect.catalog.tables import create_tables
from deriva_ml_prefect.catalog.urls import any_of, batches_of_values, equals, quote, table_name
from deriva_ml_prefect.catalog.vocabulary import add_standard_terms, add_term
from deriva_ml_prefect.exceptions import (
    AmbiguousAssociationException,
    DerivaMLCatalogConflict,
    DerivaMLNotFoundError,
    DerivaMLSchemaError,
    DerivaMLTableTypeError,
    NoAssociationException,
)
from deriva_ml_prefect.values.names import ASSET_COLUMNS, SYSTEM_COLUMNS, AssetRole, MLVocab
from deriva_ml_prefect.values.objects import check_table_name
from deriva_ml_prefect.values.records import AssetRecord, AssetTable
from deriva_ml_prefect.values.rid import RID, check_rid


def asset_table(catalog: Catalog, name: str | tuple[str, str]) -> AssetTable:
    """The asset table of that name with its two associations; DerivaMLTableTypeError if it is of another kind."""
    table = find_table(catalog, name)
    return catalog.remember(("asset", table.ref), lambda: _describe(catalog, table))


def check_found_by_name(catalog: Catalog, table: AssetTable) -> None:
    """DerivaMLSchemaError for a table whose bare name, by which an execution keeps its files, means another one."""
    found = find_table(catalog, table.name)
    if found.ref != (table.schema, table.name):
        raise DerivaMLSchemaError(
            f"Files of an execution cannot go to {table.schema}:{table.name}, because {found.qualified} has the same "
            "name and would get them. Rename one of the tables, or name the other schema with domain_schemas=."
        )


def linked_asset_tables(catalog: Catalog) -> list[AssetTable]:
    """Every asset table whose rows executions can have read or made.

    Other tables of the catalog may look like one, e.g. those that were there before DerivaML, or have so many
    associations that nobody can say which are those of assets: they are left aside.
    """
    found = []
    for table in sorted(catalog.schema.tables.values(), key=lambda table: table.qualified):
        if is_asset(table):
            try:
                found.append(asset_table(catalog, table.ref))
            except (NoAssociationException, AmbiguousAssociationException):
                continue
    return found


def is_asset_table(catalog: Catalog, name: str | tuple[str, str]) -> bool:
    """Whether there is an asset table of that name."""
    return is_asset(find_table(catalog, name))


def create_asset_table(
    catalog: Catalog,
    name: str,
    *,
    column_defs: Sequence[Mapping[str, Any]] = (),
    fkeys: Sequence[Mapping[str, Any]] = (),
    referenced_tables: Iterable[str | tuple[str, str] | Table] = (),
    comment: str = "",
    schema: str | None = None,
) -> AssetTable:
    """Make an asset table with its two associations, and the term of Asset_Type that is named after it.

    `column_defs` and `fkeys` are ERMrest's documents; `documents.column` makes the former. Each referenced table gives
    a column that must be filled.
    """
    check_table_name(name)
    home = schema or default_schema(catalog)
    targets = [target_of(catalog, referenced) for referenced in referenced_tables]
    own = Target(home, name, "RID")
    tables = [
        documents.asset(
            home,
            name,
            columns=[dict(column) for column in column_defs],
            foreign_keys=[dict(fkey) for fkey in fkeys],
            references=targets,
            comment=comment or None,
        ),
        documents.association(home, [own, target_of(catalog, ml_table(catalog, MLVocab.asset_type))]),
        documents.association(
            home,
            [own, target_of(catalog, ml_table(catalog, "Execution"))],
            references=[(target_of(catalog, ml_table(catalog, MLVocab.asset_role)), False)],
        ),
    ]
    create_tables(catalog, tables)
    add_term(catalog, (catalog.address.ml_schema, MLVocab.asset_type), name, f"A row of {home}:{name}")
    return asset_table(catalog, (home, name))


def target_of(catalog: Catalog, table: str | tuple[str, str] | Table) -> Target:
    """What a new reference to the table points to: the term's name for a vocabulary, else the row's RID."""
    found = table if isinstance(table, Table) else find_table(catalog, table)
    column = reference_column(found)
    return Target(found.schema, found.name, column, found.typename(column))


_OF_BYTES = frozenset({"URL", "MD5", "Length"})
"""Columns that every asset row has; a key of them refuses a row that is sent again."""


@dataclass(frozen=True)
class PlacedAssets:
    """Asset rows that are in the catalog now, by URL."""

    rids: Mapping[str, RID]
    otherwise: Mapping[str, tuple[str, ...]]
    """URLs whose row was there already and says something else, with the columns that differ."""


def insert_asset_rows(catalog: Catalog, table: AssetTable, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, RID]:
    """RIDs by URL of rows for objects that are in the store; see `place_asset_rows`."""
    return place_asset_rows(catalog, table, rows).rids


def place_asset_rows(catalog: Catalog, table: AssetTable, rows: Sequence[Mapping[str, Any]]) -> PlacedAssets:
    """Rows for objects that are in the store: inserted, or found there under the same URL. Repeatable.

    A row has URL, Filename, Length, MD5, and what else is to be filled. The URL is unique, so a row that is there is
    left as it is; which of the values given it does not have is told. One that is there under the URL of other bytes
    is DerivaMLCatalogConflict.
    """
    wanted: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        _compare(table, row, wanted.setdefault(row["URL"], row))
    ref = (table.schema, table.name)
    found: list[Row] = []
    keyed = any({*key} <= _OF_BYTES for key in catalog.schema.tables[ref].keys)
    if not keyed:
        # a table that was not made for assets may take a row twice: so look first, and send once
        found = rows_where_any(catalog, ref, "URL", sorted(wanted))
    known = {row["URL"] for row in found}
    rest = [row for url, row in wanted.items() if url not in known]
    stored = insert_rows(catalog, ref, rest, skip_conflicts=True, repeatable=keyed)
    if missing := {*wanted} - known - {row["URL"] for row in stored}:
        found += rows_where_any(catalog, ref, "URL", sorted(missing))
    rids = {row["URL"]: row["RID"] for row in (*stored, *found)}
    for row in (*stored, *found):
        _compare(table, wanted[row["URL"]], row)
    if absent := [url for url in wanted if url not in rids]:
        raise DerivaMLCatalogConflict(
            f"{table.qualified} took no row for {absent[0]} ({len(absent)} in all): another unique key of the table "
            "holds one of its values already. Look at the table's keys."
        )
    otherwise = {row["URL"]: names for row in found if (names := _said_otherwise(table, wanted[row["URL"]], row))}
    return PlacedAssets(rids, otherwise)


def _said_otherwise(table: AssetTable, wanted: Mapping[str, Any], stored: Mapping[str, Any]) -> tuple[str, ...]:
    """Columns in which a row that is there does not have the value given; what is not given may be anything."""
    types = {"Description": "markdown", **table.metadata_types}
    return tuple(
        name
        for name, typename in types.items()
        if wanted.get(name) not in (None, "") and not same_value(typename, wanted[name], stored.get(name))
    )


def insert_asset_types(catalog: Catalog, table: AssetTable, types: Sequence[tuple[RID, str]]) -> None:
    """Give assets types, terms of Asset_Type; those that they have stay. Repeatable.

    Terms that this package uses itself are added where an older release made the catalog without them.
    """
    rows = [{table.type_asset_column: asset, table.type_term_column: term} for asset, term in dict.fromkeys(types)]
    ref = (table.type_schema, table.type_table)
    try:
        insert_rows(catalog, ref, rows, skip_conflicts=True, repeatable=True)
    except DerivaMLCatalogConflict:
        vocabulary = (catalog.address.ml_schema, MLVocab.asset_type)
        if not add_standard_terms(catalog, vocabulary, sorted({term for _, term in types})):
            raise
        insert_rows(catalog, ref, rows, skip_conflicts=True, repeatable=True)


def link_assets(
    catalog: Catalog, table: AssetTable, execution_rid: RID, asset_rids: Iterable[RID], role: str = AssetRole.output
) -> None:
    """Say that the execution read or made these assets. Repeatable.

    The schema keeps one role for an asset in an execution: the first one written stays.
    """
    rows = [
        {table.execution_asset_column: asset, table.execution_execution_column: execution_rid, table.role_column: role}
        for asset in dict.fromkeys(asset_rids)
    ]
    insert_rows(catalog, (table.execution_schema, table.execution_table), rows, skip_conflicts=True, repeatable=True)


def locate_rid(catalog: Catalog, rid: RID) -> Table:
    """The table that has a row of this RID; DerivaMLNotFoundError if none has, or has no longer."""
    answer = catalog.client.request("GET", catalog.path(f"entity_rid/{quote(check_rid(rid))}"), expect=(200, 404))
    found = answer.json() if answer.status == 200 else {}
    if not found or found.get("deleted_at"):
        gone = "no longer has" if found else "has no"
        raise DerivaMLNotFoundError(f"Catalog {catalog.address} {gone} row {rid}. Check the RID and the catalog.")
    return find_table(catalog, (found["schema_name"], found["table_name"]))


def read_asset(catalog: Catalog, rid: RID) -> AssetRecord:
    """The asset of that RID, whichever table it is in."""
    located = locate_rid(catalog, rid)
    if not is_asset(located):
        raise DerivaMLTableTypeError(f"{rid} is a row of {located.qualified}, which is no asset table.")
    table = asset_table(catalog, located.ref)
    row = row_by_rid(catalog, located.ref, rid)
    if row is None:
        raise DerivaMLNotFoundError(f"Catalog {catalog.address} has no asset {rid}. Check the RID and the catalog.")
    types = get_rows(
        catalog,
        f"entity/{table_name(table.type_schema, table.type_table)}/{equals(table.type_asset_column, row['RID'])}",
    )
    return _record(table, row, [link[table.type_term_column] for link in types])


def list_assets(
    catalog: Catalog, table: AssetTable, *, execution_rid: RID | None = None, role: str | None = None
) -> list[AssetRecord]:
    """The assets of a table, or those that an execution read or made, with their types."""
    path = table_name(table.schema, table.name)
    if execution_rid is not None or role is not None:
        links = table_name(table.execution_schema, table.execution_table)
        if execution_rid is not None:
            links += f"/{equals(table.execution_execution_column, check_rid(execution_rid))}"
        if role is not None:
            links += f"/{equals(table.role_column, role)}"
        path = f"{links}/({quote(table.execution_asset_column)})=({path}:RID)"
    rows = get_rows(catalog, f"entity/{path}@sort(RCT,RID)")
    if not rows:
        return []
    types: dict[RID, list[str]] = {}
    to_types = f"(RID)=({table_name(table.type_schema, table.type_table)}:{quote(table.type_asset_column)})"
    for link in get_rows(catalog, f"entity/{path}/{to_types}"):
        types.setdefault(link[table.type_asset_column], []).append(link[table.type_term_column])
    return [_record(table, row, types.get(row["RID"], [])) for row in rows]


def list_outputs_of_type(
    catalog: Catalog, table: AssetTable, asset_type: str, execution_rids: Sequence[RID]
) -> list[tuple[RID, AssetRecord]]:
    """(execution, asset) for every asset of a type that the executions made, in a few requests for all of them."""
    made: list[Row] = []
    for batch in batches_of_values(list(dict.fromkeys(map(check_rid, execution_rids)))):
        links = f"{table_name(table.execution_schema, table.execution_table)}"
        where = f"{any_of(table.execution_execution_column, batch)}/{equals(table.role_column, AssetRole.output)}"
        made += get_rows(catalog, f"entity/{links}/{where}@sort(RCT,RID)")
    rids = list(dict.fromkeys(link[table.execution_asset_column] for link in made))
    types: dict[RID, list[str]] = {}
    for link in rows_where_any(catalog, (table.type_schema, table.type_table), table.type_asset_column, rids):
        types.setdefault(link[table.type_asset_column], []).append(link[table.type_term_column])
    wanted = [rid for rid in rids if asset_type in types.get(rid, ())]
    found = {row["RID"]: row for row in rows_where_any(catalog, (table.schema, table.name), "RID", wanted)}
    return [
        (link[table.execution_execution_column], _record(table, found[rid], types[rid]))
        for link in made
        if (rid := link[table.execution_asset_column]) in found
    ]


def list_asset_executions(
    catalog: Catalog, table: AssetTable, rid: RID, *, role: str | None = None
) -> list[tuple[RID, str]]:
    """(execution, role) for the executions that read or made an asset, the oldest link first."""
    path = f"{table_name(table.execution_schema, table.execution_table)}/"
    path += equals(table.execution_asset_column, check_rid(rid))
    if role is not None:
        path += f"/{equals(table.role_column, role)}"
    rows = get_rows(catalog, f"entity/{path}@sort(RCT,RID)")
    return [(row[table.execution_execution_column], row[table.role_column]) for row in rows]


def _describe(catalog: Catalog, table: Table) -> AssetTable:
    if not is_asset(table):
        raise DerivaMLTableTypeError(f"{table.qualified} is not an asset table: it lacks the columns of assets.")
    types = association_between(catalog, table, ml_table(catalog, MLVocab.asset_type))
    executions, role = _execution_link(catalog, table)
    metadata = tuple(c for c in table.columns if c not in SYSTEM_COLUMNS and c not in ASSET_COLUMNS)
    return AssetTable(
        schema=table.schema,
        name=table.name,
        metadata=metadata,
        required_metadata=tuple(c for c in metadata if not table.nullok(c) and table.default(c) is None),
        type_schema=types.table.schema,
        type_table=types.table.name,
        type_asset_column=types.left.column,
        type_term_column=types.right.column,
        execution_schema=executions.table.schema,
        execution_table=executions.table.name,
        execution_asset_column=executions.left.column,
        execution_execution_column=executions.right.column,
        role_column=role,
        metadata_types={name: table.typename(name) for name in metadata},
        defaults={
            name: table.default(name) for name in metadata if not table.nullok(name) and table.default(name) is not None
        },
    )


def _execution_link(catalog: Catalog, table: Table) -> tuple[Association, str]:
    """The association with Execution that has a role, and the role's column."""
    execution = ml_table(catalog, "Execution")
    roles = ml_table(catalog, MLVocab.asset_role)
    found = [
        (link, fkey.column)
        for link in associations_of(catalog, table)
        if link.right.target == execution.ref
        for fkey in link.table.foreign_keys
        if fkey.target == roles.ref
    ]
    if len(found) == 1:
        return found[0]
    names = ", ".join(link.table.qualified for link, _ in found) or "none"
    raise (AmbiguousAssociationException if found else NoAssociationException)(
        f"Asset table {table.qualified} needs one association with {execution.qualified} that has a role, and there "
        f"is {names}. Make asset tables with create_asset."
    )


def _compare(table: AssetTable, wanted: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    if wanted["MD5"] != stored["MD5"] or int(wanted["Length"]) != int(stored["Length"]):
        raise DerivaMLCatalogConflict(
            f"{table.qualified} has a row for {wanted['URL']} that tells of other bytes: MD5 {stored['MD5']}, "
            f"{stored['Length']} bytes, against {wanted['MD5']}, {wanted['Length']}. Correct that row."
        )


def _record(table: AssetTable, row: Row, types: Iterable[str]) -> AssetRecord:
    return AssetRecord(
        rid=row["RID"],
        asset_table=table.name,
        filename=row["Filename"],
        url=row["URL"],
        length=int(row["Length"]),
        md5=row["MD5"],
        description=row["Description"],
        asset_types=tuple(sorted(types)),
        metadata={name: row[name] for name in table.metadata},
        schema=table.schema,
    )
