"""Lookups in the schema document of a catalog: which tables there are, of which kind, and who refers to whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deriva_ml_prefect.catalog.naming import closest
from deriva_ml_prefect.exceptions import (
    AmbiguousAssociationException,
    DerivaMLConfigurationError,
    DerivaMLSchemaError,
    DerivaMLTableNotFound,
    NoAssociationException,
)
from deriva_ml_prefect.values.names import ASSET_COLUMNS, SYSTEM_COLUMNS, VOCABULARY_COLUMNS, MLAsset, MLVocab

if TYPE_CHECKING:
    from deriva_ml_prefect.catalog.connection import Catalog

WWW = "WWW"
_SERVER_SCHEMAS = frozenset({"public", "www"})


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key, with both of its ends."""

    schema: str
    table: str
    columns: tuple[str, ...]
    target_schema: str
    target_table: str
    target_columns: tuple[str, ...]

    @property
    def column(self) -> str:
        """The only column; foreign keys of several columns have no such thing."""
        return self.columns[0]

    @property
    def target(self) -> tuple[str, str]:
        return self.target_schema, self.target_table


@dataclass(frozen=True)
class Table:
    """A table as the schema document defines it."""

    schema: str
    name: str
    document: Mapping[str, Any] = field(repr=False, compare=False)
    columns: Mapping[str, Mapping[str, Any]] = field(repr=False, compare=False)
    """Column documents by name, in the order of the table."""
    keys: tuple[tuple[str, ...], ...] = field(repr=False, compare=False)
    foreign_keys: tuple[ForeignKey, ...] = field(repr=False, compare=False)
    """Outgoing, without those of the system's columns."""

    @property
    def ref(self) -> tuple[str, str]:
        return self.schema, self.name

    @property
    def qualified(self) -> str:
        return f"{self.schema}:{self.name}"

    def typename(self, column: str) -> str:
        return str(self.columns[column]["type"]["typename"])

    def nullok(self, column: str) -> bool:
        return bool(self.columns[column].get("nullok", True))

    def default(self, column: str) -> Any:
        return self.columns[column].get("default")


@dataclass(frozen=True)
class Association:
    """A table whose key is exactly two references."""

    table: Table
    left: ForeignKey
    right: ForeignKey
    extra: tuple[str, ...]
    """Columns beyond the two ends; none in a pure association."""


@dataclass(frozen=True)
class Schema:
    """All tables of a catalog, and who refers to whom."""

    tables: Mapping[tuple[str, str], Table]
    inbound: Mapping[tuple[str, str], tuple[ForeignKey, ...]]
    schema_names: tuple[str, ...]


def read_schema(document: Mapping[str, Any]) -> Schema:
    """The document of `GET /schema` in the form that the lookups need."""
    tables: dict[tuple[str, str], Table] = {}
    inbound: dict[tuple[str, str], list[ForeignKey]] = {}
    for schema_name, schema in document["schemas"].items():
        for name, table in schema["tables"].items():
            fkeys = tuple(_foreign_keys(schema_name, name, table))
            tables[schema_name, name] = Table(
                schema=schema_name,
                name=name,
                document=table,
                columns={c["name"]: c for c in table["column_definitions"]},
                keys=tuple(tuple(k["unique_columns"]) for k in table.get("keys", [])),
                foreign_keys=fkeys,
            )
            for fkey in fkeys:
                inbound.setdefault(fkey.target, []).append(fkey)
    return Schema(tables, {ref: tuple(fkeys) for ref, fkeys in inbound.items()}, tuple(document["schemas"]))


def _foreign_keys(schema: str, name: str, document: Mapping[str, Any]) -> Iterator[ForeignKey]:
    for fkey in document.get("foreign_keys", []):
        columns = tuple(c["column_name"] for c in fkey["foreign_key_columns"])
        if set(columns) <= set(SYSTEM_COLUMNS):
            continue
        referenced = fkey["referenced_columns"]
        yield ForeignKey(
            schema,
            name,
            columns,
            referenced[0]["schema_name"],
            referenced[0]["table_name"],
            tuple(c["column_name"] for c in referenced),
        )


def domain_schemas(catalog: Catalog) -> tuple[str, ...]:
    """The schemas that hold the data: those of the address, else all but the server's, WWW and the ML schema."""
    if catalog.address.domain_schemas:
        return catalog.address.domain_schemas
    others = (
        name
        for name in catalog.schema.schema_names
        if name.lower() not in _SERVER_SCHEMAS and name != catalog.address.ml_schema
    )
    return tuple(sorted(others))


def default_schema(catalog: Catalog) -> str:
    """Where new tables are made: as the address says, else the only domain schema."""
    if catalog.address.default_schema:
        return catalog.address.default_schema
    domains = domain_schemas(catalog)
    if len(domains) == 1:
        return domains[0]
    raise DerivaMLConfigurationError(
        f"Catalog {catalog.address} has {len(domains)} domain schemas ({', '.join(domains) or 'none'}), so where a new "
        "table belongs must be said: open it with default_schema=."
    )


def find_table(catalog: Catalog, name: str | tuple[str, str]) -> Table:
    """The table of that name, in domain schemas, then the ML schema, then WWW; `schema:table` and pairs are exact.

    A member of MLVocab or MLAsset is the ML schema's own, whatever another schema has.
    A table that is not known is looked up once more in the catalog as it is now, before DerivaMLTableNotFound.
    """
    found = _lookup(catalog, name)
    if found is None:
        catalog.refresh()
        found = _lookup(catalog, name)
    if found is None:
        shown = name if isinstance(name, str) else ":".join(name)
        bare = shown.rpartition(":")[2]
        near = closest(bare, (table for schema, table in catalog.schema.tables if schema not in _SERVER_SCHEMAS))
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise DerivaMLTableNotFound(f"Catalog {catalog.address} has no table {shown}.{hint}")
    return found


def _lookup(catalog: Catalog, name: str | tuple[str, str]) -> Table | None:
    tables = catalog.schema.tables
    if not isinstance(name, str):
        return tables.get((name[0], name[1]))
    if isinstance(name, (MLVocab, MLAsset)):
        return tables.get((catalog.address.ml_schema, str(name)))
    for schema in (*domain_schemas(catalog), catalog.address.ml_schema, WWW):
        if (schema, name) in tables:
            return tables[schema, name]
    schema, colon, bare = name.partition(":")
    return tables.get((schema, bare)) if colon else None


def ml_table(catalog: Catalog, name: str) -> Table:
    """A table of the ML schema; DerivaMLSchemaError where this generation of the schema has none."""
    table = catalog.schema.tables.get((catalog.address.ml_schema, name))
    if table is None:
        raise DerivaMLSchemaError(
            f"Catalog {catalog.address} has no table {catalog.address.ml_schema}:{name}. It was not made for DerivaML, "
            "or by a release that did not have it: create a catalog with create_ml_catalog, or leave this out."
        )
    return table


def is_vocabulary(table: Table) -> bool:
    """Whether the table has the five columns of a vocabulary, in any letter case."""
    names = {column.lower() for column in table.columns}
    return names >= {column.lower() for column in VOCABULARY_COLUMNS}


def is_asset(table: Table) -> bool:
    """Whether the table has the five columns of an asset."""
    return set(table.columns) >= set(ASSET_COLUMNS)


def foreign_keys_to(catalog: Catalog, table: Table) -> tuple[ForeignKey, ...]:
    """Foreign keys of other tables, and of its own, that point to `table`."""
    return catalog.schema.inbound.get(table.ref, ())


def associations_of(catalog: Catalog, table: Table) -> tuple[Association, ...]:
    """Tables whose key is a reference to `table` and one other reference; `left` is the end at `table`."""
    found = []
    for fkey in foreign_keys_to(catalog, table):
        other = _other_end(catalog.schema.tables[fkey.schema, fkey.table], fkey)
        if other is not None:
            found.append(other)
    return tuple(found)


def _other_end(table: Table, left: ForeignKey) -> Association | None:
    if len(left.columns) != 1:
        return None
    for right in table.foreign_keys:
        if right == left or len(right.columns) != 1:
            continue
        ends = {left.column, right.column}
        if any(set(key) == ends for key in table.keys):
            extra = tuple(c for c in table.columns if c not in ends and c not in SYSTEM_COLUMNS)
            return Association(table, left, right, extra)
    return None


def association_between(catalog: Catalog, left: Table, right: Table) -> Association:
    """The one association of the two tables; else NoAssociationException or AmbiguousAssociationException."""
    found = [a for a in associations_of(catalog, left) if a.right.target == right.ref]
    if len(found) == 1:
        return found[0]
    names = ", ".join(a.table.qualified for a in found) or "none"
    raise (AmbiguousAssociationException if found else NoAssociationException)(
        f"Between {left.qualified} and {right.qualified} one association table is needed, and there is {names}. "
        "Look at the schema of the catalog."
    )


def reference_column(table: Table) -> str:
    """The column that a new reference to `table` names: Name of a vocabulary, else RID."""
    if is_vocabulary(table):
        for name in ("Name", "name"):
            if name in table.columns and (name,) in table.keys and not table.nullok(name):
                return name
    return "RID"
