"""How far long work is, on stderr: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from deriva_ml_prefect.values.sizes import format_size

if TYPE_CHECKING:
    from deriva_ml_prefect.questions.verification.report import VerifyProgress

SECONDS_OF_A_LINE = 15.0
SECONDS_OF_A_BAR = 0.1


class Progress:
    """A context in which `told` may be called as often as one likes, from one thread at a time."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream
        self.clock = clock
        self.on_terminal = stream.isatty()
        self.pause = SECONDS_OF_A_BAR if self.on_terminal else SECONDS_OF_A_LINE
        self.said_at = clock()
        self.bar: Any = None
        self.task: Any = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def told(self, progress: VerifyProgress) -> None:
        now = self.clock()
        if now - self.said_at < self.pause:
            return
        self.said_at = now
        if self.on_terminal:
            self._draw(progress)
        else:
            print(_sentence(progress), file=self.stream, flush=True)

    def _draw(self, progress: VerifyProgress) -> None:
        if self.bar is None:
            # a tenth of a second, which work that is done by then does not owe
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
            self.bar = Bar(*columns, console=Console(file=self.stream), transient=True)
            self.bar.start()
            self.task = self.bar.add_task("", total=1)
        by_bytes = progress.bytes_total > 0
        done, total = (
            (progress.bytes_done, progress.bytes_total) if by_bytes else (progress.done, max(progress.total, 1))
        )
        self.bar.update(self.task, description=_sentence(progress), completed=done, total=total)


def _sentence(progress: VerifyProgress) -> str:
    text = f"{progress.phase}: {progress.done:,} of {progress.total:,}"
    if progress.bytes_total:
        text += f", {format_size(progress.bytes_done)} of {format_size(progress.bytes_total)}"
    return text
