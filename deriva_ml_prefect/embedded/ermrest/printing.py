"""Stored values as PostgreSQL prints them: in CSV, in JSON, and as the text that a regular expression looks at.

Most types need nothing, or what SQL does by itself; these are the functions for the rest, which SQL calls in Python.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable
from typing import Any, Final

from deriva_ml_prefect.embedded.ermrest.dates import order_timetz, print_date, print_plain_date
from deriva_ml_prefect.embedded.ermrest.types import json_text

_NO_QUOTES = re.compile(r"[^\s{}\",\\]+", re.ASCII)


def print_float(value: float | str | None) -> str | None:
    """A float as PostgreSQL prints it: the shortest digits that give the same number back."""
    if value is None or isinstance(value, str):
        return value
    text = repr(float(value))
    if len(text) <= 15 and "e" not in text and text[-1] != "f":
        return text.removesuffix(".0")
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return _print_digits(text, 15)


def _print_digits(text: str, longest: int) -> str:
    """Python's shortest digits, with an exponent from 1e`longest` on and below 1e-4."""
    sign = "-" if text.startswith("-") else ""
    digits, _, power = text.lstrip("-").partition("e")
    whole, _, fraction = digits.partition(".")
    exponent = int(power or 0)
    is_tiny = whole == "0" and fraction.startswith("0000") and fraction.strip("0")
    if exponent == 0 and len(whole) <= longest and not is_tiny:
        return f"{sign}{whole}.{fraction}".removesuffix(".0")
    mantissa = (whole + fraction).lstrip("0")
    exponent += len(whole) - 1 if whole != "0" else -1 - (len(fraction) - len(fraction.lstrip("0")))
    mantissa = mantissa.rstrip("0") or "0"
    if -5 < exponent < longest:
        padded = mantissa.ljust(exponent + 1, "0")
        return f"{sign}{padded[: exponent + 1]}" + (f".{padded[exponent + 1 :]}" if padded[exponent + 1 :] else "")
    body = mantissa[0] + (f".{mantissa[1:]}" if len(mantissa) > 1 else "")
    return f"{sign}{body}e{exponent:+03d}"


def shortest_single(value: float) -> float:
    """The double of fewest digits that names the same number of single precision."""
    packed = struct.pack("<f", value)
    for digits in range(1, 10):
        shortest = float(f"{value:.{digits}g}")
        try:
            if struct.pack("<f", shortest) == packed:
                return shortest
        except OverflowError:
            continue
    return value


def print_single(value: float | str | None) -> str | None:
    """A float4, with fewer digits before PostgreSQL turns to an exponent."""
    if value is None or isinstance(value, str) or not math.isfinite(value):
        return print_float(value)
    return _print_digits(repr(shortest_single(value)), 6)


def print_float_json(value: float | str | None) -> str | None:
    """JSON text of a float; NaN and the infinities are strings, as PostgreSQL writes them."""
    text = print_float(value)
    return f'"{text}"' if text is not None and text[-1].isalpha() else text


def print_single_json(value: float | str | None) -> str | None:
    text = print_single(value)
    return f'"{text}"' if text is not None and text[-1].isalpha() else text


_PRINTERS: Final[dict[str, Callable[[Any], str | None]]] = {
    "float8": print_float,
    "float4": print_single,
    "date": print_plain_date,
    "timestamp": print_plain_date,
    "timestamptz": print_plain_date,
}


def print_array(text: str | None, scalar: str = "") -> str | None:
    """An array, stored as JSON, in PostgreSQL's own form: `{a,"b c",NULL}`. `scalar` is the type of its members."""
    if text is None:
        return None
    printer = _PRINTERS.get(scalar)
    if scalar in ("json", "jsonb"):
        words = [None if member is None else json_text(member) for member in json.loads(text)]
        return _join_words(words)
    return _join_words([_print_member(member, printer) for member in json.loads(text)])


def _print_member(member: Any, printer: Callable[[Any], str | None] | None) -> str | None:
    if member is None:
        return None
    if isinstance(member, bool):
        return "t" if member else "f"
    if printer is not None:
        return printer(member)
    return member if isinstance(member, str) else str(member)


def _join_words(words: list[str | None]) -> str:
    quoted = []
    for word in words:
        if word is None:
            quoted.append("NULL")
        elif _NO_QUOTES.fullmatch(word) and word.lower() != "null":
            quoted.append(word)
        else:
            quoted.append('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"')
    return "{" + ",".join(quoted) + "}"


def print_array_json(text: str | None, scalar: str) -> str | None:
    """An array in JSON, where its members are stored in another form than JSON shows."""
    if text is None:
        return None
    members = json.loads(text)
    if scalar in ("date", "timestamp", "timestamptz"):
        return json.dumps([print_date(member) for member in members])
    if scalar in ("float4", "float8"):
        one = print_single_json if scalar == "float4" else print_float_json
        return "[" + ", ".join(one(member) or "null" for member in members) + "]"
    return text


def print_plain_array_json(text: str | None, scalar: str) -> str | None:
    """The same without blanks between the members, as PostgreSQL's `array_to_json` has it."""
    shown = print_array_json(text, scalar)
    if shown is None:
        return None
    if scalar in ("float4", "float8"):
        return shown.replace(", ", ",")
    members = json.loads(shown)
    if scalar in ("json", "jsonb"):
        return "[" + ",".join(json_text(member) for member in members) + "]"
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"))


def searched_date(stored: str | None) -> str | None:
    """A date, or a timestamp, as regular expressions see it: `2020-02-29`, `2020-02-29T03:04:05`, without fraction."""
    text = print_date(stored)
    if text is None or text.endswith("infinity"):
        return None
    return text.removesuffix(" BC").removesuffix("+00:00").partition(".")[0]


def searched_instant(stored: str | None) -> str | None:
    """A timestamp with zone as regular expressions see it: `2020-02-29T03:04:05Z`."""
    text = searched_date(stored)
    return None if text is None else f"{text}Z"


def searched_time(stored: str | None, with_zone: int = 0) -> str | None:
    """A time of day as regular expressions see it: ` 03: 04: 05`, at UTC."""
    if stored is None:
        return None
    clock = stored
    if with_zone:
        order = order_timetz(stored) or 0
        micros = round(order / 200_000) % 86_400_000_000
        seconds, fraction = divmod(micros, 1_000_000)
        clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{fraction:06d}"
    hours, minutes, rest = clock.split(":")
    return f" {hours}: {minutes}: {round(float(rest)):02d}"


_SEARCHED: Final[dict[str, Callable[[Any], str | None]]] = {
    "date": searched_date,
    "timestamp": searched_date,
    "timestamptz": searched_instant,
    "time": searched_time,
    "timetz": lambda member: searched_time(member, 1),
    "boolean": lambda member: None if member is None else "true" if member else "false",
    "json": lambda member: None if member is None else json_text(member),
    "jsonb": lambda member: None if member is None else json_text(member),
}


def searched_array(text: str | None, scalar: str) -> str | None:
    """An array as regular expressions see it: the texts of its members in PostgreSQL's form; null for an empty one."""
    if text is None or text == "[]":
        return None
    search = _SEARCHED.get(scalar) or (lambda member: _print_member(member, _PRINTERS.get(scalar)))
    return _join_words([search(member) for member in json.loads(text)])
