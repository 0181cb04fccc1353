"""The functions that SQL calls in Python: regular expressions, exact sums, and what `printing` and `ordering` offer.

Each call costs a microsecond or more, so SQL uses them only where nothing built in will do.
"""

from __future__ import annotations

import json
import re
import struct
from functools import lru_cache
from typing import Final

from deriva_ml_prefect.embedded.database import Function
from deriva_ml_prefect.embedded.ermrest import dates, ordering, printing
from deriva_ml_prefect.embedded.ermrest.matching import contains
from deriva_ml_prefect.embedded.ermrest.types import normal_json
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict

LONGEST_PATTERN: Final = 2000
_CLASSES: Final = {
    "alpha": "^\\W\\d_",
    "digit": "0-9",
    "alnum": "^\\W_",
    "upper": "A-Z",
    "lower": "a-z",
    "space": "\\s",
    "blank": " \\t",
    "punct": "!-/:-@\\[-`{-~",
    "xdigit": "0-9A-Fa-f",
    "cntrl": "\\x00-\\x1f\\x7f",
    "print": "\\x20-\\x7e\\u00a0-\\U0010ffff",
    "graph": "\\x21-\\x7e\\u00a1-\\U0010ffff",
    "word": "\\w",
}
_ALONE: Final = {"alpha": "A-Za-zÀ-ÖØ-öø-ÿ", "alnum": "0-9A-Za-zÀ-ÖØ-öø-ÿ"}
"""Where a class stands among other members of a bracket."""


@lru_cache(maxsize=512)
def translate_regexp(pattern: str, fold_case: bool = False) -> re.Pattern[str]:
    """Compile PostgreSQL's advanced regular expressions as Python's.

    Raises Conflict for what is no regular expression, BadRequest for one that is too long.
    """
    if len(pattern) > LONGEST_PATTERN:
        raise BadRequest(f"A regular expression of more than {LONGEST_PATTERN} characters is not accepted.")
    if pattern.startswith("***="):
        return re.compile(re.escape(pattern[4:]), re.IGNORECASE if fold_case else 0)
    try:
        return re.compile(_translate(pattern), re.DOTALL | (re.IGNORECASE if fold_case else 0))
    except (re.error, OverflowError, RecursionError) as error:
        raise Conflict(f"The text {pattern!r:.200} is not a regular expression: {error}.") from None


def _translate(pattern: str) -> str:
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\" and at + 1 < len(pattern):
            out.append(
                {"m": r"\b(?=\w)", "M": r"\b(?<=\w)", "y": r"\b", "Y": r"\B", "Z": r"\Z"}.get(
                    pattern[at + 1], pattern[at : at + 2]
                )
            )
            at += 2
        elif char == "[":
            end, text = _translate_bracket(pattern, at)
            out.append(text)
            at = end
        elif char == "$":
            out.append(r"\Z")
            at += 1
        elif pattern.startswith("(?", at) and pattern[at + 2 : at + 3] not in (":", "=", "!", "<"):
            raise re.error("quantifier operand invalid")
        else:
            out.append(char)
            at += 1
    return "".join(out)


def _translate_bracket(pattern: str, start: int) -> tuple[int, str]:
    at = start + 1
    negated = pattern.startswith("^", at)
    at += negated
    members: list[str] = []
    classes: list[str] = []
    first = True
    while at < len(pattern) and (pattern[at] != "]" or first):
        first = False
        if pattern.startswith("[:", at):
            end = pattern.find(":]", at)
            name = pattern[at + 2 : end]
            if end < 0 or name not in _CLASSES:
                raise re.error("invalid character class")
            classes.append(name)
            at = end + 2
        elif pattern[at] == "\\" and at + 1 < len(pattern):
            members.append(pattern[at : at + 2])
            at += 2
        else:
            edge = pattern[at] == "-" and (not members or pattern.startswith("-]", at))
            members.append("\\" + pattern[at] if edge or pattern[at] in "[]&~|" else pattern[at])
            at += 1
    if at >= len(pattern):
        raise re.error("brackets [] not balanced")
    if len(classes) == 1 and not members:
        inner = _CLASSES[classes[0]]
        if inner.startswith("^"):
            return at + 1, f"[{inner[1:] if negated else inner}]"
        return at + 1, f"[{'^' if negated else ''}{inner}]"
    inner = "".join(members) + "".join(_ALONE.get(name, _CLASSES[name]) for name in classes)
    return at + 1, f"[{'^' if negated else ''}{inner}]"


def match_text(pattern: str, text: str | None) -> int | None:
    return None if text is None else int(contains(translate_regexp(pattern), text))


def match_folded_text(pattern: str, text: str | None) -> int | None:
    return None if text is None else int(contains(translate_regexp(pattern, True), text))


def find_bin(value: float | None, bins: int, low: float | None, high: float | None) -> str | None:
    """`[index, lower limit, upper limit]` of a number's bin as JSON text; 0 is below and bins + 1 is above them all."""
    if value is None or low is None or high is None:
        return "[null,null,null]"
    if value < low:
        return json.dumps([0, None, low])
    if value >= high or high <= low:
        return json.dumps([bins + 1, high, None])
    width = (high - low) / bins
    index = min(int((value - low) / width), bins - 1)
    limits = [low + index * width, low + (index + 1) * width]
    if isinstance(low, int) and isinstance(high, int):
        limits = [int(limit) if limit == int(limit) else limit for limit in limits]
    return json.dumps([index + 1, *limits])


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


FUNCTIONS: Final = (
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
    Function("find_bin", 4, find_bin),
)
