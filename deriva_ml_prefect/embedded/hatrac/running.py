"""Hashes of contents that grow chunk after chunk, so that a content need not be read again when its last one is there.

They are in memory only, and only of contents that were written from the beginning to the end, each byte once: whatever
else happens to a content (a chunk out of turn, or a second time, a new process), it is read from disk in the end.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

MOST = 256
"""Contents whose hashes are kept at the same time."""


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


@dataclass
class Running:
    """What has been written so far, and its hashes."""

    length: int = 0
    md5: Any = field(default_factory=_md5)
    sha256: Any = None
    """None where nobody wants it."""
    spoilt: bool = False

    @staticmethod
    def of(*, sha256: bool) -> Running:
        """Of nothing yet."""
        return Running(sha256=hashlib.sha256() if sha256 else None)

    def hashes(self) -> list[Any]:
        """Those that are to be fed."""
        return [self.md5] if self.sha256 is None else [self.md5, self.sha256]


class RunningHashes:
    """Of all contents. Safe for threads: who has taken a content's hashes is the only one who continues them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, Running] = OrderedDict()
        self._taken: dict[str, Running] = {}

    def take(self, content: str, offset: int, *, sha256: bool) -> Running | None:
        """The hashes of a content up to `offset`, to be continued from there; without them they are spoilt."""
        with self._lock:
            found = self._waiting.pop(content, None) or (Running.of(sha256=sha256) if offset == 0 else None)
            taken = self._taken.get(content)
            if taken is not None or found is None or found.length != offset:
                if taken is not None:
                    taken.spoilt = True
                return None
            self._taken[content] = found
            return found

    def give_back(self, content: str, running: Running) -> None:
        """Continued to its new length."""
        with self._lock:
            self._taken.pop(content, None)
            if not running.spoilt:
                self._waiting[content] = running
                while len(self._waiting) > MOST:
                    self._waiting.popitem(last=False)

    def forget(self, content: str) -> None:
        """What was written may not be what is there."""
        with self._lock:
            self._waiting.pop(content, None)
            taken = self._taken.pop(content, None)
            if taken is not None:
                taken.spoilt = True

    def finish(self, content: str, length: int) -> Running | None:
        """The hashes of a whole content of that length, if it was written in order."""
        with self._lock:
            found = self._waiting.pop(content, None)
            return found if found is not None and found.length == length and content not in self._taken else None
