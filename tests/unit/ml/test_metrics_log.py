"""Logging metrics: what a line holds, that it is there at once and synced soon, and that it is cheap."""

from __future__ import annotations

import json
import os
import resource
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy
import pytest

from deriva_ml_prefect.exceptions import DerivaMLExecutionError, DerivaMLReadOnlyError, DerivaMLValidationError
from deriva_ml_prefect.ml import metrics_log
from deriva_ml_prefect.ml.metrics_log import close_log, log_metrics


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line]


class Tensor:
    """Stands for a number on a device, as torch has it."""

    def __init__(self, *values: float) -> None:
        self.values = values

    def item(self) -> float:
        if len(self.values) != 1:
            raise RuntimeError("a Tensor with 2 elements cannot be converted to Scalar")
        return self.values[0]


def test_values(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    log_metrics(path, {"a": 1, "b": numpy.float64(0.5), "c": numpy.int32(3), "d": numpy.bool_(True)}, step=7)
    log_metrics(path, {"a": None, "b": "text", "c": Tensor(2.5), "d": Fraction(1, 4)}, step=numpy.int64(8))
    log_metrics(path, {"a": float("nan"), "b": float("-inf"), "c": numpy.float32("inf"), "step": 9})
    assert lines(path) == [
        {"step": 7, "a": 1, "b": 0.5, "c": 3, "d": True},
        {"step": 8, "a": None, "b": "text", "c": 2.5, "d": 0.25},
        {"a": None, "a_note": "NaN", "b": None, "b_note": "-Infinity", "c": None, "c_note": "Infinity", "step": 9},
    ]


def test_texts_hold_no_secrets(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    token = f"ghp_{'a1B2' * 9}"
    for _ in range(2):
        log_metrics(path, {"note": f"fetched with {token}", "api_key": "wxyz12", "phase": "train", "max_tokens": 7})
    for line in lines(path):
        assert line["note"].startswith("fetched with <secret:hmac:")
        assert line["api_key"].startswith("<secret:hmac:")
        assert (line["phase"], line["max_tokens"]) == ("train", 7)
    assert token not in path.read_text()


@pytest.mark.parametrize("value", [Tensor(1, 2), numpy.zeros(2), {"x": 1}, [1], object()])
def test_refused_values(tmp_path: Path, value: Any) -> None:
    with pytest.raises(DerivaMLValidationError, match="Metric 'loss'"):
        log_metrics(tmp_path / "m.jsonl", {"loss": value})
    assert not (tmp_path / "m.jsonl").exists()


def test_two_steps(tmp_path: Path) -> None:
    with pytest.raises(DerivaMLValidationError, match="Two steps"):
        log_metrics(tmp_path / "m.jsonl", {"step": 1}, step=2)


def test_goes_on_after_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"a":1}\n{"a"')
    log_metrics(path, {"a": 2})
    assert path.read_text() == '{"a":1}\n{"a"\n{"a":2}\n'


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    log_metrics(path, {"a": 1})
    path.unlink()
    with pytest.raises(DerivaMLReadOnlyError, match="another filename"):
        log_metrics(path, {"a": 2})


def test_threads_leave_no_line_empty(tmp_path: Path) -> None:
    """Most readers of JSON lines take an empty one for a torn file."""
    path = tmp_path / "m.jsonl"
    every = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            for n in range(8):
                pool.submit(lambda n: [log_metrics(path, {"from": n}, i) for i in range(1000)], n)
    finally:
        sys.setswitchinterval(every)
    assert [line for line in path.read_text().splitlines() if not line] == []
    assert len(lines(path)) == 8000


def test_goes_on_after_a_line_that_the_disk_did_not_take_whole(
    tmp_path: Path, fork: Callable[[Callable[[], None]], Any]
) -> None:
    path = tmp_path / "m.jsonl"

    def child() -> None:
        log_metrics(path, {"a": 1})
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        for most in (8, 12):
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, unlimited))
            with pytest.raises(DerivaMLExecutionError, match="could not be written"):
                log_metrics(path, {"a": 2})
        resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, unlimited))
        log_metrics(path, {"a": 3})

    assert fork(child).wait() == 0
    assert path.read_text() == '{"a":1}\n{"a"\n{"a":3}\n'


def test_threads_and_forks_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    log_metrics(path, {"from": "parent"})
    child = os.fork()
    if child == 0:
        for i in range(200):
            log_metrics(path, {"from": "child", "i": i})
        os._exit(0)
    threads = [threading.Thread(target=lambda: [log_metrics(path, {"from": "t"}) for _ in range(200)]) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(lines(path)) == 601


def test_synced_within_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(metrics_log.os, "fsync", lambda fd: (synced.append(os.fstat(fd).st_size), real(fd)))
    path = tmp_path / "m.jsonl"
    for i in range(2):
        log_metrics(path, {"i": i})
        size = path.stat().st_size
        deadline = time.monotonic() + 10
        while size not in synced and time.monotonic() < deadline:
            time.sleep(0.02)
        assert size in synced
    assert metrics_log.SYNC_SECONDS <= 0.5
    close_log(path)


def test_cheap(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    spent = []
    for i in range(2000):
        began = time.perf_counter()
        log_metrics(path, {"loss": 0.25, "accuracy": 0.5}, step=i)
        spent.append(time.perf_counter() - began)
    # the aim is 50 µs; this machine may be busy with other things
    assert statistics.median(spent) < 250e-6
    assert len(lines(path)) == 2000


def test_number_that_has_too_many_digits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DerivaMLValidationError, match="cannot be written"):
        log_metrics(tmp_path / "m.jsonl", {"a": 10**5000})
    assert not (tmp_path / "m.jsonl").exists()
