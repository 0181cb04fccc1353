"""Progress as bars on a terminal. They vanish when the work is done, however it ended; the cursor is never hidden."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from itertools import repeat
from typing import Any

from deriva_ml_prefect.progress.lines import format_time
from deriva_ml_prefect.progress.meter import Meter, Standing

REFRESH_SECONDS = 0.2
WORDS = 76
"""Columns that the words beside a bar take."""
WIDE = 100
"""Columns from which there is room for the percentage."""
NARROW = 76
"""Columns below which there is none for the bar and the rate."""
TINY = 58
"""Columns below which there is none for the number of files."""


class _Screen:
    """The bars of all threads: one block at the bottom of the terminal."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.bars: Any = None

    def add(self, meter: Meter) -> Any:
        with self.lock:
            if self.bars is None:
                self.bars = _new_bars()
                self.bars.start()
            now = meter.standing()
            return self.bars.add_task(meter.what, total=max(now.total, 1), completed=now.done, **_fields(now))

    def update(self, task: Any, standing: Standing) -> None:
        with self.lock:
            if self.bars is not None:
                self.bars.update(task, completed=standing.done, **_fields(standing))

    def remove(self, task: Any) -> None:
        with self.lock:
            if self.bars is None:
                return
            self.bars.remove_task(task)
            if not self.bars.task_ids:
                bars, self.bars = self.bars, None
                bars.stop()


_screen = _Screen()


def _after_fork() -> None:
    """The bars are the parent's, and so is the thread that draws them."""
    global _screen
    _screen = _Screen()


os.register_at_fork(after_in_child=_after_fork)


class Bar:
    def __init__(self) -> None:
        self.pauses: Iterator[float] = repeat(REFRESH_SECONDS)
        self.screen = _screen
        self.task: Any = None

    def begin(self, meter: Meter) -> None:
        self.task = self.screen.add(meter)

    def refresh(self, meter: Meter) -> None:
        self.screen.update(self.task, meter.standing())

    def end(self, meter: Meter, *, failed: bool) -> None:  # noqa: ARG002 (an error speaks for itself)
        self.screen.remove(self.task)


def _fields(now: Standing) -> dict[str, str]:
    files = f"{now.items:,}/{now.items_total:,} files, " if now.items_total > 1 else ""
    left = "" if now.left is None else f"{format_time(now.left)} left"
    return {"amount": files + now.amount, "bytes": now.amount, "speed": now.speed, "left": left}


def _new_bars() -> Any:
    # a tenth of a second, which work that is done in two seconds does not owe
    from rich.console import Console
    from rich.progress import BarColumn, Progress, Task, TextColumn
    from rich.table import Column
    from rich.text import Text

    class SteadyConsole(Console):
        def show_cursor(self, show: bool = True) -> bool:  # noqa: ARG002 (rich's signature)
            """The cursor stays as it is, so that a process that is killed leaves it behind as it was."""
            return False

    class What(TextColumn):
        """The one column that gives way when a line is too long."""

        def render(self, task: Task) -> Text:
            text = super().render(task)
            text.no_wrap, text.overflow = True, "ellipsis"
            return text

    def fixed(field: str) -> TextColumn:
        return TextColumn(field, table_column=Column(no_wrap=True, overflow="ellipsis"), markup=False)

    console = SteadyConsole(file=sys.stderr)
    width = console.width
    columns: list[Any] = [What("{task.description}", table_column=Column(), markup=False)]
    if width >= NARROW:
        columns.append(BarColumn(max(6, min(40, width - WORDS)), table_column=Column(no_wrap=True)))
    if width >= WIDE:
        columns.append(fixed("{task.percentage:>3.0f} %"))
    words = ["bytes" if width < TINY else "amount", *(["speed"] if width >= NARROW else []), "left"]
    columns += [fixed(f"{{task.fields[{word}]}}") for word in words]
    return Progress(*columns, console=console, transient=True, refresh_per_second=1 / REFRESH_SECONDS)
