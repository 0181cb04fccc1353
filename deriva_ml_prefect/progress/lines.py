"""Progress as lines on stderr, for logs: after two seconds, then every ten, from the third minute every sixty."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, repeat

from deriva_ml_prefect.progress.meter import Meter


class Lines:
    def __init__(self) -> None:
        self.pauses: Iterator[float] = chain(repeat(10.0, 12), repeat(60.0))

    def begin(self, meter: Meter) -> None:
        self.refresh(meter)

    def refresh(self, meter: Meter) -> None:
        now = meter.standing()
        files = f"{now.files}, " if now.files else ""
        left = "" if now.left is None else f", about {format_time(now.left)} left"
        _say(f"{meter.what}: {files}{now.amount} ({now.percent:.0f} %), {now.speed}{left}")

    def end(self, meter: Meter, *, failed: bool) -> None:
        now = meter.standing()
        if failed:
            _say(f"{meter.what}: ended at {now.amount} after {format_time(now.seconds)}")
        else:
            _say(f"{meter.what}: done, {now.unit.amount(now.total)} in {format_time(now.seconds)}")


def format_time(seconds: float) -> str:
    """`40 s`, `3 min 20 s`, `40 min`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if 600 <= whole < 3600:
        return f"{round(whole / 60)} min"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _say(line: str) -> None:
    # a closed pipe or stream: whoever looked on has gone, and the work goes on
    with suppress(OSError, ValueError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
