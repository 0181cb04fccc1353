"""Series of metrics: in bounded memory, and true to what was measured."""

from __future__ import annotations

import math

from deriva_ml_prefect.values.series import KEPT, SeriesBuilder


def built(*records: dict[str, object]) -> SeriesBuilder:
    builder = SeriesBuilder()
    builder.add(records)
    return builder


def test_numbers_become_series_over_their_steps() -> None:
    builder = built({"step": 0, "loss": 2.0, "note": "x", "good": True}, {"step": 5, "loss": 1, "acc": 0.5})
    assert builder.steps == "step"
    loss, acc = builder.series()
    assert (loss.name, loss.points, loss.latest, loss.lowest, loss.highest) == ("loss", ((0, 2), (5, 1)), 1, 1, 2)
    assert (acc.name, acc.points, acc.count) == ("acc", ((5, 0.5),), 1)


def test_records_without_a_step_are_counted() -> None:
    builder = built({"loss": 3.0}, {"loss": 2.0})
    assert builder.steps == ""
    assert builder.series()[0].points == ((1, 3), (2, 2))


def test_what_is_not_finite_is_passed_over() -> None:
    (loss,) = built({"epoch": 1, "loss": math.nan}, {"epoch": 2, "loss": 4.0}, {"epoch": 3, "loss": None}).series()
    assert loss.points == ((2, 4),)


def test_a_long_run_stays_small_and_keeps_its_ends() -> None:
    builder = SeriesBuilder()
    builder.add({"step": n, "loss": float(n)} for n in range(100_001))
    (loss,) = builder.series()
    assert len(loss.points) <= KEPT + 1
    assert loss.points[0] == (0, 0)
    assert loss.points[-1] == (100_000, 100_000)
    assert (loss.count, loss.lowest, loss.highest) == (100_001, 0, 100_000)
    gaps = {b[0] - a[0] for a, b in zip(loss.points, loss.points[1:-1], strict=False)}
    assert len(gaps) == 1
