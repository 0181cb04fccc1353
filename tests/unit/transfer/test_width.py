"""How many at once: against models of servers, each a rule of how long a job takes while so many are under way."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

from deriva_ml_prefect.transfer.width import FIRST_WIDTH, Width

Service = Callable[[int, float], float]
"""(jobs under way, time) → seconds of the next job."""


class Run:
    """Jobs through a model server, in virtual time."""

    def __init__(self, service: Service, *, overload_at: int = 1000, jobs: int = 4000, limit: int = 32) -> None:
        chance = random.Random(7)
        width = Width(limit, 0.0)
        self.seconds = 0.0
        self.overloads = 0
        self.widths: list[tuple[float, int]] = [(0.0, width.now)]
        under_way: list[float] = []
        begun = 0
        for _ in range(jobs):
            while len(under_way) < width.now and begun < jobs:
                begun += 1
                took = service(len(under_way) + 1, self.seconds) * chance.uniform(0.9, 1.1)
                heapq.heappush(under_way, self.seconds + took)
            self.overloads += len(under_way) >= overload_at
            self.seconds = heapq.heappop(under_way)
            if width.record(self.overloads, self.seconds):
                self.widths.append((self.seconds, width.now))

    def share_at(self, wanted: range) -> float:
        """Share of the time that was spent at one of these widths."""
        ends = [at for at, _ in self.widths[1:]] + [self.seconds]
        spent = sum(end - at for (at, width), end in zip(self.widths, ends, strict=True) if width in wanted)
        return spent / self.seconds


def far_away(_: int, __: float) -> float:
    return 0.0225


def test_it_starts_low() -> None:
    assert FIRST_WIDTH == 1
    assert Run(far_away, jobs=1).widths == [(0.0, 1)]


def test_a_server_that_is_slower_in_parallel_gets_one_at_a_time() -> None:
    run = Run(lambda n, _: 1 / 145 if n == 1 else n / 63, overload_at=8)
    assert run.overloads == 0
    assert run.share_at(range(1, 2)) > 0.9


def test_a_far_server_is_asked_by_all_that_may() -> None:
    run = Run(far_away)
    assert run.share_at(range(24, 33)) > 0.75
    assert run.seconds < 1.5 * 4000 / 32 * 0.0225


def test_no_wider_than_pays() -> None:
    run = Run(lambda n, _: max(0.0225, n / 360))
    assert run.share_at(range(6, 13)) > 0.8


def test_one_doubling_that_does_not_pay_is_no_reason_to_stop() -> None:
    """Two at once do as much as one, four do twice as much: so it is with a client and a server on two processors."""
    run = Run(lambda n, _: n / (500 if n < 4 else 1000))
    assert run.share_at(range(4, 6)) > 0.6
    assert run.seconds < 4000 / 1000 * 1.25


def test_it_is_tried_again_when_the_server_bears_more() -> None:
    run = Run(lambda n, at: max(0.0225, n / (100 if at < 10 else 2000)), jobs=12_000)
    assert max(width for at, width in run.widths if 1 < at < 10) <= 8
    assert run.widths[-1][1] > 16


def test_it_is_narrowed_when_the_server_bears_less_and_says_nothing() -> None:
    run = Run(lambda n, at: 0.0225 if at < 3 else (n**1.3) / 60, jobs=8000)
    assert max(width for _, width in run.widths) == 32
    assert run.widths[-1][1] <= 8


def test_an_overload_halves_once_for_all_that_were_under_way() -> None:
    width = Width(16, 0.0, first=8)
    width.record(0, 1.0)
    assert width.record(1, 1.1)
    assert width.now == 4
    for seen in range(2, 9):
        assert not width.record(seen, 1.2)
    assert width.record(9, 1.3)
    assert width.now == 2


def test_after_an_overload_it_climbs_again_slowly() -> None:
    run = Run(far_away, overload_at=20)
    assert run.overloads < 40
    assert run.share_at(range(8, 20)) > 0.7


def test_unequal_jobs_are_weighed() -> None:
    """First small jobs, then ones ten times as large and as long: no reason to change the width."""
    width, at, seen = Width(4, 0.0, first=4), 0.0, set()
    for n in range(800):
        work = 10.0 if (n // 100) % 2 else 1.0
        at += work * 0.01 / width.now
        width.record(0, at, work=work)
        seen.add(width.now)
    assert seen <= {3, 4}
    assert width.now == 4


def test_a_lower_limit_holds_whatever_was_best_before() -> None:
    width, at = Width(32, 0.0), 0.0
    while width.now < 16:
        at += 0.01 / width.now
        width.record(0, at)
    width.go_on(5, at)
    for _ in range(400):
        at += 0.01
        width.record(0, at)
        assert width.now <= 5
