"""Dates and times: what PostgreSQL accepts in its ISO and common spellings, as text that sorts by time.

Timestamps with zone are stored at UTC as `2026-11-23T20:51:37.096206+00:00` (fraction without trailing zeros).
Every parser raises ValueError.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone

_DATE = r"(?P<year>\d{4,5})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
_TIME = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d+))?)?"
_ZONE = r"(?P<zone>Z|z|UTC|GMT|utc|gmt|[+-]\d{1,2}(?::?\d{2})?(?::?\d{2})?)"
_ISO = re.compile(rf"{_DATE}(?:(?:[T ]|\s+){_TIME}\s*{_ZONE}?)?", re.ASCII)
_CLOCK = re.compile(rf"{_TIME}\s*{_ZONE}?", re.ASCII)
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:T?(\d{2})(\d{2})(\d{2}))?", re.ASCII)
_SLASHED = re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2})", re.ASCII)
_AMERICAN = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})", re.ASCII)
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_WORDS = re.compile(r"(?:([A-Za-z]{3,9})\.?\s+(\d{1,2}),?|(\d{1,2})[\s-]+([A-Za-z]{3,9}))[\s-]+(\d{4})", re.ASCII)


def _iso_spelling(text: str) -> str:
    """The text with its date in ISO form, where PostgreSQL knows it in another one."""
    if found := _COMPACT.fullmatch(text):
        year, month, day, *clock = found.groups()
        return f"{year}-{month}-{day}" + (f" {':'.join(clock)}" if clock[0] else "")
    if found := _SLASHED.match(text):
        return f"{found[1]}-{found[2]}-{found[3]}" + text[found.end() :]
    if found := _AMERICAN.match(text):
        return f"{found[3]}-{found[1]}-{found[2]}" + text[found.end() :]
    if found := _WORDS.match(text):
        month_name, day = (found[1], found[2]) if found[1] else (found[4], found[3])
        number = _MONTHS.get(month_name[:3].lower())
        if number is not None:
            return f"{found[5]}-{number:02d}-{day}" + text[found.end() :]
    return text


def _zone(text: str | None) -> timezone:
    if not text or text.upper() in ("Z", "UTC", "GMT"):
        return UTC
    digits = text[1:].replace(":", "").rjust(2, "0")
    hours, minutes, seconds = (int(part or 0) for part in (digits[:2], digits[2:4], digits[4:6]))
    offset = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    if offset >= timedelta(hours=16) or minutes > 59:
        raise ValueError(f"time zone {text} is out of range")
    return timezone(-offset if text[0] == "-" else offset)


def _clock(found: re.Match[str]) -> timedelta:
    hour, minute, second = (int(found[part] or 0) for part in ("hour", "minute", "second"))
    micros = round(float("0." + (found["fraction"] or "0")) * 1_000_000)
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and (minute or second or micros)):
        raise ValueError(f"the time in {found[0]!r} is out of range")
    return timedelta(hours=hour, minutes=minute, seconds=second, microseconds=micros)


def _read(text: str, what: str) -> tuple[datetime, str | None]:
    stripped = text.strip()
    if stripped.lower() == "epoch":
        return datetime(1970, 1, 1), None
    if stripped.lower() == "now":
        return datetime.now(UTC).replace(tzinfo=None), None
    if stripped.lower() == "today":
        return datetime.combine(datetime.now(UTC).date(), time()), None
    found = _ISO.fullmatch(_iso_spelling(stripped))
    if found is None:
        raise ValueError(f"{text!r} is not a {what}")
    try:
        day = datetime(int(found["year"]), int(found["month"]), int(found["day"]))
        return (day + _clock(found) if found["hour"] else day), found["zone"]
    except OverflowError:
        raise ValueError(f"{text!r} is out of range") from None


def _fraction(moment: datetime | time) -> str:
    return f".{moment.microsecond:06d}".rstrip("0") if moment.microsecond else ""


def _infinite(text: str) -> str | None:
    word = text.strip().lower()
    return word if word in ("infinity", "-infinity") else None


def parse_date(text: str) -> str:
    if word := _infinite(text):
        return word
    moment, _ = _read(text, "date")
    return moment.date().isoformat()


def parse_timestamp(text: str) -> str:
    """A zone in the text is ignored, as PostgreSQL does."""
    if word := _infinite(text):
        return word
    moment, _ = _read(text, "timestamp")
    return moment.isoformat(timespec="seconds") + _fraction(moment)


def parse_timestamptz(text: str) -> str:
    """Without a zone, the text is taken as UTC."""
    if word := _infinite(text):
        return word
    moment, zone = _read(text, "timestamp with time zone")
    try:
        moment = moment.replace(tzinfo=_zone(zone)).astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise ValueError(f"{text!r} is out of range") from None
    return moment.isoformat(timespec="seconds") + _fraction(moment) + "+00:00"


def _read_clock(text: str, what: str) -> tuple[str, str | None]:
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a {what}")
    elapsed = _clock(found)
    if elapsed >= timedelta(days=1):
        return "24:00:00", found["zone"]
    moment = (datetime.combine(date(2000, 1, 1), time()) + elapsed).time()
    return moment.strftime("%H:%M:%S") + _fraction(moment), found["zone"]


def parse_time(text: str) -> str:
    return _read_clock(text, "time")[0]


def parse_timetz(text: str) -> str:
    clock, zone = _read_clock(text, "time with time zone")
    minutes = int((_zone(zone).utcoffset(None)).total_seconds()) // 60
    sign = "-" if minutes < 0 else "+"
    hours, rest = divmod(abs(minutes), 60)
    return f"{clock}{sign}{hours:02d}" + (f":{rest:02d}" if rest else "")


def micros_of(stored: str) -> int:
    """Microseconds since 1970 of a stored timestamptz."""
    elapsed = datetime.fromisoformat(stored) - datetime(1970, 1, 1, tzinfo=UTC)
    return elapsed // timedelta(microseconds=1)
