"""Lines over the course of a run as a picture (SVG) that stands by itself: no script, no font, no address in it.

Entry point: `draw_panels`. Series of one quantity share a panel with axes, labels and a legend; quantities of different
size have panels of their own. The picture brings its own background, so that it is readable on dark pages as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from deriva_ml_prefect.values.series import Series

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7f7f7f")
"""Told apart by people who do not see all colours (Okabe and Ito)."""
WIDTH, HEIGHT = 720, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 20, 58, 46
_LETTER = 7.2
"""Width of a letter in the legend, about."""
DRAWN = 400
"""Points of one line that are drawn: more cannot be told apart."""
LOGARITHMIC_FROM = 1_000
"""Largest over smallest value from which the axis is logarithmic, where all values are above 0."""


@dataclass(frozen=True)
class Panel:
    """Series in one pair of axes."""

    title: str
    x_label: str
    series: tuple[Series, ...]


def draw_panels(panels: Sequence[Panel]) -> str:
    """The panels below each other, as the text of an SVG picture."""
    height = HEIGHT * max(len(panels), 1)
    body = "".join(_draw(panel, number * HEIGHT) for number, panel in enumerate(panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#222">'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>{body}</svg>'
    )


@dataclass(frozen=True)
class _Axis:
    """Values to places in the picture, in pixels."""

    low: float
    high: float
    first: float
    last: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        low, high, value = (math.log10(v) if self.logarithmic else v for v in (self.low, self.high, value))
        return self.first + (value - low) / (high - low) * (self.last - self.first)


def _draw(panel: Panel, top: int) -> str:
    xs = [x for series in panel.series for x, _ in series.points]
    ys = [y for series in panel.series for _, y in series.points]
    whole = all(x.is_integer() for x in xs)
    x_axis = _axis(xs, _LEFT, WIDTH - _RIGHT, whole=whole, tight=True)
    y_axis = _axis(ys, top + HEIGHT - _BOTTOM, top + _TOP)
    scale = ", logarithmic" if y_axis.logarithmic else ""
    parts = [
        f'<text x="{_LEFT}" y="{top + 22}" font-size="14" font-weight="bold">{escape(panel.title + scale)}</text>',
        _legend(panel.series, top + 42),
        *(_horizontal(y_axis, tick) for tick in y_axis.ticks),
        *(_vertical(x_axis, tick, top) for tick in x_axis.ticks),
        _frame(top),
        f'<text x="{(_LEFT + WIDTH - _RIGHT) / 2:.0f}" y="{top + HEIGHT - 8}" text-anchor="middle">'
        f"{escape(panel.x_label)}</text>",
        *(_line(series, x_axis, y_axis, _colour(number)) for number, series in enumerate(panel.series)),
    ]
    return "".join(parts)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _legend(series: Sequence[Series], y: int) -> str:
    parts, x = [], float(_LEFT)
    for number, one in enumerate(series):
        room = len(one.name) * _LETTER + 36
        if x > _LEFT and x + room > WIDTH - _RIGHT:
            parts.append(f'<text x="{x:.0f}" y="{y}">and {len(series) - number} more</text>')
            break
        parts.append(
            f'<line x1="{x:.0f}" y1="{y - 4}" x2="{x + 18:.0f}" y2="{y - 4}" stroke="{_colour(number)}" '
            f'stroke-width="3"/><text x="{x + 24:.0f}" y="{y}">{escape(one.name)}</text>'
        )
        x += room + 8
    return "".join(parts)


def _horizontal(axis: _Axis, tick: float) -> str:
    y = axis.place(tick)
    return (
        f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{WIDTH - _RIGHT}" y2="{y:.1f}" stroke="#ddd"/>'
        f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_number(tick)}</text>'
    )


def _vertical(axis: _Axis, tick: float, top: int) -> str:
    x = axis.place(tick)
    bottom = top + HEIGHT - _BOTTOM
    return (
        f'<line x1="{x:.1f}" y1="{top + _TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#eee"/>'
        f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{_number(tick)}</text>'
    )


def _frame(top: int) -> str:
    return (
        f'<rect x="{_LEFT}" y="{top + _TOP}" width="{WIDTH - _RIGHT - _LEFT}" height="{HEIGHT - _BOTTOM - _TOP}" '
        'fill="none" stroke="#888"/>'
    )


def _line(series: Series, x_axis: _Axis, y_axis: _Axis, colour: str) -> str:
    places = [(x_axis.place(x), y_axis.place(y)) for x, y in thinned(series.points)]
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = places if len(places) <= 30 else places[-1:]
    return (
        f'<polyline points="{text}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>'
        + "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in dots)
    )


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `DRAWN` of the points: of each stretch the lowest and the highest, so that no peak is lost."""
    if len(points) <= DRAWN:
        return list(points)
    kept = []
    stretches = DRAWN // 2
    for number in range(stretches):
        stretch = points[number * len(points) // stretches : (number + 1) * len(points) // stretches]
        ends = {min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])}
        kept += sorted(ends)
    return kept


def _axis(values: Sequence[float], first: float, last: float, *, whole: bool = False, tight: bool = False) -> _Axis:
    low, high = min(values), max(values)
    if not tight and low > 0 and high / low >= LOGARITHMIC_FROM:
        exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        every = max(1, math.ceil(len(exponents) / 6))
        ticks = tuple(10.0**exponent for exponent in exponents[::every])
        return _Axis(10.0 ** exponents[0], 10.0 ** exponents[-1], first, last, ticks, logarithmic=True)
    if low == high:
        margin = abs(low) / 10 or 1.0
        low, high = (low - 1, high + 1) if whole else (low - margin, high + margin)
    step = _step((high - low) / (10 if tight else 5), whole=whole)
    start, end = math.floor(low / step), math.ceil(high / step)
    ticks = tuple(number * step for number in range(start, end + 1))
    if not tight:
        return _Axis(start * step, end * step, first, last, ticks)
    return _Axis(low, high, first, last, tuple(tick for tick in ticks if low <= tick <= high))


def _step(rough: float, *, whole: bool) -> float:
    """1, 2 or 5 times a power of ten, not below `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return max(step, 1.0) if whole else step


def _number(value: float) -> str:
    return "0" if abs(value) < 1e-12 else f"{value:.6g}"
