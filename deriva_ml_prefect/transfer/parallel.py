"""Many transfers side by side, as many at once as pay on this server and this network (`width`)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from deriva_ml_prefect.transfer.width import Width

Job = TypeVar("Job")
Result = TypeVar("Result")

WIDEST = 32
"""At once, at most."""


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
    width: Width | None = None,
    width_limit: int = WIDEST,
    overloads: Callable[[], int] | None = None,
    work: Callable[[Job], float] | None = None,
) -> list[Outcome[Job, Result]]:
    """Call `worker` for every job in threads; outcomes come in the order of the jobs, and one failure hides no other.

    A `width` that was found before goes on being found here, by measuring. `overloads` counts the server's overload
    answers so far (`HttpClient.overloads`); a rise halves the width. `work` says how much a job is, where they differ:
    jobs that take ten times as long tell nothing of the width.
    """
    if not jobs:
        return []
    found = width or Width(width_limit, time.monotonic())
    found.go_on(min(max(1, width_limit), len(jobs)), time.monotonic())
    run = _Run(list(jobs), worker, found, overloads or (lambda: 0), work or (lambda _: 1.0))
    return run.all()


class _Run(Generic[Job, Result]):
    def __init__(
        self,
        jobs: list[Job],
        worker: Callable[[Job], Result],
        width: Width,
        overloads: Callable[[], int],
        work: Callable[[Job], float],
    ) -> None:
        self.jobs = jobs
        self.worker = worker
        self.overloads = overloads
        self.work = work
        self.outcomes: list[Outcome[Job, Result] | None] = [None] * len(jobs)
        self.next = 0
        self.width = width
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
                        threads.append(threading.Thread(target=self._loop, daemon=True))
                        try:
                            threads[-1].start()
                        except RuntimeError:
                            # the system gives no more threads: those that there are do the work
                            threads.pop()
                            self.active -= 1
                            if not self.active:
                                raise
                            self.width.hold(self.active)
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
                if self.width.record(self.overloads(), time.monotonic(), work=self.work(outcome.job)):
                    self.changed.notify()

    def _one(self, job: Job) -> Outcome[Job, Result]:
        try:
            return Outcome(job, result=self.worker(job))
        except Exception as error:  # noqa: BLE001 - a failure is an outcome: the caller reads it there
            return Outcome(job, error=error)
