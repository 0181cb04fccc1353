"""Spellings of times that a column gives back as the same time, and such that it would not."""

from __future__ import annotations

import pytest

from deriva_ml_prefect.exceptions import DerivaMLValidationError
from deriva_ml_prefect.values.columns import check_value


@pytest.mark.parametrize(
    ("typename", "value"),
    [
        ("timestamp", "2026-01-15"),
        ("timestamp", "2026-01-15 14:30"),
        ("timestamp", "20260115T143000.5"),
        ("timestamptz", "2026-01-15T14:30:00Z"),
        ("timestamptz", "2026-01-15 14:30:00.123456000+05:30"),
        ("date", "20260115"),
    ],
)
def test_taken(typename: str, value: str) -> None:
    check_value(typename, value, "Seen")


@pytest.mark.parametrize(
    ("typename", "value"),
    [
        ("timestamptz", "2026-01-15"),
        ("timestamp", "2026-W03-4"),
        ("timestamp", "2026-01-15T14"),
        ("timestamp", "2026-01-15T14:30:00.1234567"),
        ("timestamptz", "2026-01-15T14:30:00+16:00"),
        ("date", "2026-W03-4"),
    ],
)
def test_refused(typename: str, value: str) -> None:
    with pytest.raises(DerivaMLValidationError, match="Seen"):
        check_value(typename, value, "Seen")
