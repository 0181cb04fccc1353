"""Many things told in one sentence."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

SHOWN = 5


def first_of(things: Iterable[str], shown: int = SHOWN, *, separator: str = "; ") -> str:
    """The first `shown` of the things, and how many more there are: `a; b; c (and 4 more)`."""
    rest = iter(things)
    told = separator.join(islice(rest, shown))
    more = sum(1 for _ in rest)
    return f"{told} (and {more} more)" if more else told
