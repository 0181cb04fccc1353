"""Time and RIDs of one catalog: both are written in urlb32, both come from one counter a catalog, both only grow.

urlb32 is twice the value in base 32, in groups of four digits: 1 -> `2`, 16 -> `10`, 524288 -> `1-0000`. A snaptime is
the urlb32 of the microseconds since 1970 of a change of the catalog. Each mutation has one such moment, which is also
the RCT and RMT of its rows.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
VALUES = {digit: value for value, digit in enumerate(DIGITS)} | {"O": 0, "I": 1, "L": 1}
WRITTEN = re.compile(r"[0-9A-Za-z]{1,13}")
LARGEST = 2**63 - 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, order=True)
class Moment:
    """A revision of the catalog, in microseconds since 1970."""

    micros: int

    @property
    def snaptime(self) -> str:
        return encode_urlb32(self.micros)

    @property
    def text(self) -> str:
        """As timestamptz is stored: `2026-11-23T20:51:37.096206+00:00`, fraction without trailing zeros."""
        return format_micros(self.micros)


def format_micros(micros: int) -> str:
    """Microseconds since 1970 as PostgreSQL prints a timestamptz in JSON at UTC."""
    seconds, fraction = divmod(micros, 1_000_000)
    whole = (EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    digits = f".{fraction:06d}".rstrip("0") if fraction else ""
    return f"{whole}{digits}+00:00"


def encode_urlb32(value: int) -> str:
    """Text of a serial number or of microseconds; 0 is `0`."""
    digits: list[str] = []
    value *= 2
    while value:
        value, digit = divmod(value, 32)
        if len(digits) % 5 == 4:
            digits.append("-")
        digits.append(DIGITS[digit])
    return "".join(reversed(digits)) or "0"


def decode_urlb32(text: str) -> int:
    """Value of a text in urlb32, whatever its case and dashes; half of an odd last digit is dropped, as ERMrest does.

    Raises ValueError for another alphabet, or more than 13 digits.
    """
    digits = text.replace("-", "")
    if not WRITTEN.fullmatch(digits):
        raise ValueError(f"{text!r} is not a number in urlb32")
    value = 0
    for digit in digits.upper():
        if digit not in VALUES:
            raise ValueError(f"{digit!r} in {text!r} is not a digit of urlb32")
        value = value * 32 + VALUES[digit]
    if value // 2 > LARGEST:
        raise ValueError(f"{text!r} is larger than any number of this catalog")
    return value // 2


def normalise_rid(text: str) -> str:
    """The form in which the server writes a RID, or the text itself where it is no number in urlb32."""
    try:
        return encode_urlb32(decode_urlb32(text))
    except ValueError:
        return text


def next_moment(connection: sqlite3.Connection) -> Moment:
    """Begin a revision: a moment later than all before it, kept with the transaction that it belongs to."""
    now = time.time_ns() // 1000
    (micros,) = connection.execute(
        "UPDATE catalog_state SET micros = max(?, micros + 1) RETURNING micros", (now,)
    ).fetchone()
    connection.execute("INSERT INTO revision (micros) VALUES (?)", (micros,))
    return Moment(micros)


def last_moment(connection: sqlite3.Connection) -> Moment:
    """Time of the last change of data or model."""
    return Moment(connection.execute("SELECT micros FROM catalog_state").fetchone()[0])


def clamp_moment(connection: sqlite3.Connection, asked: Moment) -> Moment | None:
    """Latest revision that is not later than the one asked for; None when there is none."""
    row = connection.execute("SELECT max(micros) FROM revision WHERE micros <= ?", (asked.micros,)).fetchone()
    return None if row[0] is None else Moment(row[0])


def allocate_serials(connection: sqlite3.Connection, count: int) -> range:
    """Take `count` numbers of the catalog's one RID sequence."""
    (last,) = connection.execute(
        "UPDATE catalog_state SET rid_serial = rid_serial + ? RETURNING rid_serial", (count,)
    ).fetchone()
    return range(last - count + 1, last + 1)


def allocate_rids(connection: sqlite3.Connection, count: int) -> list[str]:
    """Take `count` new RIDs, in growing order."""
    return [encode_urlb32(serial) for serial in allocate_serials(connection, count)]


def note_rids(connection: sqlite3.Connection, rids: Iterable[str]) -> None:
    """Move the sequence past the largest of these RIDs, which a client supplied; other texts are passed over."""
    largest = 0
    for rid in rids:
        try:
            largest = max(largest, decode_urlb32(rid))
        except ValueError:
            continue
    if largest < LARGEST // 2:
        connection.execute("UPDATE catalog_state SET rid_serial = max(rid_serial, ?)", (largest,))


def allocate_physical(connection: sqlite3.Connection, count: int) -> range:
    """Take `count` numbers for names of SQLite tables and columns; none is ever used twice."""
    (last,) = connection.execute(
        "UPDATE catalog_state SET physical_serial = physical_serial + ? RETURNING physical_serial", (count,)
    ).fetchone()
    return range(last - count + 1, last + 1)


def allocate_column_serials(connection: sqlite3.Connection, physical: str, count: int) -> range:
    """Take `count` numbers of a serial2, serial4 or serial8 column's own sequence, which begins at 1."""
    (last,) = connection.execute(
        "INSERT INTO column_serial (physical, last) VALUES (?1, ?2) "
        "ON CONFLICT (physical) DO UPDATE SET last = last + ?2 RETURNING last",
        (physical, count),
    ).fetchone()
    return range(last - count + 1, last + 1)
