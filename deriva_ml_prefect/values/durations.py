"""Durations as the catalog holds them: texts in deriva-ml's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PHASES = ("download", "execution", "upload")
RECORDED = "recorded_seconds"
"""Name among the facts of an execution: phase → seconds, as its record has them."""


def measured_seconds(facts: Mapping[str, Any]) -> dict[str, float]:
    """Phase → seconds, of those that the journal measured (`<phase>_seconds` among the facts of an execution)."""
    return {
        name: round(float(facts[f"{name}_seconds"]), 4) for name in PHASES if facts.get(f"{name}_seconds") is not None
    }


def told_seconds(facts: Mapping[str, Any]) -> dict[str, float]:
    """What the catalog is told: the durations that stand in the record of the run, once that is written.

    An upload that is taken up again after that took longer, and the record is not sent twice.
    """
    recorded: Mapping[str, float] | None = facts.get(RECORDED)
    return dict(recorded) if recorded else measured_seconds(facts)


def told_durations(facts: Mapping[str, Any]) -> dict[str, str]:
    """The same as the catalog holds them: phase → text."""
    return {name: format_duration(seconds) for name, seconds in told_seconds(facts).items()}


def format_duration(seconds: float) -> str:
    """A duration as deriva-ml writes it: `0.0H 1.0min 2.3456sec`."""
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}H {minutes}min {round(left, 4)}sec"
