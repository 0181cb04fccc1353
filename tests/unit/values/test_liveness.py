"""What signs of life tell from afar."""

from __future__ import annotations

import pytest

from deriva_ml_prefect.values.liveness import Liveness, judge_from_afar, promise_of_signs, promised_seconds


@pytest.mark.parametrize(
    ("age", "promised", "told"),
    [
        (0, 60, Liveness.alive),
        (180, 60, Liveness.alive),
        (181, 60, Liveness.dead),
        (10, 2, Liveness.dead),
        (600, 300, Liveness.alive),
        (180, None, Liveness.alive),
        (10_000, None, Liveness.silent),
    ],
)
def test_rule(age: float, promised: float | None, told: Liveness) -> None:
    assert judge_from_afar(age, promised) is told


def test_promise_is_read_back() -> None:
    assert promised_seconds(f"Configuration. {promise_of_signs(60)}") == 60
    assert promised_seconds(promise_of_signs(0.5)) == 0.5
    assert promise_of_signs(0) == ""
    assert promised_seconds("Configuration of the execution") is None
    assert promised_seconds(None) is None
