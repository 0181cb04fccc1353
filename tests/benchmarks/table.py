"""Comparisons as a table in Markdown: medians, spread, ratio, and whether the aim is met."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from tests.benchmarks.comparison import Taken

HEADER = ("work", "ours", "spread", "limit", "spread", "ratio", "aim", "")
FACTORS = {"s": 1.0, "ms": 1000.0, "MB": 1.0}


def table(taken: Sequence[Taken]) -> str:
    """The whole table; the spread is half the distance between the quartiles, in percent of the median."""
    lines = [HEADER, *(_line(one) for one in taken)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    written = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    written.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(written)


def _line(taken: Taken) -> tuple[str, ...]:
    asked = taken.comparison
    return (
        asked.name,
        _median(taken.ours, asked.unit),
        _spread(taken.ours),
        _median(taken.limit, asked.unit),
        _spread(taken.limit),
        f"{taken.ratio:.2f}",
        f"{asked.aim:.2f}",
        "met" if taken.ratio <= asked.aim else "NOT MET",
    )


def _median(figures: Sequence[float], unit: str) -> str:
    return f"{statistics.median(figures) * FACTORS[unit]:.3g} {unit}"


def _spread(figures: Sequence[float]) -> str:
    if len(figures) < 2:
        return "-"
    first, middle, third = statistics.quantiles(figures, n=4, method="inclusive")
    return f"±{(third - first) / 2 / middle:.0%}" if middle else "-"
