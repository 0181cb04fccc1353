"""The functions that SQL calls in Python: regular expressions, exact sums, what `bins`, `printing`, `ordering` offer.

Each call costs a microsecond or more, so SQL uses them only where nothing built in will do.
"""

from __future__ import annotations

import struct
from typing import Final

from deriva_ml_prefect.embedded.database import Function
from deriva_ml_prefect.embedded.ermrest import bins, dates, ordering, printing
from deriva_ml_prefect.embedded.ermrest.matching import contains
from deriva_ml_prefect.embedded.ermrest.regular_expression import translate_regexp
from deriva_ml_prefect.embedded.ermrest.types import Stored, normal_json


def match_text(pattern: str, text: str | None) -> int | None:
    return None if text is None else int(contains(translate_regexp(pattern), text))


def match_folded_text(pattern: str, text: str | None) -> int | None:
    return None if text is None else int(contains(translate_regexp(pattern, True), text))


def whole_sum(high: int | None, low: int | None) -> str | None:
    """A sum of integers of any size, from the sums of their upper and lower 32 bits."""
    return None if high is None or low is None else str((high << 32) + low)


def mean_of_integers(high: int | None, low: int | None, count: int) -> str | None:
    """An average with as many digits as PostgreSQL's numeric type gives it: at least 16 that matter."""
    if high is None or low is None or not count:
        return None
    total = (high << 32) + low
    scale = 16 - 4 * (_groups(abs(total)) - _groups(count) - (_leading(abs(total)) <= _leading(count)))
    scale = max(scale, 0)
    quotient, rest = divmod(abs(total) * 10**scale, count)
    digits = str(quotient + (2 * rest >= count)).rjust(scale + 1, "0")
    text = f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits
    return f"-{text}" if total < 0 else text


def _groups(number: int) -> int:
    """How many digits to the base 10,000, in which PostgreSQL counts, come behind the first."""
    return max(0, (len(str(number)) - 1) // 4)


def _leading(number: int) -> int:
    return int(number // 10_000 ** _groups(number))


def to_single(value: float | str | None) -> float | str | None:
    """A sum of float4 is a float4."""
    if value is None or isinstance(value, str):
        return value
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def print_made_json(text: str | None) -> str | None:
    """JSON that SQLite has put together, as jsonb prints it."""
    return None if text is None else normal_json(text)


class FirstValue:
    """Aggregate function: the first value that is not null."""

    def __init__(self) -> None:
        self.value: Stored = None

    def step(self, value: Stored) -> None:
        if self.value is None:
            self.value = value

    def finalize(self) -> Stored:
        return self.value


FUNCTIONS: Final = (
    Function("first_value_of", 1, FirstValue),
    Function("match_text", 2, match_text, may_time_out=True),
    Function("match_folded_text", 2, match_folded_text, may_time_out=True),
    Function("print_float", 1, printing.print_float),
    Function("print_float_json", 1, printing.print_float_json),
    Function("print_single", 1, printing.print_single),
    Function("print_single_json", 1, printing.print_single_json),
    Function("print_date", 1, dates.print_date),
    Function("print_plain_date", 1, dates.print_plain_date),
    Function("print_array", 2, printing.print_array),
    Function("print_array_json", 2, printing.print_array_json),
    Function("print_plain_array_json", 2, printing.print_plain_array_json),
    Function("searched_date", 1, printing.searched_date),
    Function("searched_instant", 1, printing.searched_instant),
    Function("searched_time", 2, printing.searched_time),
    Function("searched_array", 2, printing.searched_array),
    Function("order_interval", 1, ordering.order_interval),
    Function("order_json", 1, ordering.order_json),
    Function("order_zoned_time", 1, ordering.order_zoned_time),
    Function("order_array", 2, ordering.order_array),
    Function("whole_sum", 2, whole_sum),
    Function("mean_of_integers", 3, mean_of_integers),
    Function("to_single", 1, to_single),
    Function("print_made_json", 1, print_made_json),
    Function("find_bin", 5, bins.find_bin),
    Function("find_moment_bin", 5, bins.find_moment_bin),
)
