"""How many transfers at once: a number found by measuring, raised and lowered while the work goes on.

It begins at one and doubles as long as that pays. Then it stays, and is tried a little wider and a little narrower now
and then: a wider one is kept if more gets done, a narrower one if no less does. An overload that the server tells of
halves it, and it climbs again by ones. Nothing here is a constant of a server: one answers fastest to a single
request at a time, another, far away, to thirty-two.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_WIDTH = 1
WINDOW_JOBS = 4
"""Jobs for each thread between two looks at the rate, and twice as many at least."""
WINDOW_SECONDS = 0.05
"""A look is not shorter than that: rates of some milliseconds say nothing."""
DOUBLING_PAYS = 1.2
"""Twice as wide must do that much more, or it is given up again."""
WIDER_PAYS = 1.04
NARROWER_PAYS = 0.98
FIRST_QUIET = 1.0
LONGEST_QUIET = 30.0
"""Seconds between two tries of another width; doubled by each that did not pay."""


@dataclass(frozen=True)
class _Trial:
    """A width that is tried: where to go back to, and the rate that it must reach."""

    before: int
    rate: float
    doubling: bool


class Width:
    """Tell it each finished job and the server's overloads; `now` is how many may be under way.

    Times are seconds of any steady clock. Not safe for threads: the caller holds a lock.
    """

    def __init__(self, limit: int, began: float, *, first: int = FIRST_WIDTH) -> None:
        self.limit = max(1, limit)
        self.now = min(max(1, first), self.limit)
        self._climbing = True
        self._trial: _Trial | None = None
        self._wider_next = True
        self._quiet = FIRST_QUIET
        self._next_trial = began
        self._overloads: int | None = None
        self._excused = 0
        self._open(began)

    def go_on(self, limit: int, at: float) -> None:
        """Other jobs follow, after a pause or the first ones; so many may be under way at most."""
        self.limit = max(1, limit)
        self.now = min(self.now, self.limit)
        if self._trial is not None and self._trial.before >= self.now:
            self._trial = None
        self._open(at)

    def record(self, overloads: int, at: float, *, work: float = 1.0) -> bool:
        """Count a finished job of so much `work`; True when `now` has changed."""
        before = self.now
        if self._overloads is None:
            self._overloads = overloads
        excused = self._excused
        self._excused = max(0, excused - 1)
        if overloads > self._overloads:
            self._overloads = overloads
            if not excused:
                self._give_way(at)
            return self.now != before
        self._jobs += 1
        self._work += work
        spent = at - self._since
        if self._jobs < max(2 * WINDOW_JOBS, self.now * WINDOW_JOBS) or spent < WINDOW_SECONDS:
            return False
        self._judge(self._work / max(spent, 1e-6), at)
        self._open(at)
        return self.now != before

    def _open(self, at: float) -> None:
        self._since = at
        self._jobs = 0
        self._work = 0.0

    def _judge(self, rate: float, at: float) -> None:
        trial = self._trial
        self._trial = None
        if trial is None:
            if self._climbing or at >= self._next_trial:
                self._try_another(rate, at)
            return
        if trial.doubling:
            if rate >= trial.rate * DOUBLING_PAYS:
                self._try_another(rate, at)
                return
            self._climbing = False
            self._settle(trial.before, at)
            return
        wider = self.now > trial.before
        if rate >= trial.rate * (WIDER_PAYS if wider else NARROWER_PAYS):
            # it paid: go on in the same direction, soon
            self._quiet = FIRST_QUIET
            self._settle(self.now, at)
            return
        self._quiet = min(LONGEST_QUIET, self._quiet * 2)
        self._wider_next = not wider
        self._settle(trial.before, at)

    def _settle(self, width: int, at: float) -> None:
        self.now = width
        self._next_trial = at + self._quiet

    def _try_another(self, rate: float, at: float) -> None:
        if self._climbing:
            target = min(self.limit, self.now * 2)
        else:
            step = max(1, self.now // 4)
            target = self.now + step if self._wider_next else self.now - step
            target = min(self.limit, max(1, target))
        if target == self.now:
            self._climbing = False
            self._wider_next = self.now == 1
            self._settle(self.now, at)
            return
        self._trial = _Trial(self.now, rate, doubling=self._climbing)
        self.now = target

    def _give_way(self, at: float) -> None:
        """The server is overloaded: half as many, and wider again only after a quiet time.

        The jobs that are under way were begun before, so that what becomes of them says nothing of the new width.
        """
        self._excused = self.now - 1
        self.now = max(1, self.now // 2)
        self._climbing = False
        self._trial = None
        self._wider_next = True
        self._quiet = min(LONGEST_QUIET, self._quiet * 2)
        self._settle(self.now, at)
        self._open(at)
