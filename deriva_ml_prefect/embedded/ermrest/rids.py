"""Many RIDs at once: text of consecutive serial numbers, four digits by table instead of one at a time."""

from __future__ import annotations

import sqlite3

from deriva_ml_prefect.embedded.ermrest.clock import DIGITS, allocate_serials

_PAIRS = [a + b for a in DIGITS for b in DIGITS]


def new_rids(connection: sqlite3.Connection, count: int) -> list[str]:
    """Take `count` new RIDs of the catalog's sequence, in growing order."""
    if count == 0:
        return []
    return encode_range(allocate_serials(connection, count))


def encode_range(serials: range) -> list[str]:
    """urlb32 of consecutive numbers."""
    found: list[str] = []
    at = serials.start
    while at < serials.stop:
        block = at >> 19
        end = min(serials.stop, (block + 1) << 19)
        prefix = _group(block) + "-" if block else ""
        pairs = _PAIRS
        doubled = range((at & 0x7FFFF) << 1, ((end - 1 & 0x7FFFF) << 1) + 1, 2)
        digits = [prefix + pairs[low >> 10] + pairs[low & 1023] for low in doubled]
        found += digits if block else [text.lstrip("0") or "0" for text in digits]
        at = end
    return found


def _group(value: int) -> str:
    """Digits of a whole number above the last four, with dashes; it is not doubled."""
    digits = ""
    while value:
        value, digit = divmod(value, 32)
        digits = DIGITS[digit] + ("-" if len(digits) % 5 == 4 else "") + digits
    return digits
