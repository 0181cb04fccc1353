"""What a column of the catalog can hold: a value that it would not give back exactly is refused by name.

    text, markdown, …     text without NUL and lone surrogates
    int2, int4, int8      whole numbers of that size, also as decimal text; no truth values
    float4, float8        finite numbers that the type holds; no truth values
    boolean               true or false; no numbers
    date, timestamp, timestamptz   ISO 8601; a timestamptz must name its offset, a timestamp must not have one
    json, jsonb           what JSON has, without NaN and infinities
    <type>[]              a list of such values

Other types take texts and numbers, which the catalog checks.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from deriva_ml_prefect.exceptions import DerivaMLValidationError

Check = Callable[[Any], str | None]
"""What is wrong with a value that is not None; None if it can be carried."""

_BITS = {"int2": 16, "serial2": 16, "int4": 32, "serial4": 32, "int8": 64, "serial8": 64}
_LARGEST_FLOAT4 = 3.4028234663852886e38
_DECIMAL = re.compile(r"[+-]?\d{1,40}", re.ASCII)
_DATE = r"\d{4}-?\d\d-?\d\d"
_DAY = re.compile(_DATE, re.ASCII)
_CLOCK = r"[T ]\d\d:?\d\d(?::?\d\d(?:\.\d{1,6}0*)?)?(?:Z|[+-]\d\d(?::?\d\d){0,2})?"
_MOMENT = re.compile(rf"{_DATE}(?:{_CLOCK})?", re.ASCII)
"""What both Python and PostgreSQL take: no weeks, no hours alone, nothing finer than microseconds."""
_LARGEST_OFFSET = timedelta(hours=16)
_DEEPEST = 200
"""Lists and objects within each other that a JSON value may have."""
_SHOWN = 60


def check_text(text: str, where: str) -> str:
    """`text` itself; DerivaMLValidationError for a NUL or a lone surrogate, which no catalog can hold."""
    problem = _wrong_text(text)
    if problem:
        raise DerivaMLValidationError(f"{where} {problem}. Correct the value; nothing was written.")
    return text


def spelled_out(text: str) -> str:
    """`text` for a place that only tells people something: NUL and lone surrogates, which no catalog holds, escaped."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


def check_value(typename: str, value: Any, where: str) -> None:
    """DerivaMLValidationError naming `where` when a column of that type would not give the value back."""
    problem = None if value is None else check_of(typename)(value)
    if problem:
        raise DerivaMLValidationError(
            f"{where} is a column of type {typename}, and {_shown(value)} {problem}. Nothing was written."
        )


def check_of(typename: str) -> Check:
    """The check of one type, to be kept where many values are checked."""
    if typename.endswith("[]"):
        return _wrong_list(check_of(typename[:-2]))
    if typename in _BITS:
        return _wrong_integer(_BITS[typename])
    return _CHECKS.get(typename, _wrong_other)


def refuse_nan(value: Any, where: str) -> None:
    """Raise DerivaMLValidationError naming the place of a NaN or an infinity, which JSON stores cannot give back."""
    if isinstance(value, float) and not math.isfinite(value):
        raise DerivaMLValidationError(f"{where} is {value}: only finite numbers can be stored and read back.")
    if isinstance(value, Mapping):
        for key, item in value.items():
            refuse_nan(item, f"{where}.{key}")
    if isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            refuse_nan(item, f"{where}[{i}]")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _wrong_text(value: Any) -> str | None:
    if not isinstance(value, str):
        return "is no text: give it as one"
    if "\0" in value:
        return "holds a NUL character, which the catalog cannot store"
    if value.isascii():
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        return "is not valid Unicode (a lone surrogate)"
    return None


def _wrong_integer(bits: int) -> Check:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def check(value: Any) -> str | None:
        if isinstance(value, bool):
            return "is a truth value: write 0 or 1 if a number is meant"
        if isinstance(value, str) and _DECIMAL.fullmatch(value):
            value = int(value)
        if not isinstance(value, int):
            return "is no whole number"
        return None if low <= value <= high else f"is beyond {bits} bits ({low} to {high})"

    return check


def _wrong_float(largest: float) -> Check:
    def check(value: Any) -> str | None:
        if type(value) is float and -largest <= value <= largest:
            return None
        if isinstance(value, bool):
            return "is a truth value: write 0.0 or 1.0 if a number is meant"
        if isinstance(value, str) and ("_" in value or not value.isascii()):
            # Python's own spellings
            return "is no number of this type"
        try:
            number = float(value) if isinstance(value, (int, float, str)) else None
        except (ValueError, OverflowError):
            number = None
        if number is None:
            return "is no number of this type"
        if not math.isfinite(number):
            return "is not finite: leave it out (None) where there is no number"
        if isinstance(value, int) and int(number) != value:
            return "has more digits than the type keeps"
        return None if abs(number) <= largest else "is too large for the type"

    return check


def _wrong_boolean(value: Any) -> str | None:
    if isinstance(value, bool) or (isinstance(value, str) and value in ("true", "false")):
        return None
    return "is no truth value: give True or False"


def _wrong_date(value: Any) -> str | None:
    try:
        date.fromisoformat(value)
    except (TypeError, ValueError):
        return "is no date: write YYYY-MM-DD"
    return None if _DAY.fullmatch(value) else "is no date: write YYYY-MM-DD"


def _wrong_moment(*, aware: bool) -> Check:
    def check(value: Any) -> str | None:
        try:
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except (TypeError, ValueError):
            return "is no time: write ISO 8601, e.g. 2026-01-15T14:30:00+00:00"
        if isinstance(value, str) and not _MOMENT.fullmatch(value):
            return "is no time that is kept exactly: write e.g. 2026-01-15T14:30:00.123456+00:00, no finer"
        if aware and moment.tzinfo is None:
            return "does not say its time zone: add an offset, e.g. +00:00, or tzinfo=datetime.UTC"
        if not aware and moment.tzinfo is not None:
            return "has a time zone, which this type does not keep: give the local time, without an offset"
        if abs(moment.utcoffset() or timedelta()) >= _LARGEST_OFFSET:
            return "has an offset of 16 hours or more, which no catalog takes"
        return None

    return check


def _wrong_json(value: Any, depth: int = 0) -> str | None:
    if depth > _DEEPEST:
        return f"is nested more than {_DEEPEST} deep"
    if isinstance(value, str):
        return _wrong_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "is not finite, which JSON cannot say"
    inner: Sequence[Any] = ()
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            return "has a key that is no text"
        inner = [*value, *value.values()]
    elif isinstance(value, (list, tuple)):
        inner = value
    elif value is not None and not isinstance(value, (bool, int, float)):
        return "is nothing that JSON has"
    return next((f"holds a value that {problem}" for item in inner if (problem := _wrong_json(item, depth + 1))), None)


def _wrong_list(check_item: Check) -> Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, (list, tuple)):
            return "is no list"
        problems = (check_item(item) for item in value if item is not None)
        return next((f"holds a value that {problem}" for problem in problems if problem), None)

    return check


def _wrong_other(value: Any) -> str | None:
    if isinstance(value, str):
        return _wrong_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "is not finite"
    return None if isinstance(value, (bool, int, float)) else "is neither text nor number"


_CHECKS: Mapping[str, Check] = {
    **dict.fromkeys(("text", "markdown", "longtext", "ermrest_rid", "ermrest_curie", "ermrest_uri"), _wrong_text),
    "float4": _wrong_float(_LARGEST_FLOAT4),
    "float8": _wrong_float(sys.float_info.max),
    "boolean": _wrong_boolean,
    "date": _wrong_date,
    "timestamp": _wrong_moment(aware=False),
    "timestamptz": _wrong_moment(aware=True),
    "json": _wrong_json,
    "jsonb": _wrong_json,
}
