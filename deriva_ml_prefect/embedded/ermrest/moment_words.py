"""Words in texts of dates and times, as PostgreSQL knows them: months, days of the week, marks, and time zones."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            "jan january",
            "feb february",
            "mar march",
            "apr april",
            "may",
            "jun june",
            "jul july",
            "aug august",
            "sep sept september",
            "oct october",
            "nov november",
            "dec december",
        ),
        1,
    )
    for name in names.split()
}
WEEKDAYS: Final = frozenset(
    (
        *("sun", "sunday", "mon", "monday", "tue", "tues", "tuesday", "wed", "weds", "wednesday"),
        *("thu", "thur", "thurs", "thursday", "fri", "friday", "sat", "saturday"),
    )
)
IGNORED: Final = frozenset(("at", "on"))
PREFIXES: Final = {"j": "julian", "jd": "julian", "julian": "julian", "t": "time"}
"""Words that say what the number behind them is."""
_HOURS: Final = {
    "acdt": 10.5, "acst": 9.5, "adt": -3, "aedt": 11, "aest": 10, "akdt": -8, "akst": -9, "ast": -4, "awst": 8,
    "brt": -3, "bst": 1, "cdt": -5, "cest": 2, "cet": 1, "cst": -6, "eat": 3, "edt": -4, "eest": 3, "eet": 2,
    "est": -5, "gmt": 0, "hkt": 8, "hst": -10, "ict": 7, "idt": 3, "irt": 3.5, "ist": 2, "jst": 9, "kst": 9,
    "mdt": -6, "mest": 2, "mesz": 2, "met": 1, "mez": 1, "msd": 4, "msk": 3, "mst": -7, "ndt": -2.5, "npt": 5.75,
    "nst": -3.5, "nzdt": 13, "nzst": 12, "nzt": 12, "pdt": -7, "pht": 8, "pkt": 5, "pst": -8, "sast": 2, "sgt": 8,
    "uct": 0, "ut": 0, "utc": 0, "uzt": 5, "vet": -4, "wat": 1, "wet": 0, "z": 0, "zulu": 0,
}  # fmt: skip
"""Abbreviations of time zones that PostgreSQL knows, the common ones."""


def abbreviated_zone(word: str) -> int | None:
    """Seconds east of UTC."""
    hours = _HOURS.get(word)
    return None if hours is None else int(hours * 3600)


@lru_cache(maxsize=64)
def find_zone(name: str) -> ZoneInfo:
    """The zone of a name such as `Europe/Berlin`, whatever its case.

    Raises ValueError.
    """
    spelled = "/".join(
        "_".join(part[:1].upper() + part[1:] for part in word.split("_")) for word in name.lower().split("/")
    )
    for candidate in (name, spelled, name.upper()):
        try:
            return ZoneInfo(candidate)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    raise ValueError(f"there is no time zone {name!r:.60}")


def offset_of(zone: ZoneInfo, year: int, month: int, day: int, seconds: int) -> int:
    """Seconds east of UTC that a zone has at a local time; of a year that Python lacks, those of one like it."""
    local = datetime(min(max(year, 1), 9998), month, min(day, 28)) + timedelta(days=day - min(day, 28), seconds=seconds)
    return int((zone.utcoffset(local) or timedelta()).total_seconds())
