"""Intervals: PostgreSQL's verbose and ISO 8601 spellings, written back as PostgreSQL prints them."""

from __future__ import annotations

import re
from fractions import Fraction

_MONTHS = {
    "year": 12,
    "yr": 12,
    "y": 12,
    "mon": 1,
    "month": 1,
    "decade": 120,
    "dec": 120,
    "century": 1200,
    "centurie": 1200,
    "c": 1200,
    "millennium": 12000,
    "millennia": 12000,
    "mil": 12000,
}
_DAYS = {"day": 1, "d": 1, "week": 7, "w": 7}
_MICROS = {
    "hour": 3_600_000_000,
    "hr": 3_600_000_000,
    "h": 3_600_000_000,
    "minute": 60_000_000,
    "min": 60_000_000,
    "m": 60_000_000,
    "second": 1_000_000,
    "sec": 1_000_000,
    "s": 1_000_000,
    "millisecond": 1000,
    "ms": 1000,
    "msec": 1000,
    "microsecond": 1,
    "us": 1,
    "usec": 1,
}
_PART = re.compile(r"\s*(?:([+-]?\d+):(\d{2})(?::(\d{2}(?:\.\d+)?))?|([+-]?\s*\d+(?:\.\d*)?|[+-]?\.\d+)\s*([A-Za-z]*))")
_ISO_PART = re.compile(r"([+-]?\d+(?:[.,]\d+)?)([YMWDHS])")


def parse_interval(text: str) -> str:
    """Canonical text, such as `1 year 2 mons 3 days 04:05:06.5`. Raises ValueError."""
    stripped = text.strip()
    parts = _iso_parts(stripped) if stripped.upper().startswith("P") else _verbose_parts(stripped)
    months, days, micros = Fraction(0), Fraction(0), Fraction(0)
    for amount, unit in parts:
        if unit in _MONTHS:
            months += amount * _MONTHS[unit]
        elif unit in _DAYS:
            days += amount * _DAYS[unit]
        else:
            micros += amount * _MICROS[unit]
    days += (months - int(months)) * 30
    micros += (days - int(days)) * 86_400_000_000
    return _print(int(months), int(days), round(micros))


def _verbose_parts(text: str) -> list[tuple[Fraction, str]]:
    sign = 1
    if text.lower().endswith(" ago"):
        text, sign = text[:-4].rstrip(), -1
    text = text.removeprefix("@").strip()
    parts: list[tuple[Fraction, str]] = []
    position = 0
    while position < len(text):
        found = _PART.match(text, position)
        if found is None:
            raise ValueError(f"{text!r} is not an interval")
        position = found.end()
        if found[1] is not None:
            side = -1 if found[1].startswith("-") else 1
            clock = abs(int(found[1])) * 3600 + int(found[2]) * 60 + Fraction(found[3] or 0)
            parts.append((sign * side * Fraction(clock), "s"))
            continue
        unit = found[5].lower() or "s"
        if unit not in _MONTHS | _DAYS | _MICROS:
            unit = unit.removesuffix("s") or "s"
        if unit not in _MONTHS | _DAYS | _MICROS:
            raise ValueError(f"{text!r} is not an interval: the unit {found[5]!r} is not known")
        parts.append((sign * Fraction(found[4].replace(" ", "")), unit))
    if not parts:
        raise ValueError(f"{text!r} is not an interval")
    return parts


def _iso_parts(text: str) -> list[tuple[Fraction, str]]:
    day_part, _, clock_part = text.upper()[1:].partition("T")
    units = ({"Y": "year", "M": "month", "W": "week", "D": "day"}, {"H": "hour", "M": "minute", "S": "second"})
    parts: list[tuple[Fraction, str]] = []
    for section, names in zip((day_part, clock_part), units, strict=True):
        found = _ISO_PART.findall(section)
        if "".join(amount + letter for amount, letter in found) != section or any(u not in names for _, u in found):
            raise ValueError(f"{text!r} is not an interval")
        parts += [(Fraction(amount.replace(",", ".")), names[letter]) for amount, letter in found]
    if not parts:
        raise ValueError(f"{text!r} is not an interval")
    return parts


def _print(months: int, days: int, micros: int) -> str:
    years, months = int(months / 12), months - 12 * int(months / 12)
    words = [
        f"{amount} {unit}{'' if amount == 1 else 's'}"
        for amount, unit in ((years, "year"), (months, "mon"), (days, "day"))
        if amount
    ]
    if micros or not words:
        seconds, fraction = divmod(abs(micros), 1_000_000)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        tail = f".{fraction:06d}".rstrip("0") if fraction else ""
        words.append(f"{'-' if micros < 0 else ''}{hours:02d}:{minutes:02d}:{seconds:02d}{tail}")
    return " ".join(words)
