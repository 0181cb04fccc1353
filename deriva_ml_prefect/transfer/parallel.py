"""Many small transfers side by side, as many at once as the server bears, found by measuring.

Begins with two, adds one while throughput grows, and halves as soon as the server tells of an overload.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

FIRST_WIDTH = 2
_WINDOW_JOBS = 8
"""Jobs for each thread of the present width between two looks at the throughput."""
_BETTER = 1.05


@dataclass(frozen=True)
class Outcome(Generic[Job, Result]):
    """What became of one job: a result or an error, never both."""

    job: Job
    result: Result | None = None
    error: Exception | None = None

    @property
    def ok(self) -> bool:
        return self.error is None


def run_parallel(
    jobs: Sequence[Job],
    worker: Callable[[Job], Result],
    *,
    width_limit: int = 16,
    overloads: Callable[[], int] | None = None,
) -> list[Outcome[Job, Result]]:
    """Call `worker` for every job in threads; outcomes come in the order of the jobs, and one failure hides no other.

    `overloads` counts the server's overload answers so far (`HttpClient.overloads`); a rise halves the width.
    """
    if not jobs:
        return []
    run = _Run(list(jobs), worker, max(1, width_limit), overloads or (lambda: 0))
    return run.all()


class _Run(Generic[Job, Result]):
    def __init__(
        self, jobs: list[Job], worker: Callable[[Job], Result], limit: int, overloads: Callable[[], int]
    ) -> None:
        self.jobs = jobs
        self.worker = worker
        self.limit = min(limit, len(jobs))
        self.overloads = overloads
        self.outcomes: list[Outcome[Job, Result] | None] = [None] * len(jobs)
        self.next = 0
        self.width = Width(min(FIRST_WIDTH, self.limit), self.limit, time.monotonic())
        self.active = 0
        self.stop: BaseException | None = None
        self.changed = threading.Condition()

    def all(self) -> list[Outcome[Job, Result]]:
        threads: list[threading.Thread] = []
        try:
            with self.changed:
                while self.next < len(self.jobs) and self.stop is None:
                    while self.active < self.width.now and self.next < len(self.jobs):
                        self.active += 1
                        thread = threading.Thread(target=self._loop, daemon=True)
                        threads.append(thread)
                        thread.start()
                    self.changed.wait(0.5)
        except BaseException as interruption:
            # Ctrl-C and the like: no further job is begun, and those under way are waited for
            with self.changed:
                self.stop = interruption
            for thread in threads:
                thread.join()
            raise
        for thread in threads:
            thread.join()
        if self.stop is not None:
            raise self.stop
        return [outcome for outcome in self.outcomes if outcome is not None]

    def _loop(self) -> None:
        while True:
            with self.changed:
                if self.stop is not None or self.next >= len(self.jobs) or self.active > self.width.now:
                    self.active -= 1
                    self.changed.notify()
                    return
                index = self.next
                self.next += 1
            try:
                outcome = self._one(self.jobs[index])
            except BaseException as interruption:  # noqa: BLE001 - handed over, see the next line
                # SystemExit or an error of the interpreter in a worker: the caller's thread raises it
                with self.changed:
                    self.stop = interruption
                    self.active -= 1
                    self.changed.notify()
                return
            with self.changed:
                self.outcomes[index] = outcome
                if self.width.record(self.overloads(), time.monotonic()):
                    self.changed.notify()

    def _one(self, job: Job) -> Outcome[Job, Result]:
        try:
            return Outcome(job, result=self.worker(job))
        except Exception as error:  # noqa: BLE001 - a failure is an outcome: the caller reads it there
            return Outcome(job, error=error)


class Width:
    """How many at once: a number that is raised while that pays. Times are seconds of any steady clock."""

    def __init__(self, first: int, limit: int, began: float) -> None:
        self.now = first
        self.limit = limit
        self._done = 0
        self._since = began
        self._rate = 0.0
        self._overloads: int | None = None
        self._settled = False

    def record(self, overloads: int, at: float) -> bool:
        """Count one finished job; True when the width has changed."""
        if self._overloads is None:
            self._overloads = overloads
        if overloads > self._overloads:
            self._overloads = overloads
            self._settled = True
            return self._set(max(1, self.now // 2), at)
        self._done += 1
        if self._settled or self._done < self.now * _WINDOW_JOBS:
            return False
        rate = self._done / max(at - self._since, 1e-6)
        if rate < self._rate * _BETTER:
            # one more did not pay: go back by one and stay there
            self._settled = True
            return self._set(max(1, self.now - 1), at)
        self._rate = rate
        return self._set(min(self.limit, self.now + 1), at)

    def _set(self, width: int, at: float) -> bool:
        changed = width != self.now
        self.now = width
        self._done = 0
        self._since = at
        return changed
