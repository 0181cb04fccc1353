"""Numbers of bytes, and of things, as people read them."""

from __future__ import annotations

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def format_size(count: int) -> str:
    """`1 byte`, `999 bytes`, `1.2 kB`, `34 GB`: powers of a thousand, two digits where there is a point."""
    if count == 1:
        return "1 byte"
    value = float(count)
    for unit in _UNITS:
        if value < 999.5 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "bytes" or value >= 9.95 else f"{value:.1f} {unit}"


def format_count(count: int, name: str) -> str:
    """`1 file`, `1,000 files`."""
    return f"{count:,} {name}" if count == 1 else f"{count:,} {name}s"
