"""A comparison of two figures, and how it is taken: both in turn, round after round, so noise meets both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Figure = Callable[[], float]
Tell = Callable[[str], None]


class Skipped(Exception):
    """The comparison cannot be taken here; the message says what is lacking."""


@dataclass(frozen=True)
class Comparison:
    """Our figure and the limit's for the same work; or our figure alone, where the aim is absolute."""

    name: str
    ours: Figure
    limit: Figure | None
    aim: float
    """The largest ratio, ours / limit, that we accept; without a limit the largest figure, in its own unit."""
    unit: str = "s"
    """s, ms or µs (the figures are seconds, and so is an absolute aim), MB, or what is counted, e.g. `requests`."""
    rounds: int | None = None
    """At most so many, for work that takes minutes."""
    warm_up: bool = True
    """Whether one round before the first is taken and not counted."""
    in_the_way: str = ""
    """What keeps anybody from the aim; said where it is missed."""


@dataclass
class Taken:
    """The figures of all rounds, paired."""

    comparison: Comparison
    ours: list[float] = field(default_factory=list)
    limit: list[float] = field(default_factory=list)
    problem: str | None = None
    """Why it could not be taken to its end."""
    skipped: bool = False
    """Whether that is because something is lacking that this machine need not have."""

    @property
    def ratio(self) -> float | None:
        """The median of the rounds' ratios; None without a limit."""
        if self.comparison.limit is None or not self.ours:
            return None
        return statistics.median(a / b for a, b in zip(self.ours, self.limit, strict=True))

    @property
    def latest(self) -> str:
        """The figure of the last round, and the ratio."""
        ours = f"{self.ours[-1]:.3g}"
        return f"{ours} ({self.ours[-1] / self.limit[-1]:.2f})" if self.limit else ours

    @property
    def is_met(self) -> bool:
        """Whether the aim is; never of a comparison that broke."""
        if self.problem is not None or not self.ours:
            return False
        ratio = self.ratio
        return (statistics.median(self.ours) if ratio is None else ratio) <= self.comparison.aim


def timed(work: Callable[[], object]) -> Figure:
    """The figure that is the seconds that `work` takes."""

    def figure() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return figure


def take(comparisons: Sequence[Comparison], rounds: int, tell: Tell) -> list[Taken]:
    """Take all comparisons in each round; one round before the first is not counted.

    One that raises is told, keeps its reason, and holds up none of the others. When it is interrupted, what there is
    by then is given.
    """
    all_taken = [Taken(comparison) for comparison in comparisons]
    try:
        _take_rounds(all_taken, rounds, tell)
    except KeyboardInterrupt:
        tell("interrupted")
        for taken in all_taken:
            if not taken.ours:
                taken.problem = taken.problem or "interrupted before its first round"
    return all_taken


def _take_rounds(all_taken: Sequence[Taken], rounds: int, tell: Tell) -> None:
    for number in range(rounds + 1):
        for taken in all_taken:
            if taken.problem is not None or not _is_due(taken.comparison, number):
                continue
            started = time.monotonic()
            try:
                _take_once(taken, number)
                said = f"{taken.latest} in {time.monotonic() - started:.1f} s" if number else "taken"
            except Exception as error:  # noqa: BLE001 (whatever it is, the table says it, and the exit status)
                said = taken.problem = f"{type(error).__name__}: {error}"
            tell(f"{f'round {number} of {rounds}' if number else 'warming up'}: {taken.comparison.name}: {said}")


def _is_due(comparison: Comparison, number: int) -> bool:
    if number == 0:
        return comparison.warm_up
    return comparison.rounds is None or number <= comparison.rounds


def _take_once(taken: Taken, number: int) -> None:
    comparison = taken.comparison
    if comparison.limit is None:
        ours = comparison.ours()
        limit = None
    # whoever goes first finds colder caches, so they take turns
    elif number % 2:
        ours, limit = comparison.ours(), comparison.limit()
    else:
        limit = comparison.limit()
        ours = comparison.ours()
    if number:
        taken.ours.append(ours)
        if limit is not None:
            taken.limit.append(limit)
