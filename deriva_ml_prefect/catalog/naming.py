"""Names of constraints and association tables, as every client of ERMrest makes them."""

from __future__ import annotations

import base64
import difflib
import hashlib
from collections.abc import Iterable, Set

MAX_BYTES = 63
"""Bytes of UTF-8 that an identifier may have."""
_CUTS = (15, 12, 9)
_HASH_LENGTH = 5


def make_id(*parts: str) -> str:
    """The parts joined by `_`; if that is too long, shortened by the rule that client and server share.

    The longest parts are cut, to 15, then 12, then 9 bytes ending in `..`, until the name fits together with `_` and
    the first five characters of the url-safe base64 MD5 of the full name.
    """
    full = "_".join(parts)
    if _size(full) <= MAX_BYTES:
        return full
    digest = base64.urlsafe_b64encode(hashlib.md5(full.encode(), usedforsecurity=False).digest()).decode()
    suffix = digest[:_HASH_LENGTH]
    shortened = list(parts)
    for limit in _CUTS:
        order = sorted(range(len(parts)), key=lambda i: (_size(shortened[i]), i), reverse=True)
        for position in order:
            if _size(shortened[position]) > limit:
                shortened[position] = _cut(shortened[position], limit)
            candidate = "_".join([*shortened, suffix])
            if _size(candidate) < MAX_BYTES:
                return candidate
    third = len(full) // 3
    candidate = f"{_cut(full, third)}{full[-len(full) // 3 :]}_{suffix}"
    if _size(candidate) <= MAX_BYTES:
        return candidate
    return _cut(full, 55) + suffix


def base_name(table: str, used: Set[str]) -> str:
    """Column name of a reference to `table`: its name, with a number while a name in use begins with it."""
    name, number = table, 2
    while name in used or any(other.startswith(name) for other in used):
        name, number = f"{table}{number}", number + 1
    return name


def closest(name: str, known: Iterable[str], limit: int = 5) -> list[str]:
    """Names among `known` that a person who wrote `name` may have meant, the likeliest first."""
    names = sorted(set(known))
    folded = {other.lower(): other for other in names}
    hits = difflib.get_close_matches(name.lower(), list(folded), n=limit, cutoff=0.6)
    return [folded[hit] for hit in hits]


def _size(text: str) -> int:
    return len(text.encode())


def _cut(text: str, limit: int) -> str:
    """`text` shortened to whole characters and `..`, in at most `limit` bytes; unchanged where that cannot be."""
    for drop in range(max(1, len(text) - limit), len(text) - 1):
        result = text[:-drop].rstrip()
        if _size(result) <= limit - 2:
            return result + ".."
    return text
