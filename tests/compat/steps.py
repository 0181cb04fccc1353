"""One line for each step of a compatibility run: ok or failed, seconds, what was done."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager


class Steps:
    """The steps of one program; the first that fails ends it with exit status 1, since the others build on it."""

    def __init__(self, who: str) -> None:
        self.who = who

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        except Exception as error:  # noqa: BLE001 (any error is the finding that the line tells, and it ends the program)
            self._tell("failed", began, f"{what}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
            traceback.print_exc()
            sys.exit(1)
        self._tell("ok", began, what)

    def _tell(self, outcome: str, began: float, what: str) -> None:
        print(f"{outcome:6} {time.monotonic() - began:6.1f} s  {self.who}: {what}", flush=True)


def require(condition: object, message: str) -> None:
    """AssertionError with the message, also where Python runs without asserts."""
    if not condition:
        raise AssertionError(message)


def require_equal(found: object, wanted: object, what: str) -> None:
    require(found == wanted, f"{what}: {found!r} instead of {wanted!r}")
