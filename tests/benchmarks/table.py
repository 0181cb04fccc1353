"""Comparisons as a table in Markdown, or as JSON: medians, spread, ratio, and whether the aim is met."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from tests.benchmarks.comparison import Taken

HEADER = ("work", "ours", "spread", "limit", "spread", "ratio", "aim", "")
FACTORS = {"s": 1.0, "ms": 1e3, "µs": 1e6}


def table(taken: Sequence[Taken]) -> str:
    """The whole table; the spread is half the distance between the quartiles, in percent of the median."""
    lines = [HEADER, *(_line(one) for one in taken)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    written = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    written.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    missed = [one for one in taken if not (one.is_met or one.problem) and one.comparison.in_the_way]
    said = [(one, one.problem) for one in taken if one.problem] + [(one, one.comparison.in_the_way) for one in missed]
    return "\n".join([*written, *(f"\n{one.comparison.name}: {text}" for one, text in said)])


def document(taken: Sequence[Taken]) -> list[dict[str, Any]]:
    """The same for programs: all figures of all rounds, in the order in which they were taken."""
    return [
        {
            "work": one.comparison.name,
            "unit": "s" if one.comparison.unit in FACTORS else one.comparison.unit,
            "ours": one.ours,
            "limit": one.limit if one.comparison.limit is not None else None,
            "ratio": one.ratio,
            "aim": one.comparison.aim,
            "met": one.is_met,
            "problem": one.problem,
            "skipped": one.skipped,
        }
        for one in taken
    ]


def _line(taken: Taken) -> tuple[str, ...]:
    asked = taken.comparison
    absolute = asked.limit is None
    return (
        asked.name,
        _median(taken.ours, asked.unit),
        _spread(taken.ours),
        "-" if absolute else _median(taken.limit, asked.unit),
        "-" if absolute else _spread(taken.limit),
        "-" if taken.ratio is None else f"{taken.ratio:.2f}",
        f"≤ {_shown(asked.aim, asked.unit)}" if absolute else f"≤ {asked.aim:.2f}",
        "SKIPPED" if taken.skipped else "BROKEN" if taken.problem else "met" if taken.is_met else "NOT MET",
    )


def _median(figures: Sequence[float], unit: str) -> str:
    return _shown(statistics.median(figures), unit) if figures else "-"


def _shown(figure: float, unit: str) -> str:
    return f"{figure * FACTORS.get(unit, 1.0):.3g} {unit}"


def _spread(figures: Sequence[float]) -> str:
    if len(figures) < 2:
        return "-"
    first, middle, third = statistics.quantiles(figures, n=4, method="inclusive")
    return f"±{(third - first) / 2 / middle:.0%}" if middle else "-"
