"""Texts that sort as PostgreSQL sorts, for types whose stored form does not: intervals, JSON, arrays, zoned times.

A key is hexadecimal text, which SQLite compares byte by byte; equal values have equal keys.
"""

from __future__ import annotations

import json
import struct
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from deriva_ml_prefect.embedded.ermrest.dates import order_timetz
from deriva_ml_prefect.embedded.ermrest.interval import length_of_interval
from deriva_ml_prefect.embedded.ermrest.types import FLOATS, INTEGERS

_END: Final = b"\x00"
_VALUE: Final = b"\x01"
_NULL: Final = b"\x02"
"""Null is larger than any value."""
KEYED: Final = ("interval", "jsonb", "timetz")


def order_interval(stored: str | None) -> str | None:
    return None if stored is None else _whole_key(length_of_interval(stored)).hex()


def order_zoned_time(stored: str | None) -> str | None:
    number = order_timetz(stored)
    return None if number is None else _whole_key(number).hex()


@lru_cache(maxsize=1024)
def order_json(stored: str | None) -> str | None:
    """Objects are larger than arrays, then booleans, numbers, texts and null; longer ones are larger than shorter."""
    if stored is None or stored == "[]":
        return None if stored is None else ""  # as PostgreSQL has it, an empty array is smaller than everything
    return _json_key(json.loads(stored, parse_float=Decimal)).hex()


def order_array(stored: str | None, scalar: str) -> str | None:
    if stored is None:
        return None
    members = (_NULL if member is None else _VALUE + _member_key(member, scalar) for member in json.loads(stored))
    return (b"".join(members) + _END).hex()


def _member_key(member: Any, scalar: str) -> bytes:
    if scalar in FLOATS:
        return _float_key(member)
    if scalar in INTEGERS or scalar == "boolean":
        return _whole_key(int(member))
    if scalar == "interval":
        return _whole_key(length_of_interval(member))
    if scalar == "timetz":
        return _whole_key(order_timetz(member) or 0)
    if scalar in ("json", "jsonb"):
        return _json_key(member)
    return _text_key(str(member))


def _whole_key(number: int) -> bytes:
    return (number + 2**127).to_bytes(16, "big")


def _float_key(value: float | str) -> bytes:
    """NaN is larger than infinity."""
    if isinstance(value, str):
        return b"\xff" * 8
    (bits,) = struct.unpack(">Q", struct.pack(">d", value or 0.0))
    return int(bits ^ (2**64 - 1 if bits >> 63 else 2**63)).to_bytes(8, "big")


def _text_key(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass") + _END


def _number_key(value: Decimal | int) -> bytes:
    """Sign, exponent and digits of a number of any size."""
    decimal = Decimal(value).normalize()
    if not decimal:
        return b"\x01"
    sign, digits, exponent = decimal.as_tuple()
    power = len(digits) + int(exponent) + 2**31
    content = power.to_bytes(4, "big") + bytes(digit + 1 for digit in digits) + _END
    return b"\x00" + bytes(255 - byte for byte in content) if sign else b"\x02" + content


def _json_key(value: Any) -> bytes:
    if value is None:
        return b"\x01"
    if isinstance(value, bool):
        return b"\x04" + bytes((value,))
    if isinstance(value, str):
        return b"\x02" + _text_key(value)
    if isinstance(value, Decimal | int | float):
        return b"\x03" + _number_key(Decimal(str(value)) if isinstance(value, float) else value)
    content = (b"\x05" if isinstance(value, list) else b"\x06") + len(value).to_bytes(4, "big")
    if isinstance(value, list):
        return content + b"".join(_json_key(member) for member in value)
    return content + b"".join(_text_key(key) + _json_key(member) for key, member in value.items())
