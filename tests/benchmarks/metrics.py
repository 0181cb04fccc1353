"""A metric that is logged in the training loop: seconds a call, and until it is on the disk."""

from __future__ import annotations

import os
import statistics
import time
from contextlib import ExitStack

from tests.benchmarks.comparison import Comparison
from tests.benchmarks.world import World

CALLS = 2_000
PATIENCE = 5.0


def compare(world: World, stack: ExitStack) -> list[Comparison]:
    from deriva_ml_prefect.ml import metrics_log

    workflow = world.ml.create_workflow("Metrics", "Training")
    execution = stack.enter_context(world.ml.create_execution(workflow=workflow, description="Metrics"))
    values = {"loss": 0.25, "accuracy": 0.875}

    def call() -> float:
        figures = []
        for step in range(world.of(CALLS)):
            started = time.perf_counter()
            execution.log_metrics(values, step=step)
            figures.append(time.perf_counter() - started)
        return statistics.median(figures)

    def append() -> float:
        record: list[tuple[int, dict[str, float]]] = []
        started = time.perf_counter()
        for step in range(world.of(CALLS)):
            record.append((step, dict(values)))
        return (time.perf_counter() - started) / world.of(CALLS)

    def durable() -> float:
        """Seconds from a call until the next fsync of the file has ended."""
        metrics_log.sync_all()
        ended: list[float] = []
        inode = execution.metrics_file().stat().st_ino
        real = os.fsync

        def told(descriptor: int) -> None:
            this = os.fstat(descriptor).st_ino == inode
            real(descriptor)
            if this:
                ended.append(time.perf_counter())

        os.fsync = told  # type: ignore[assignment]  # the name of its parameter is another
        try:
            started = time.perf_counter()
            execution.log_metrics(values, step=0)
            while not ended and time.perf_counter() < started + PATIENCE:
                time.sleep(0.005)
        finally:
            os.fsync = real
        return (ended[0] if ended else float("inf")) - started

    appended = append()
    return [
        Comparison(f"a metric logged (a list append: {appended * 1e6:.2f} µs)", call, None, 50e-6, "µs"),
        Comparison("a metric on the disk after the call", durable, None, 1.0),
    ]
