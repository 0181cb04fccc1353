"""`bin(column;bins;least;largest)`: the bin of a value with its limits, reckoned as PostgreSQL does for ERMrest."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from typing import Final

from deriva_ml_prefect.embedded.ermrest.dates import DAY, micros_of, print_date, timestamp_of
from deriva_ml_prefect.embedded.ermrest.printing import shortest_single

Number = float | int
MOMENTS: Final = ("date", "timestamp", "timestamptz")


def find_bin(value: Number | str | None, bins: int, low: Number | None, high: Number | None, scalar: str) -> str | None:
    """`[index, lower limit, upper limit]` of a number's bin as JSON text; 0 is below and bins + 1 is above them all.

    The least may be larger than the largest: then the bins go down.
    """
    if value is None or low is None or high is None:
        return "[null, null, null]"
    show: Callable[[Number], Number] = _same
    distance = high - low
    if scalar == "float4":
        show, distance = shortest_single, _single(distance)
    index = bins + 1 if isinstance(value, str) else _index(value, bins, low, high)  # the text is not-a-number
    if index == 0:
        return json.dumps([0, None, _whole(show(low))])
    if index > bins:
        return json.dumps([index, _whole(show(high)), None])
    parts = ((index - 1) / bins, index / bins)
    if math.isinf(distance):
        return json.dumps([index, *(low * (1 - part) + high * part for part in parts)])
    return json.dumps([index, *(_whole(low + distance * part) for part in parts)])


def _single(number: Number) -> Number:
    try:
        return float(struct.unpack("<f", struct.pack("<f", number))[0])
    except OverflowError:
        return number


def _same(number: Number) -> Number:
    return number


def _index(value: Number, bins: int, low: Number, high: Number) -> int:
    if high == low:
        return bins + 1 if value >= high else 0
    if high < low:
        value, low, high = -value, -low, -high
    if value < low:
        return 0
    if value >= high:
        return bins + 1
    share = (value / 2 - low / 2) / (high / 2 - low / 2) if math.isinf(high - low) else (value - low) / (high - low)
    return min(int(bins * share), bins - 1) + 1


def _whole(number: Number) -> Number:
    return int(number) if number == int(number) and abs(number) < 1e15 else number


def find_moment_bin(value: str | None, bins: int, low: str | None, high: str | None, scalar: str) -> str | None:
    """The same of a date or timestamp, as it is stored. The bins of dates are limited by timestamps."""
    if value is None or low is None or high is None:
        return "[null, null, null]"
    if value.endswith("infinity"):
        index = 0 if (value < "0") == (low <= high) else bins + 1
    else:
        index = _moment_index(micros_of(value), bins, micros_of(low), micros_of(high))
    if index == 0:
        return json.dumps([0, None, print_date(low)])
    if index > bins:
        return json.dumps([index, print_date(high), None])
    shift = _days_after if scalar == "date" else _time_after
    first, last = micros_of(low), micros_of(high)
    zone = "+00:00" if scalar == "timestamptz" else ""
    limits = [print_date(timestamp_of(shift(first, last, step, bins)) + zone) for step in (index - 1, index)]
    return json.dumps([index, *limits])


def _moment_index(value: int, bins: int, low: int, high: int) -> int:
    if high == low:
        return bins + 1 if value >= high else 0
    if high < low:
        value, low, high = -value, -low, -high
    return 0 if value < low else min((value - low) * bins // (high - low), bins) + 1


def _days_after(low: int, high: int, step: int, bins: int) -> int:
    return low + _multiplied(1, 0, (high - low) // DAY * step / bins)


def _time_after(low: int, high: int, step: int, bins: int) -> int:
    distance = high - low
    days = abs(distance) // DAY * (1 if distance > 0 else -1)
    return low + _multiplied(days, distance - days * DAY, step / bins)


def _multiplied(days: int, micros: int, factor: float) -> int:
    """An interval times a number in microseconds, rounded where PostgreSQL rounds."""
    whole = int(days * factor)
    seconds = round((days * factor - whole) * 86_400 * 1e6) / 1e6
    return whole * DAY + round(micros * factor + seconds * 1e6)
