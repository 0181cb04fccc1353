"""Many jobs at once: order, failures, width."""

from __future__ import annotations

import threading
import time

import pytest

from deriva_ml_prefect.transfer.parallel import run_parallel


def test_outcomes_come_in_the_order_of_the_jobs() -> None:
    def work(number: int) -> int:
        time.sleep(0.001 * (number % 3))
        return number * 2

    outcomes = run_parallel(range(100), work, width_limit=8)
    assert [o.job for o in outcomes] == list(range(100))
    assert [o.result for o in outcomes] == [2 * n for n in range(100)]


def test_one_failure_hides_no_other() -> None:
    def work(number: int) -> int:
        if number % 10 == 3:
            raise ValueError(number)
        return number

    outcomes = run_parallel(range(50), work)
    assert [o.job for o in outcomes if not o.ok] == [3, 13, 23, 33, 43]
    assert all(isinstance(o.error, ValueError) for o in outcomes if not o.ok)


def test_nothing_to_do() -> None:
    assert run_parallel([], str) == []


def test_the_limit_is_kept() -> None:
    now, most, lock = 0, 0, threading.Lock()

    def work(_: int) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.002)
        with lock:
            now -= 1

    run_parallel(range(200), work, width_limit=3)
    assert 2 <= most <= 3


def test_a_worker_that_ends_the_process_is_heard() -> None:
    def work(number: int) -> None:
        if number == 5:
            raise SystemExit(3)

    with pytest.raises(SystemExit):
        run_parallel(range(20), work)


def test_a_system_that_gives_few_threads_is_worked_on_with_those(monkeypatch: pytest.MonkeyPatch) -> None:
    start, begun = threading.Thread.start, []

    def limited(thread: threading.Thread) -> None:
        if len(begun) == 2:
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        start(thread)

    def work(number: int) -> int:
        time.sleep(0.002)
        return number

    monkeypatch.setattr(threading.Thread, "start", limited)
    assert [outcome.result for outcome in run_parallel(range(300), work)] == list(range(300))
    begun[:] = [threading.current_thread()] * 2
    with pytest.raises(RuntimeError, match="can't start"):
        run_parallel(range(3), work)
