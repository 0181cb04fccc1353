"""Numbers over the course of a run, in bounded memory however long it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

STEPS = ("step", "global_step", "epoch", "iteration", "batch")
"""Keys of a record that count rather than measure; the first that a record has is its place on the x axis."""
_TIMES = ("time", "timestamp", "wall_time")
KEPT = 2_000
"""Points of one series that are kept; of a longer one, ever fewer of those before."""


@dataclass(frozen=True)
class Series:
    """One metric: places and values, both finite, in the order in which they were measured."""

    name: str
    points: tuple[tuple[float, float], ...]
    latest: float
    lowest: float
    highest: float
    count: int
    """Measurements, whether or not their points are kept."""


class SeriesBuilder:
    """Takes records of metrics one after the other and gives the series of each number in them."""

    def __init__(self) -> None:
        self.records = 0
        self.steps = ""
        """What the x axis counts; empty: records."""
        self._growing: dict[str, _Growing] = {}

    def add(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Add records. What is no finite number is passed over."""
        for record in records:
            self.records += 1
            counter = next((key for key in STEPS if is_number(record.get(key))), "")
            self.steps = self.steps or counter
            place = float(record[counter]) if counter else float(self.records)
            for name, value in record.items():
                if name not in STEPS and name not in _TIMES and is_number(value):
                    self._growing.setdefault(name, _Growing()).add(place, float(value))

    def series(self) -> list[Series]:
        """The series so far, in the order in which their names appeared."""
        return [growing.frozen(name) for name, growing in self._growing.items()]


class _Growing:
    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []
        self.every = 1
        self.count = 0
        self.latest = (0.0, 0.0)
        self.lowest = math.inf
        self.highest = -math.inf

    def add(self, place: float, value: float) -> None:
        if self.count % self.every == 0:
            self.points.append((place, value))
        if len(self.points) >= KEPT:
            self.points = self.points[::2]
            self.every *= 2
        self.count += 1
        self.latest = (place, value)
        self.lowest = min(self.lowest, value)
        self.highest = max(self.highest, value)

    def frozen(self, name: str) -> Series:
        points = self.points if self.points[-1] == self.latest else [*self.points, self.latest]
        return Series(name, tuple(points), self.latest[1], self.lowest, self.highest, self.count)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; a truth value is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
