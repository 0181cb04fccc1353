"""The Range header: which bytes of an object are asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from deriva_ml_prefect.embedded.errors import NotImplementedHere, RangeUnsatisfiable

SPEC = re.compile(r"(?P<first>\d{1,18})-(?P<last>\d{0,18})|-(?P<suffix>\d{1,18})")


@dataclass(frozen=True)
class Span:
    """Bytes `first` to `last`, both included, of a whole of `total` bytes."""

    first: int
    last: int
    total: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        return f"bytes {self.first}-{self.last}/{self.total}"


def parse_range(header: str | None, total: int) -> Span | None:
    """The one part that is asked for; None: the whole, also when the header makes no sense.

    NotImplementedHere: another unit than bytes, or several parts. RangeUnsatisfiable: nothing of it exists.
    """
    if header is None:
        return None
    unit, equals, text = header.strip().partition("=")
    if not equals:
        return None
    if unit.strip().lower() != "bytes":
        raise NotImplementedHere(f"Ranges are served in bytes, not in {unit:.50}.")
    asked: list[tuple[int, int]] = []
    for part in text.split(","):
        found = SPEC.fullmatch(part.strip())
        if not found:
            return None
        if found["suffix"]:
            count = int(found["suffix"])
            if count == 0:
                return None
            asked.append((max(0, total - count), total - 1))
        else:
            first = int(found["first"])
            last = int(found["last"]) if found["last"] else total - 1
            if found["last"] and last < first:
                return None
            asked.append((first, min(last, total - 1)))
    spans = [Span(first, last, total) for first, last in asked if first < total]
    if not spans:
        raise RangeUnsatisfiable(f"The object has {total} bytes.", (("content-range", f"bytes */{total}"),))
    if len(spans) > 1:
        raise NotImplementedHere("Several ranges in one answer are not served; ask for one after the other.")
    return None if spans[0].length == total else spans[0]
