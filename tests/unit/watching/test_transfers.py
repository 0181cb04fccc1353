"""Sizes are told as people read them."""

from __future__ import annotations

import pytest

from deriva_ml_prefect.watching.transfers import format_size


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (12_345_678, "12.3 MB"), (3 * 10**15, "3000.0 TB")],
)
def test_sizes(count: int, said: str) -> None:
    assert format_size(count) == said
