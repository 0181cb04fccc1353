"""Syntax of a data request as frozen values: what a URL says, before any name is looked up.

Made by `url`, read by `plan`. Strings in here are percent-decoded; what was punctuation has become structure.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Name:
    """A name of one to three parts, as written: `c`, `alias:c`, `S:T`, `S:T:c`."""

    parts: tuple[str, ...]

    def __str__(self) -> str:
        return ":".join(self.parts)


@dataclass(frozen=True)
class Predicate:
    """One comparison. `values` is empty for `null`; `quantifier` is `any`, `all`, or None for a single value."""

    column: Name
    operator: str
    values: tuple[str, ...]
    quantifier: str | None = None


@dataclass(frozen=True)
class Not:
    operand: Filter


@dataclass(frozen=True)
class And:
    operands: tuple[Filter, ...]


@dataclass(frozen=True)
class Or:
    operands: tuple[Filter, ...]


Filter = Predicate | Not | And | Or


@dataclass(frozen=True)
class TableElement:
    """`[alias:=][S:]T`: the root, or a join along the foreign keys between two tables."""

    table: Name
    alias: str | None = None


@dataclass(frozen=True)
class ColumnsElement:
    """`[alias:=][left|right|full](c,..)`: a join named by the columns of one end of a foreign key."""

    columns: tuple[Name, ...]
    alias: str | None = None
    outer: str | None = None


@dataclass(frozen=True)
class LinkElement:
    """`[alias:=][left|right|full](c,..)=(S:T:c,..)`: a join on any equality of columns."""

    left: tuple[Name, ...]
    right: tuple[Name, ...]
    alias: str | None = None
    outer: str | None = None


@dataclass(frozen=True)
class FilterElement:
    filter: Filter


@dataclass(frozen=True)
class ContextElement:
    """`$alias`: the current table is again the one that bears the alias."""

    alias: str


PathElement = TableElement | ColumnsElement | LinkElement | FilterElement | ContextElement
Path = tuple[PathElement, ...]


@dataclass(frozen=True)
class Item:
    """One output column: a column, or `function(column;arguments)`; `alias` is its name in the output."""

    column: Name
    alias: str | None = None
    function: str | None = None
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class SortKey:
    name: str
    descending: bool


@dataclass(frozen=True)
class Page:
    """`@sort(..)@after(..)@before(..)`; a None among the values stands for `::null::`."""

    sort: tuple[SortKey, ...] = ()
    after: tuple[str | None, ...] | None = None
    before: tuple[str | None, ...] | None = None


@dataclass(frozen=True)
class DataRequest:
    """What follows `/catalog/N/` in a data URL.

    `keys` are the group keys of an attributegroup; `items` the columns of an attribute, the part behind the
    semicolon of an attributegroup, or the aggregates.
    """

    resource: str
    path: Path
    keys: tuple[Item, ...] = ()
    items: tuple[Item, ...] = ()
    page: Page = Page()


@dataclass(frozen=True)
class Options:
    """Query parameters of a data URL, decoded; None where a parameter is absent."""

    limit: str | None = None
    accept: str | None = None
    download: str | None = None
    arrays: str | None = None
    onconflict: str | None = None
    defaults: tuple[str, ...] = ()
    nondefaults: tuple[str, ...] = ()
