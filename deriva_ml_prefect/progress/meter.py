"""A meter that work tells how far it is, and the thread that shows it to whoever looks on."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.values.sizes import format_size

QUIET_SECONDS = 2.0
"""What is done by then is not shown."""
RATE_SECONDS = 15.0
"""The rate is that of the last so many seconds."""

_hidden: ContextVar[bool] = ContextVar("_hidden", default=False)


@dataclass(frozen=True)
class Unit:
    """What is counted."""

    name: str
    """In the plural, e.g. `rows`; `bytes` are shown as KB, MB or GB."""

    def amount(self, count: float) -> str:
        return format_size(int(count)) if self.name == "bytes" else f"{int(count):,} {self.name}"


BYTES = Unit("bytes")
ROWS = Unit("rows")


@dataclass(frozen=True)
class Standing:
    """Where a piece of work is, at one moment."""

    done: int
    total: int
    unit: Unit
    items: int
    items_total: int
    """Files, where there are several; else 0."""
    seconds: float
    """Since it began."""
    rate: float
    """Units a second, lately."""

    @property
    def percent(self) -> float:
        return min(100.0, 100.0 * self.done / self.total) if self.total else 100.0

    @property
    def left(self) -> float | None:
        """Seconds that the rest takes at this rate; None where there is no rate yet."""
        return max(0, self.total - self.done) / self.rate if self.rate > 0 else None

    @property
    def amount(self) -> str:
        """`412 MB of 2.1 GB`, `1.2 of 2.1 GB`, `400 of 1,000 rows`."""
        done, total = self.unit.amount(self.done), self.unit.amount(self.total)
        number, _, name = done.partition(" ")
        return f"{number if total.endswith(f' {name}') else done} of {total}"

    @property
    def speed(self) -> str:
        """`55 MB/s`, `12,000 rows/s`."""
        return f"{self.unit.amount(self.rate)}/s"

    @property
    def files(self) -> str:
        """`312 of 1,000 files`, or nothing."""
        return f"{self.items:,} of {self.items_total:,} files" if self.items_total > 1 else ""


class Meter:
    """How far a piece of work is. May be told from any number of threads."""

    def __init__(self, what: str, total: int, unit: Unit = BYTES, items: int = 0) -> None:
        self.what = what
        self.total = total
        self.unit = unit
        self.items_total = items
        self._done = 0
        self._items = 0
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._marks: deque[tuple[float, int]] = deque([(self._began, 0)])

    def advance(self, amount: int, items: int = 0) -> None:
        """So much more is done."""
        with self._lock:
            self._done += amount
            self._items += items

    def reach(self, done: int, items: int = 0) -> None:
        """So much is done in all; it may be less than before, when a part is done anew."""
        with self._lock:
            self._done = done
            self._items = items

    def start_at(self, done: int) -> None:
        """So much was done before this work began."""
        with self._lock:
            self._done = done
            self._marks = deque([(self._began, done)])

    def standing(self) -> Standing:
        now = time.monotonic()
        with self._lock:
            done, items = self._done, self._items
            marks = self._marks
            marks.append((now, done))
            while len(marks) > 2 and marks[1][0] < now - RATE_SECONDS:
                marks.popleft()
            since, before = marks[0]
        spent = now - since
        rate = max(0.0, (done - before) / spent) if spent > 0 else 0.0
        return Standing(done, self.total, self.unit, items, self.items_total, now - self._began, rate)


class Display(Protocol):
    """How a meter is shown. All is called by one thread, but for `end`, which comes last."""

    pauses: Iterator[float]
    """Seconds to the next refresh, each time."""

    def begin(self, meter: Meter) -> None: ...

    def refresh(self, meter: Meter) -> None: ...

    def end(self, meter: Meter, *, failed: bool) -> None: ...


@contextmanager
def showing(what: str, *, total: int, unit: Unit = BYTES, items: int = 0) -> Iterator[Meter]:
    """Show how far the work inside is, if it takes longer than two seconds. `what` names it, e.g. `Uploading 1-ABC`."""
    meter = Meter(what, total, unit, items)
    display = _display()
    if display is None or total <= 0:
        yield meter
        return
    watcher = _Watcher(meter, display)
    watcher.start()
    try:
        yield meter
    except BaseException:
        watcher.end(failed=True)
        raise
    watcher.end(failed=False)


@contextmanager
def hidden() -> Iterator[None]:
    """Within it nothing is shown, in this thread."""
    token = _hidden.set(True)
    try:
        yield
    finally:
        _hidden.reset(token)


def _display() -> Display | None:
    if _hidden.get():
        return None
    wanted = load_settings().progress
    # started without a console (pythonw, some services), a process has no stderr
    if wanted == "off" or sys.stderr is None:
        return None
    if wanted == "bar" or (wanted == "auto" and not sys.stderr.closed and sys.stderr.isatty()):
        from deriva_ml_prefect.progress.bar import Bar

        return Bar()
    from deriva_ml_prefect.progress.lines import Lines

    return Lines()


class _Watcher(threading.Thread):
    """Looks at a meter now and then, once it has lasted long enough."""

    def __init__(self, meter: Meter, display: Display) -> None:
        super().__init__(name="progress", daemon=True)
        self.meter = meter
        self.display = display
        self.ended = threading.Event()
        self.begun = False

    def run(self) -> None:
        if self.ended.wait(QUIET_SECONDS):
            return
        self.begun = True
        self.display.begin(self.meter)
        while not self.ended.wait(next(self.display.pauses)):
            self.display.refresh(self.meter)

    def end(self, *, failed: bool) -> None:
        self.ended.set()
        self.join()
        if self.begun:
            self.display.end(self.meter, failed=failed)
