"""Choosing among several values of one feature for one row of its target: the rules, over values in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Protocol, TypeVar


class Value(Protocol):
    """A value of a feature: which execution said it, and when (RCT, ISO 8601)."""

    @property
    def Execution(self) -> str | None: ...  # noqa: N802 (the column's name)

    @property
    def RCT(self) -> str | None: ...  # noqa: N802 (the column's name)


V = TypeVar("V", bound=Value)
Selector = Callable[[list[V]], V | None]
"""Gets the values for one target row, at least one, and gives the one to keep; None leaves the row out."""


def select_for_each(values: Iterable[V], target_column: str, selector: Selector[V]) -> list[V]:
    """One value, or none, for each target row, in the order in which the rows first appear."""
    groups: dict[str, list[V]] = {}
    for value in values:
        groups.setdefault(getattr(value, target_column), []).append(value)
    chosen = (selector(group) for group in groups.values())
    return [value for value in chosen if value is not None]


def newest(values: Sequence[V]) -> V:
    """The value written last."""
    return max(values, key=lambda value: value.RCT or "")


def oldest(values: Sequence[V]) -> V:
    """The value written first."""
    return min(values, key=lambda value: value.RCT or "")


def newest_of(values: Sequence[V], execution_rids: Collection[str]) -> V | None:
    """The last value that one of the executions wrote; None if none of them did."""
    own = [value for value in values if value.Execution in execution_rids]
    return newest(own) if own else None


def majority(values: Sequence[V], column: str) -> V:
    """The newest value that says in `column` what most say; of answers given equally often, that given last."""
    votes = Counter(_vote(value, column) for value in values)
    most = max(votes.values())
    return newest([value for value in values if votes[_vote(value, column)] == most])


def _vote(value: Any, column: str) -> str:
    return repr(getattr(value, column))
