"""How many transfers at once: a number found by measuring, raised and lowered while the work goes on.

It begins at one and doubles as long as that pays. A doubling that does not is followed by one more, looked at for
longer, before the best so far is taken: two requests at a time often do as much as one, each end waiting for the other
on the same processor, where four do twice as much. Then it stays, and is tried a little wider and a little narrower now
and then: a wider one is kept if more gets done, a narrower one if no less does. An overload that the server tells of
halves it, and it climbs again by ones. Nothing here is a constant of a server: one answers fastest to a single request
at a time, another, far away, to thirty-two.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_WIDTH = 1
WINDOW_JOBS = 4
"""Jobs for each thread between two looks at the rate, and twice as many at least."""
WINDOW_SECONDS = 0.05
"""A look is not shorter than that: rates of some milliseconds say nothing."""
LONG_WINDOW_SECONDS = 0.25
"""Nor than that where little is to be told apart: an operating system takes so long to spread work over processors."""
DOUBLING_PAYS = 1.2
"""Twice as wide must do that much more, and the second time must, or the best so far is taken."""
WIDER_PAYS = 1.04
NARROWER_PAYS = 0.98
FIRST_QUIET = 1.0
LONGEST_QUIET = 30.0
"""Seconds between two tries of another width; doubled by each that did not pay."""


@dataclass(frozen=True)
class _Rate:
    """How much gets done in a second at a width."""

    width: int
    rate: float


class Width:
    """Tell it each finished job and the server's overloads; `now` is how many may be under way.

    Times are seconds of any steady clock. Not safe for threads: the caller holds a lock.
    """

    def __init__(self, limit: int, began: float, *, first: int = FIRST_WIDTH) -> None:
        self.limit = max(1, limit)
        self.now = min(max(1, first), self.limit)
        self._climbing = True
        self._best = _Rate(self.now, 0.0)
        """While it climbs."""
        self._missed = False
        """Whether the last doubling did not pay."""
        self._trial: _Rate | None = None
        """What to go back to from a width that is tried, and what is to be reached."""
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
        if self._trial is not None and self._trial.width >= self.now:
            self._trial = None
        self._open(at)

    def hold(self, limit: int) -> None:
        """No more than so many can be under way."""
        self.limit = limit
        self.now = min(self.now, limit)

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
        if self._jobs < max(2 * WINDOW_JOBS, self.now * WINDOW_JOBS) or spent < self._window:
            return False
        self._judge(self._work / max(spent, 1e-6), at)
        self._open(at)
        return self.now != before

    @property
    def _window(self) -> float:
        return WINDOW_SECONDS if self._climbing and not self._missed else LONG_WINDOW_SECONDS

    def _open(self, at: float) -> None:
        self._since = at
        self._jobs = 0
        self._work = 0.0

    def _judge(self, rate: float, at: float) -> None:
        if self._climbing:
            self._climb(rate, at)
            return
        trial, self._trial = self._trial, None
        if trial is None:
            if at >= self._next_trial:
                self._try_another(rate, at)
            return
        wider = self.now > trial.width
        if rate >= trial.rate * (WIDER_PAYS if wider else NARROWER_PAYS):
            # it paid: go on in the same direction, soon
            self._quiet = FIRST_QUIET
            self._settle(self.now, at)
            return
        self._quiet = min(LONGEST_QUIET, self._quiet * 2)
        self._wider_next = not wider
        self._settle(trial.width, at)

    def _climb(self, rate: float, at: float) -> None:
        missed = rate < self._best.rate * DOUBLING_PAYS
        if rate >= self._best.rate * WIDER_PAYS:
            self._best = _Rate(self.now, rate)
        if self.now < self.limit and not (missed and self._missed):
            self._missed = missed
            self.now = min(self.limit, self.now * 2)
            return
        self._climbing = False
        self._wider_next = self._best.width == 1
        self._settle(self._best.width, at)

    def _settle(self, width: int, at: float) -> None:
        self.now = min(width, self.limit)
        self._next_trial = at + self._quiet

    def _try_another(self, rate: float, at: float) -> None:
        step = max(1, self.now // 4)
        target = self.now + step if self._wider_next else self.now - step
        target = min(self.limit, max(1, target))
        if target == self.now:
            self._wider_next = self.now == 1
            self._settle(self.now, at)
            return
        self._trial = _Rate(self.now, rate)
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
