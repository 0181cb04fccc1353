"""Dates and times as text that sorts by time: from the spellings that PostgreSQL understands, and back to its own.

Timestamps with zone are stored at UTC as `2026-11-23T20:51:37.096206+00:00` (fraction without trailing zeros). Years
that have not four digits begin with a letter or a mark, so that they sort where they belong: `A0012345-06-07` is after
9999, `.9955-03-15` (9999 less 44) is 44 BC, `infinity` and `-infinity` are the ends. `print_date` undoes it.
Every parser raises ValueError.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from deriva_ml_prefect.embedded.ermrest.moment_text import (
    Reading,
    date_of_julian,
    julian_of_date,
    read_clock,
    read_moment,
)

DAY = 86_400_000_000
"""Microseconds."""
_EPOCH = julian_of_date(1970, 1, 1)
_LAST_DATE = julian_of_date(5874897, 12, 31)
_LAST_TIMESTAMP = julian_of_date(294276, 12, 31)
_ISO_LENGTHS = (10, 19, 25)


def _date_text(year: int, month: int, day: int) -> str:
    if 1 <= year <= 9999:
        return f"{year:04d}-{month:02d}-{day:02d}"
    if year > 9999:
        return f"A{year:07d}-{month:02d}-{day:02d}"
    return f".{9999 - (1 - year):04d}-{month:02d}-{day:02d}"


def print_date(stored: str | None) -> str | None:
    """A stored date or timestamp as PostgreSQL's JSON writes it."""
    if stored is None or stored[:1] not in ("A", "."):
        return stored
    head, rest = stored[1:].split("-", 1)
    if stored[0] == "A":
        return f"{int(head)}-{rest}"
    return f"{9999 - int(head):04d}-{rest} BC"


def print_plain_date(stored: str | None) -> str | None:
    """The same as PostgreSQL's text, which CSV has: a blank instead of the `T`, and no minutes of the zone."""
    text = print_date(stored)
    return text if text is None else text.replace("T", " ").replace("+00:00", "+00")


def _clock_text(micros: int) -> str:
    seconds, fraction = divmod(micros, 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    tail = f".{fraction:06d}".rstrip("0") if fraction else ""
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{tail}"


def _plain_iso(text: str) -> datetime | None:
    """The moment, where the text is plain ISO as most are: the quick way."""
    if len(text) not in _ISO_LENGTHS and not 21 <= len(text) <= 32:
        return None
    if len(text) < 10 or text[4] != "-" or text[7] != "-" or not text[:4].isdigit() or not text.isascii():
        return None
    if len(text) > 10 and (text[10] not in "T " or len(text) < 19 or text[13] != ":" or text[16] != ":"):
        return None
    if "," in text or text[11:13] == "24":
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    offset = moment.utcoffset()
    if offset is not None and abs(offset) >= timedelta(hours=16):
        return None
    fraction = text[20:].split("+")[0].split("-")[0].rstrip("Z") if text[19:20] == "." else ""
    return None if len(fraction) > 6 else moment


def parse_date(text: str) -> str:
    moment = _plain_iso(text)
    if moment is not None:
        return text[:10]
    reading = read_moment(text, "date")
    if reading.word:
        return "1970-01-01" if reading.word == "epoch" else reading.word
    if not 0 <= julian_of_date(reading.year, reading.month, reading.day) <= _LAST_DATE:
        raise ValueError(f"{text!r} is out of range for a date")
    return _date_text(reading.year, reading.month, reading.day)


def _timestamp_text(reading: Reading, text: str, offset: int) -> str:
    julian = julian_of_date(reading.year, reading.month, reading.day)
    days, micros = divmod(reading.micros - offset * 1_000_000, DAY)
    if not 0 <= julian + days <= _LAST_TIMESTAMP:
        raise ValueError(f"{text!r} is out of range for a timestamp")
    return f"{_date_text(*date_of_julian(julian + days))}T{_clock_text(micros)}"


def parse_timestamp(text: str) -> str:
    """A zone in the text is ignored, as PostgreSQL does."""
    moment = _plain_iso(text)
    if moment is not None:
        return moment.replace(tzinfo=None).isoformat(timespec="seconds") + _fraction(moment)
    reading = read_moment(text, "timestamp")
    if reading.word:
        return "1970-01-01T00:00:00" if reading.word == "epoch" else reading.word
    return _timestamp_text(reading, text, 0)


def _fraction(moment: datetime) -> str:
    return f".{moment.microsecond:06d}".rstrip("0") if moment.microsecond else ""


def parse_timestamptz(text: str) -> str:
    """Without a zone, the text is taken as UTC."""
    moment = _plain_iso(text)
    if moment is not None and 2 < moment.year < 9998:
        moment = moment.replace(tzinfo=None) - (moment.utcoffset() or timedelta())
        return moment.isoformat(timespec="seconds") + _fraction(moment) + "+00:00"
    reading = read_moment(text, "timestamp with time zone")
    if reading.word:
        return "1970-01-01T00:00:00+00:00" if reading.word == "epoch" else reading.word
    return _timestamp_text(reading, text, reading.offset or 0) + "+00:00"


def parse_time(text: str) -> str:
    return _clock_text(read_clock(text, "time").micros)


def parse_timetz(text: str) -> str:
    reading = read_clock(text, "time with time zone")
    offset = reading.offset or 0
    sign = "-" if offset < 0 else "+"
    hours, rest = divmod(abs(offset), 3600)
    minutes, seconds = divmod(rest, 60)
    tail = f":{minutes:02d}:{seconds:02d}" if seconds else f":{minutes:02d}" if minutes else ""
    return f"{_clock_text(reading.micros)}{sign}{hours:02d}{tail}"


def order_timetz(stored: str | None) -> int | None:
    """A number by which times with zone sort: the time at UTC, then the zone."""
    if stored is None:
        return None
    clock, sign, zone = stored[:8], stored[8:], ""
    for mark in "+-":
        head, found, tail = sign.rpartition(mark)
        if found:
            fraction, zone = head, mark + tail
            break
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    micros = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000
    micros += int(fraction.removeprefix(".").ljust(6, "0")) if fraction else 0
    parts = [int(part) for part in zone[1:].split(":")] + [0, 0]
    offset = (parts[0] * 3600 + parts[1] * 60 + parts[2]) * (-1 if zone[0] == "-" else 1)
    return (micros - offset * 1_000_000) * 200_000 - offset


def micros_of(stored: str) -> int:
    """Microseconds since 1970 of a stored date or timestamp that is not infinite."""
    if stored[0] in "A.":
        reading = read_moment(print_date(stored) or "", "timestamp")
        return (julian_of_date(reading.year, reading.month, reading.day) - _EPOCH) * DAY + reading.micros
    elapsed = datetime.fromisoformat(stored).replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return elapsed // timedelta(microseconds=1)


def timestamp_of(micros: int) -> str:
    """The stored timestamp of these microseconds since 1970."""
    days, clock = divmod(micros, DAY)
    return f"{_date_text(*date_of_julian(_EPOCH + days))}T{_clock_text(clock)}"
