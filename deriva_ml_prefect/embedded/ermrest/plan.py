"""A data request with every name resolved against the model: what `sql` turns into text, as frozen values.

Made by `resolve_path`, `resolve_filter` and `resolve_output`, where all errors of names are raised. Literals are
already in their stored form.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from deriva_ml_prefect.embedded.ermrest.model import Column, Table, Type
from deriva_ml_prefect.embedded.ermrest.types import Stored


@dataclass(frozen=True)
class ColumnRef:
    """A column of the table at one position of the path."""

    source: int
    column: Column

    @property
    def type(self) -> Type:
        return self.column.type


@dataclass(frozen=True)
class Compare:
    """`column operator value`, true for any or all of the values."""

    column: ColumnRef
    operator: str
    """One of `= < <= > >=`."""
    values: tuple[Stored, ...]
    every: bool


@dataclass(frozen=True)
class Match:
    """A regular expression that any of the columns' texts contains, for any or all of the patterns."""

    columns: tuple[ColumnRef, ...]
    patterns: tuple[str, ...]
    fold_case: bool
    every: bool


@dataclass(frozen=True)
class IsNull:
    column: ColumnRef


@dataclass(frozen=True)
class OneOf:
    """The column's value (or a member of it, if an array) is one of these texts; null is not."""

    columns: tuple[ColumnRef, ...]
    values: tuple[str, ...]


@dataclass(frozen=True)
class Negation:
    operand: Condition


@dataclass(frozen=True)
class Both:
    operands: tuple[Condition, ...]


@dataclass(frozen=True)
class Either:
    operands: tuple[Condition, ...]


Condition = Compare | Match | IsNull | OneOf | Negation | Both | Either


def where_allowed(rule: Iterable[tuple[Column, bool]], source: int, roles: Iterable[str]) -> Condition:
    """That one of these columns, of the table at this position, has any value (True) or one of the roles (False)."""
    values = tuple(sorted(roles))
    found: list[Condition] = []
    for column, by_any in rule:
        reference = ColumnRef(source, column)
        found.append(Negation(IsNull(reference)) if by_any else OneOf((reference,), values))
    return Either(tuple(found))


@dataclass(frozen=True)
class Join:
    """How a source is joined to those before it: any of the alternatives, each a list of equal columns."""

    alternatives: tuple[tuple[tuple[ColumnRef, ColumnRef], ...], ...]
    outer: str | None = None


@dataclass(frozen=True)
class PathPlan:
    sources: tuple[Table, ...]
    joins: tuple[Join, ...]
    """One for each source but the first."""
    conditions: tuple[Condition, ...]
    current: int
    aliases: dict[str, int] = field(hash=False)
    distinct: bool
    """Whether a row of the current table may stand in more than one row of the join."""

    @property
    def table(self) -> Table:
        return self.sources[self.current]


@dataclass(frozen=True)
class Aggregate:
    """`function(columns)` over a group; no column is `*` of cnt, several are `*` of array."""

    function: str
    columns: tuple[ColumnRef, ...]
    names: tuple[str, ...] = ()
    """For array of rows: names of the members."""


@dataclass(frozen=True)
class Bin:
    """Index and limits of the bin of a column's value; a limit of None is the least or largest value found."""

    column: ColumnRef
    bins: int
    low: Stored
    high: Stored


@dataclass(frozen=True)
class Rights:
    """Which rights the client has on a row, and with `of_columns` which columns of it it may update, as JSON.

    The rights are known when it is known who asks: each is had, or not, or where a column holds one of some roles.
    """

    column: ColumnRef
    of_columns: bool
    of_row: tuple[tuple[str, bool | Condition], ...] = ()
    updates: tuple[tuple[str, bool | Condition], ...] = ()


@dataclass(frozen=True)
class Output:
    name: str
    expression: ColumnRef | Aggregate | Bin | Rights
    type: Type


@dataclass(frozen=True)
class PagePlan:
    """Positions of outputs to sort by, whether descending, and the stored values of the bounds."""

    keys: tuple[tuple[int, bool], ...] = ()
    after: tuple[Stored, ...] | None = None
    before: tuple[Stored, ...] | None = None
    limit: int | None = None


@dataclass(frozen=True)
class ReadPlan:
    path: PathPlan
    outputs: tuple[Output, ...]
    grouping: str
    """`none`; `row`: one for each row of the current table; `keys`: by the first `keys` outputs; `all`: one row."""
    keys: int = 0
    page: PagePlan = PagePlan()
