"""A comparison of two figures, and how it is taken: both in turn, round after round, so noise meets both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Figure = Callable[[], float]


@dataclass(frozen=True)
class Comparison:
    """Our figure and the limit's for the same work."""

    name: str
    ours: Figure
    limit: Figure
    aim: float
    """The largest ratio, ours / limit, that we accept."""
    unit: str = "s"
    """s or ms (the figures are seconds), or MB."""


@dataclass(frozen=True)
class Taken:
    """The figures of all rounds, paired."""

    comparison: Comparison
    ours: tuple[float, ...]
    limit: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(a / b for a, b in zip(self.ours, self.limit, strict=True))


def timed(work: Callable[[], object]) -> Figure:
    """The figure that is the seconds that `work` takes."""

    def figure() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return figure


def take(comparisons: Sequence[Comparison], rounds: int, tell: Callable[[str], None]) -> list[Taken]:
    """Take all comparisons in each round; one round before the first is not counted."""
    figures: list[list[tuple[float, float]]] = [[] for _ in comparisons]
    for number in range(rounds + 1):
        tell(f"round {number} of {rounds}" if number else "warming up")
        for comparison, pairs in zip(comparisons, figures, strict=True):
            # whoever goes first finds colder caches, so they take turns
            if number % 2:
                pair = (comparison.ours(), comparison.limit())
            else:
                last = comparison.limit()
                pair = (comparison.ours(), last)
            if number:
                pairs.append(pair)
    return [
        Taken(comparison, tuple(a for a, _ in pairs), tuple(b for _, b in pairs))
        for comparison, pairs in zip(comparisons, figures, strict=True)
    ]
