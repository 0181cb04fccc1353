"""The model of one catalog at one moment, as frozen values: what every stage after parsing looks names up in.

A model is loaded once a version and cached; changing it makes a new one. Physical names (`t12`, `h12`, `c34`) are
made from serial numbers that are never used again, so renaming costs nothing and an old snapshot still finds its data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = Any
TableName = tuple[str, str]
"""(schema name, table name)"""


@dataclass(frozen=True)
class Type:
    name: str
    """ERMrest's typename: `int4`, `text[]`, `ermrest_rid`, `markdown` …"""
    base: Type | None = None
    """Base type of a domain, or element type of an array."""
    is_array: bool = False
    is_domain: bool = False

    @property
    def scalar(self) -> str:
        """Name of the built-in type underneath: `text` for `markdown`, `int4` for `int4[]`."""
        return self.base.scalar if self.base else self.name


@dataclass(frozen=True)
class Column:
    rid: str
    name: str
    type: Type
    nullok: bool
    default: Json
    comment: str | None
    annotations: Mapping[str, Json]
    acls: Mapping[str, list[str]]
    acl_bindings: Mapping[str, Json]
    physical: str
    """SQLite column name, e.g. `c34`."""


@dataclass(frozen=True)
class Key:
    rid: str
    columns: tuple[str, ...]
    name: tuple[str, str]
    """(schema name, constraint name)"""
    comment: str | None
    annotations: Mapping[str, Json]


@dataclass(frozen=True)
class ForeignKey:
    rid: str
    table: TableName
    columns: tuple[str, ...]
    referenced_table: TableName
    referenced_columns: tuple[str, ...]
    name: tuple[str, str]
    on_delete: str
    on_update: str
    comment: str | None
    annotations: Mapping[str, Json]
    acls: Mapping[str, list[str]]
    acl_bindings: Mapping[str, Json]


@dataclass(frozen=True)
class Table:
    rid: str
    schema: str
    name: str
    kind: str
    comment: str | None
    annotations: Mapping[str, Json]
    acls: Mapping[str, list[str]]
    acl_bindings: Mapping[str, Json]
    columns: Mapping[str, Column]
    """By name, in order of definition; the system columns are ordinary members."""
    keys: tuple[Key, ...]
    foreign_keys: tuple[ForeignKey, ...]
    """Those that this table declares (outgoing)."""
    physical: str
    """SQLite table of the present rows, e.g. `t12`."""
    history: str
    """SQLite table of the former rows, e.g. `h12`: the same columns, and `until_` (RMT-style text) when each ended."""

    @property
    def full_name(self) -> TableName:
        return (self.schema, self.name)


@dataclass(frozen=True)
class Schema:
    rid: str
    name: str
    comment: str | None
    annotations: Mapping[str, Json]
    acls: Mapping[str, list[str]]
    tables: Mapping[str, Table]


@dataclass(frozen=True)
class Model:
    version: int
    """Time of the last change of the model, in microseconds since 1970."""
    schemas: Mapping[str, Schema]
    annotations: Mapping[str, Json]
    acls: Mapping[str, list[str]]
    incoming: Mapping[TableName, tuple[ForeignKey, ...]]
    """Foreign keys of any table that refer to the given one."""
