"""Intervals: PostgreSQL's verbose and ISO 8601 spellings, written back as PostgreSQL prints them."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

DAY: Final = 86_400_000_000
"""Microseconds."""
_MONTHS: Final = {"year": 12, "month": 1, "decade": 120, "century": 1200, "millennium": 12000}
_DAYS: Final = {"day": 1, "week": 7}
_MICROS: Final = {
    "hour": 3_600_000_000,
    "minute": 60_000_000,
    "second": 1_000_000,
    "millisecond": 1000,
    "microsecond": 1,
}
_SPELLINGS: Final = {
    spelling: unit
    for unit, spellings in {
        "year": "y yr yrs year years",
        "month": "mon mons month months",
        "decade": "dec decs decade decades",
        "century": "c cent century centuries",
        "millennium": "mil mils millennia millennium",
        "day": "d day days",
        "week": "w week weeks",
        "hour": "h hour hours hr hrs",
        "minute": "m min mins minute minutes",
        "second": "s sec secs second seconds",
        "millisecond": "ms msec msecs msecond mseconds millisecond milliseconds",
        "microsecond": "us usec usecs usecond useconds microsecond microseconds",
    }.items()
    for spelling in spellings.split()
}
_LARGEST: Final = 2**31 - 1
_CLOCK: Final = r"(?P<clock>[+-]?\d+:\d{1,2}(?::\d{1,2}(?:\.\d*)?)?)"
_PART: Final = re.compile(
    rf"[\s@,]*(?:{_CLOCK}|(?P<years>[+-]?\d+)-(?P<months>\d+)(?![\d-])"
    r"|(?P<number>[+-]?\s*(?:\d+(?:\.\d*)?|\.\d+))(?:\s*(?P<unit>[A-Za-z]+)(?![\dA-Za-z]))?)\s*",
    re.ASCII,
)
_ISO_PART: Final = re.compile(r"([+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+))([YMWDHS])", re.ASCII)
_ISO_PLAIN: Final = re.compile(
    r"P(?:(\d{1,4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?)?(?:T(?:(\d{1,2})(?::(\d{1,2})(?::(\d{1,2}(?:\.\d*)?))?)?)?)?",
    re.ASCII,
)
Part = tuple[Fraction, str]


def parse_interval(text: str) -> str:
    """Canonical text, such as `1 year 2 mons 3 days 04:05:06.5`. Raises ValueError."""
    stripped = text.strip()
    try:
        parts = _iso_parts(stripped) if stripped.startswith("P") else _verbose_parts(stripped)
    except ValueError:
        raise ValueError(f"{text!r:.80} is not an interval") from None
    months, days, micros = 0, 0, Fraction(0)
    for amount, unit in parts:
        whole = int(amount)
        fraction = amount - whole
        if unit in _MONTHS:
            months += whole * _MONTHS[unit]
            if unit == "month":
                days, micros = _add_days(days, micros, fraction * 30)
            else:
                months += round(fraction * _MONTHS[unit])
        elif unit in _DAYS:
            days += whole * _DAYS[unit]
            days, micros = _add_days(days, micros, fraction * _DAYS[unit])
        else:
            micros += amount * _MICROS[unit]
    rounded = round(micros)
    if max(abs(months), abs(days)) > _LARGEST or abs(rounded) >= 2**63:
        raise ValueError(f"{text!r:.80} is out of range for an interval")
    return _print(months, days, rounded)


def _add_days(days: int, micros: Fraction, amount: Fraction) -> tuple[int, Fraction]:
    whole = int(amount)
    return days + whole, micros + (amount - whole) * DAY


def _verbose_parts(text: str) -> list[Part]:
    sign = 1
    if text.lower().endswith("ago") and not text[-4:-3].isalnum():
        text, sign = text[:-3].rstrip(), -1
    parts: list[Part] = []
    used: set[str] = set()
    position = 0
    bare: Fraction | None = None
    while position < len(text):
        found = _PART.match(text, position)
        if found is None or found.end() == position:
            raise ValueError(text)
        position = found.end()
        before, bare = bare, None
        if found["clock"]:
            if before is not None:
                _add(parts, used, before, "day")
            _add_clock(parts, used, found["clock"])
        elif before is not None:
            raise ValueError(text)
        elif found["years"]:
            side = -1 if found["years"].startswith("-") else 1
            if int(found["months"]) > 11:
                raise ValueError(text)
            _add(parts, used, Fraction(found["years"]), "year")
            _add(parts, used, Fraction(side * int(found["months"])), "month")
        else:
            amount = Fraction("".join(found["number"].split()))
            if found["unit"] is None:
                bare = amount
            else:
                _add(parts, used, amount, _unit(found["unit"]))
    if bare is not None:
        _add(parts, used, bare, "second")
    if not parts:
        raise ValueError(text)
    return [(sign * amount, unit) for amount, unit in parts]


def _unit(word: str) -> str:
    unit = _SPELLINGS.get(word.lower())
    if unit is None:
        raise ValueError(word)
    return unit


def _add(parts: list[Part], used: set[str], amount: Fraction, unit: str) -> None:
    if unit in used:
        raise ValueError(unit)
    used.add(unit)
    parts.append((amount, unit))


def _add_clock(parts: list[Part], used: set[str], clock: str) -> None:
    side = -1 if clock.startswith("-") else 1
    hours, minutes, *rest = clock.lstrip("+-").split(":")
    seconds = Fraction(rest[0].rstrip(".")) if rest else Fraction(0)
    if int(minutes) > 59 or seconds > 60:
        raise ValueError(clock)
    for amount, unit in ((Fraction(hours), "hour"), (Fraction(minutes), "minute"), (seconds, "second")):
        _add(parts, used, side * amount, unit)


def _iso_parts(text: str) -> list[Part]:
    plain = _ISO_PLAIN.fullmatch(text)
    if plain and (text in ("P", "PT") or any(plain.groups())):
        units = ("year", "month", "day", "hour", "minute", "second")
        if text == "P":
            raise ValueError(text)
        return [
            (Fraction(amount.rstrip(".")), unit) for amount, unit in zip(plain.groups(), units, strict=True) if amount
        ]
    day_part, _, clock_part = text[1:].partition("T")
    names = ({"Y": "year", "M": "month", "W": "week", "D": "day"}, {"H": "hour", "M": "minute", "S": "second"})
    parts: list[Part] = []
    for section, units_of in zip((day_part, clock_part), names, strict=True):
        found = _ISO_PART.findall(section)
        if "".join(amount + letter for amount, letter in found) != section or any(u not in units_of for _, u in found):
            raise ValueError(text)
        parts += [(Fraction(amount.replace(",", ".").rstrip(".")), units_of[letter]) for amount, letter in found]
    if not parts:
        raise ValueError(text)
    return parts


def _print(months: int, days: int, micros: int) -> str:
    """A positive field behind a negative one has a plus sign."""
    years, months = int(months / 12), months - 12 * int(months / 12)
    words: list[str] = []
    negative = False
    for amount, unit in ((years, "year"), (months, "mon"), (days, "day")):
        if amount:
            words.append(f"{'+' if negative and amount > 0 else ''}{amount} {unit}{'' if amount == 1 else 's'}")
            negative = amount < 0
    if micros or not words:
        seconds, fraction = divmod(abs(micros), 1_000_000)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        tail = f".{fraction:06d}".rstrip("0") if fraction else ""
        sign = "-" if micros < 0 else "+" if negative else ""
        words.append(f"{sign}{hours:02d}:{minutes:02d}:{seconds:02d}{tail}")
    return " ".join(words)


def length_of_interval(stored: str) -> int:
    """Microseconds, by which intervals are compared: a month has 30 days of 24 hours."""
    total = Fraction(0)
    for amount, unit in _verbose_parts(stored):
        if unit in _MONTHS:
            total += amount * _MONTHS[unit] * 30 * DAY
        elif unit in _DAYS:
            total += amount * _DAYS[unit] * DAY
        else:
            total += amount * _MICROS[unit]
    return int(total)
