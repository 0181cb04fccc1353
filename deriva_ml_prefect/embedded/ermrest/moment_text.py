"""Texts of dates and times taken apart as PostgreSQL does: fields by their shape, then what each can only mean.

A text is cut into fields, and each field is given its meaning from what came before it: `2020-02-29`, `Feb 29 2020`,
`2/29/2020 3:04 PM PST` and `20200229T030400Z` are all understood. Every function raises ValueError.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from deriva_ml_prefect.embedded.ermrest.moment_words import (
    IGNORED,
    MONTHS,
    PREFIXES,
    WEEKDAYS,
    abbreviated_zone,
    find_zone,
    offset_of,
)

Shape = Literal["date", "time", "number", "zone", "word"]
_FIELD = re.compile(
    r"(?P<time>\d+:[\d:.]*)"
    r"|(?P<date>\d+(?P<mark>[-/.])(?:\d+(?P=mark)[\d\-/.]*|[A-Za-z][A-Za-z0-9]*(?P=mark)?[A-Za-z0-9]*|(?<!\.)\d+|(?=[-/])[-/\d]*))"
    r"|(?P<number>\d+(?:\.\d*)?|\.\d*)"
    r"|(?P<mixed>[A-Za-z]+[-/.][A-Za-z0-9+\-/_.:]*)"
    r"|(?P<word>[A-Za-z]+)"
    r"|(?P<zone>[+-]\s*\d[\d:.\-]*)"
    r"|(?P<special>[+-]\s*[A-Za-z]+)",
    re.ASCII,
)
_LONGEST = 128
_CUMULATED = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
DATE = frozenset(("year", "month", "day"))
WALL_CLOCK = "clock"


@dataclass
class Reading:
    """What has been understood so far."""

    year: int = 0
    month: int = 0
    day: int = 0
    micros: int = 0
    """Of the day; a clock of 24:00 is a whole day."""
    offset: int | None = None
    """Seconds east of UTC, where the text names a zone."""
    known: set[str] = field(default_factory=set)
    day_of_year: int = 0
    has_short_year: bool = False
    has_month_name: bool = False
    is_julian: bool = False
    before_christ: bool = False
    half: str | None = None
    zone: ZoneInfo | None = None
    pending: str | None = None
    """A prefix (`J`, `T`) whose number is to follow."""
    word: str | None = None
    """`infinity`, `-infinity` or `epoch`, alone."""

    def learn(self, *names: str) -> None:
        if not self.known.isdisjoint(names):
            raise ValueError("a field is given twice")
        self.known.update(names)

    @property
    def has_date(self) -> bool:
        return self.known >= DATE


def read_moment(text: str, what: str) -> Reading:
    """A date, with or without a time of day and a zone."""
    return _read(text, what, clock_only=False)


def read_clock(text: str, what: str) -> Reading:
    """A time of day, with or without a zone; a date before it is let pass."""
    return _read(text, what, clock_only=True)


def _read(text: str, what: str, *, clock_only: bool) -> Reading:
    if len(text) > _LONGEST:
        raise ValueError(f"{text!r:.60} is not a {what}")
    try:
        fields = _fields(text)
        reading = Reading()
        for position, (shape, content) in enumerate(fields):
            _take(reading, shape, content, fields, position, clock_only=clock_only)
        _settle(reading, clock_only=clock_only)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a {what}: {error}") from None
    return reading


def _fields(text: str) -> list[tuple[Shape, str]]:
    found: list[tuple[Shape, str]] = []
    at = 0
    while at < len(text):
        char = text[at]
        match = _FIELD.match(text, at)
        if match is None:
            if not (
                char.isspace() or (char.isascii() and char.isprintable() and not char.isalnum() and char not in "+-")
            ):
                raise ValueError(f"{char!r} is not expected")
            at += 1
            continue
        at = match.end()
        content = match.group().lower()
        kind = match.lastgroup
        if kind == "mark":
            kind = "date"
        if kind == "word" and at < len(text) and (text[at] == "+" or text[at].isdigit()) and not _is_word(content):
            rest = re.compile(r"[A-Za-z0-9+\-/_.:]*", re.ASCII).match(text, at)
            assert rest is not None
            content, at, kind = content + rest.group().lower(), rest.end(), "mixed"
        if kind in ("zone", "special"):
            content = "".join(content.split())
        shape: Shape = "word" if kind == "special" else "date" if kind == "mixed" else kind  # type: ignore[assignment]
        found.append((shape, content))
    if not found:
        raise ValueError("it is empty")
    return found


def _is_word(word: str) -> bool:
    return word in MONTHS or word in WEEKDAYS or word in IGNORED or word in PREFIXES or word in ("am", "pm", "ad", "bc")


def _take(
    reading: Reading, shape: Shape, content: str, fields: list[tuple[Shape, str]], position: int, *, clock_only: bool
) -> None:
    if shape == "time":
        _take_time(reading, content)
    elif shape == "zone":
        reading.learn("zone")
        reading.offset = _offset(content)
    elif shape == "number":
        _take_number(reading, content, clock_only=clock_only)
    elif shape == "word":
        _take_word(reading, content, fields, position, clock_only=clock_only)
    elif reading.pending or reading.known >= {"month", "day"} or (clock_only and (position or len(fields) == 1)):
        _take_zoned(reading, content)
    else:
        _take_date(reading, content)


def _take_zoned(reading: Reading, content: str) -> None:
    """`040506-08`, a clock with its zone; or a zone's name with punctuation."""
    if not content[0].isdigit():
        if reading.pending:
            raise ValueError(f"{content!r} is not a time")
        reading.learn("zone")
        reading.zone = find_zone(content)
        return
    reading.pending = None
    clock, dash, zone = content.partition("-")
    if not dash:
        raise ValueError(f"{content!r} is not expected")
    reading.learn("zone")
    reading.offset = _offset(dash + zone)
    _take_run(reading, clock, has_date=True)


def _take_date(reading: Reading, content: str) -> None:
    parts = re.findall(r"\d+|[a-z]+", content)
    if not content[-1].isalnum():
        raise ValueError(f"{content!r} ends with a mark")
    for part in parts:
        if part.isalpha():
            if part in WEEKDAYS or part in IGNORED:
                continue
            if part not in MONTHS:
                raise ValueError(f"{part!r} is no month")
            reading.learn("month")
            reading.month, reading.has_month_name = MONTHS[part], True
    for part in parts:
        if part.isdigit():
            _take_part(reading, part)
    if not reading.has_date:
        raise ValueError(f"{content!r} is no whole date")


def _take_part(reading: Reading, digits: str) -> None:
    """One number of a date: what it is follows from what is known, and from how many digits it has."""
    value = int(digits)
    if value > 2**31 - 1:
        raise ValueError("a number is out of range")
    known = reading.known & DATE
    if len(digits) == 3 and known == {"year"} and 1 <= value <= 366:
        reading.learn("month", "day")
        reading.day_of_year = value
        return
    if known == DATE:
        _take_run(reading, digits, has_date=True)
        return
    first = not known or (known == {"month"} and reading.has_month_name)
    if known == {"year", "month"} and reading.has_month_name and reading.has_short_year and len(digits) >= 3:
        reading.day, reading.year, reading.has_short_year = reading.year, value, False
        reading.learn("day")
        return
    if first and len(digits) >= 3:
        name = "year"
    elif known == {"month"} or known == {"year", "month"}:
        name = "day"
    elif known == {"month", "day"}:
        name = "year"
    else:
        name = "month"
    reading.learn(name)
    setattr(reading, name, value)
    if name == "year":
        reading.has_short_year = len(digits) <= 2


def _take_number(reading: Reading, content: str, *, clock_only: bool) -> None:
    whole, dot, _ = content.partition(".")
    prefix, reading.pending = reading.pending, None
    if prefix == "julian":
        reading.learn(*DATE)
        reading.year, reading.month, reading.day = date_of_julian(int(whole or "0"))
        reading.is_julian = True
        if dot:
            reading.learn(WALL_CLOCK)
            reading.micros = round(float("0" + content[len(whole) :]) * 86_400_000_000)
        return
    if prefix == "time":
        _take_run(reading, content, has_date=True)
    elif clock_only:
        if not dot and len(whole) not in (4, 6):
            raise ValueError(f"{content!r} is no time")
        _take_run(reading, content, has_date=True)
    elif dot and reading.known.isdisjoint(DATE):
        if reading.known:
            _take_run(reading, content, has_date=True)
        else:
            _take_date(reading, content)
    elif (dot and len(whole) > 2) or (len(whole) >= 6 and not (reading.has_date and WALL_CLOCK in reading.known)):
        _take_run(reading, content, has_date=reading.has_date)
    elif dot:
        raise ValueError(f"{content!r} is not expected")
    else:
        _take_part(reading, content)


def _take_run(reading: Reading, content: str, *, has_date: bool) -> None:
    """`20200229` or `030405.5`: fields written without marks between them."""
    digits, dot, fraction = content.partition(".")
    if not dot and not has_date and len(digits) >= 6:
        reading.learn(*DATE)
        reading.year, reading.month, reading.day = int(digits[:-4]), int(digits[-4:-2]), int(digits[-2:])
        reading.has_short_year = len(digits) == 6
        return
    if len(digits) not in (4, 6):
        raise ValueError(f"{content!r} is no time")
    seconds = digits[4:] or "0"
    _set_clock(reading, int(digits[:2]), int(digits[2:4]), int(seconds), fraction)


def _take_time(reading: Reading, content: str) -> None:
    if reading.pending not in (None, "time"):
        raise ValueError(f"{content!r} is not expected")
    reading.pending = None
    found = re.fullmatch(r"(\d{1,9}):(\d{1,9})(?::(\d{1,9}))?(?:\.(\d*))?", content, re.ASCII)
    if found is None:
        raise ValueError(f"{content!r} is no time")
    hour, minute, second = int(found[1]), int(found[2]), int(found[3] or 0)
    if found[3] is None and found[4] is not None:
        hour, minute, second = 0, hour, minute
    _set_clock(reading, hour, minute, second, found[4] or "")


def _set_clock(reading: Reading, hour: int, minute: int, second: int, fraction: str) -> None:
    micros = round(float(f"0.{fraction}") * 1_000_000) if fraction else 0
    if hour > 24 or minute > 59 or second > 60:
        raise ValueError("the time is out of range")
    reading.learn(WALL_CLOCK)
    reading.micros = ((hour * 60 + minute) * 60 + second) * 1_000_000 + micros
    if reading.micros > 86_400_000_000:
        raise ValueError("the time is out of range")


def _offset(text: str) -> int:
    found = re.fullmatch(r"[+-](\d{1,6})(?::(\d{1,2})(?::(\d{1,2}))?)?", text, re.ASCII)
    if found is None:
        raise ValueError(f"{text!r} is no time zone")
    hours, minutes, seconds = int(found[1]), int(found[2] or 0), int(found[3] or 0)
    if found[2] is None and len(found[1]) > 2:
        hours, minutes = divmod(hours, 100)
    if hours > 15 or minutes > 59 or seconds > 59:
        raise ValueError(f"the time zone {text} is out of range")
    total = hours * 3600 + minutes * 60 + seconds
    return -total if text[0] == "-" else total


def _take_word(
    reading: Reading, word: str, fields: list[tuple[Shape, str]], position: int, *, clock_only: bool
) -> None:
    if word in IGNORED or (word in WEEKDAYS and not clock_only):
        return
    seconds = abbreviated_zone(word)
    if seconds is not None:
        reading.learn("zone")
        reading.offset = seconds
    elif word in MONTHS and not clock_only:
        _take_month(reading, MONTHS[word])
    elif word in ("am", "pm"):
        reading.learn("half")
        reading.half = word
    elif word in ("ad", "bc"):
        reading.learn("era")
        reading.before_christ = word == "bc"
    elif word in PREFIXES:
        _take_prefix(reading, PREFIXES[word], fields, position, clock_only=clock_only)
    elif word == "allballs":
        reading.learn(WALL_CLOCK, "zone")
        reading.offset = 0
    elif word == "now" or (word in ("today", "tomorrow", "yesterday") and not clock_only):
        _take_present(reading, word)
    elif word.removeprefix("+") in ("infinity", "-infinity", "epoch") and len(fields) == 1 and not clock_only:
        reading.word = word.removeprefix("+")
    else:
        reading.learn("zone")
        reading.zone = find_zone(word)


def _take_month(reading: Reading, month: int) -> None:
    if "month" in reading.known and not reading.has_month_name and "day" not in reading.known:
        reading.day = reading.month  # the number before the month's name was the day
        reading.learn("day")
    else:
        reading.learn("month")
    reading.month, reading.has_month_name = month, True


def _take_prefix(
    reading: Reading, prefix: str, fields: list[tuple[Shape, str]], position: int, *, clock_only: bool
) -> None:
    follows = fields[position + 1][0] if position + 1 < len(fields) else None
    possible = ("number", "time", "date") if prefix == "time" else ("number",)
    if follows not in possible or (prefix == "time" and not clock_only and not reading.has_date):
        raise ValueError("a number is missing")
    reading.pending = prefix


def _take_present(reading: Reading, word: str) -> None:
    now = datetime.now(UTC)
    if word == "now":
        reading.learn(WALL_CLOCK, "zone")
        reading.offset = 0
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        reading.micros = (now - midnight) // timedelta(microseconds=1)
    now += timedelta(days={"tomorrow": 1, "yesterday": -1}.get(word, 0))
    reading.learn(*DATE)
    reading.year, reading.month, reading.day = now.year, now.month, now.day


def _settle(reading: Reading, *, clock_only: bool) -> None:
    """What can be decided only when all fields are known."""
    if reading.pending:
        raise ValueError("a number is missing")
    if reading.word:
        return
    if "year" in reading.known:
        _settle_year(reading)
    if reading.day_of_year:
        reading.year, reading.month, reading.day = date_of_julian(
            julian_of_date(reading.year, 1, 1) + reading.day_of_year - 1
        )
    if "month" in reading.known and not 1 <= reading.month <= 12:
        raise ValueError("the month is out of range")
    if "day" in reading.known and not 1 <= reading.day <= days_of_month(reading.year, reading.month or 1):
        raise ValueError("the day is out of range")
    hours = reading.micros // 3_600_000_000
    if reading.half and hours > 12:
        raise ValueError("the hour is out of range")
    if reading.half == "am" and hours == 12:
        reading.micros -= 12 * 3_600_000_000
    elif reading.half == "pm" and hours != 12:
        reading.micros += 12 * 3_600_000_000
    if clock_only and WALL_CLOCK not in reading.known:
        raise ValueError("the time is missing")
    if not clock_only and not reading.has_date:
        raise ValueError("the date is not whole")
    if reading.zone is not None:
        if not reading.has_date:
            raise ValueError("a time zone by its name needs a date")
        reading.offset = offset_of(reading.zone, reading.year, reading.month, reading.day, reading.micros // 1_000_000)


def _settle_year(reading: Reading) -> None:
    """Years of two digits are of this century or the last; there is no year nought, and 1 BC is the year 0."""
    if reading.is_julian:
        return
    if reading.before_christ:
        if reading.year <= 0:
            raise ValueError("the year is out of range")
        reading.year = 1 - reading.year
    elif reading.has_short_year:
        reading.year += 2000 if reading.year < 70 else 1900
    elif reading.year <= 0:
        raise ValueError("the year is out of range")


def is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def days_of_month(year: int, month: int) -> int:
    return 29 if month == 2 and is_leap(year) else (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]


def julian_of_date(year: int, month: int, day: int) -> int:
    """Days since 24 November 4714 BC in the Gregorian calendar; the year 0 is 1 BC."""
    before = year - 1
    days = before * 365 + before // 4 - before // 100 + before // 400
    return 1721426 + days + _CUMULATED[month - 1] + (month > 2 and is_leap(year)) + day - 1


def date_of_julian(julian: int) -> tuple[int, int, int]:
    days = julian - 1721426
    cycles, days = divmod(days, 146097)
    year = cycles * 400 + 1
    centuries = min(days // 36524, 3)
    days -= centuries * 36524
    fours = days // 1461
    days -= fours * 1461
    ones = min(days // 365, 3)
    days -= ones * 365
    year += centuries * 100 + fours * 4 + ones
    month = 1
    while days >= days_of_month(year, month):
        days -= days_of_month(year, month)
        month += 1
    return year, month, days + 1
