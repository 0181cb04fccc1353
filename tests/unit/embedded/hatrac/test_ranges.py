from __future__ import annotations

import pytest

from deriva_ml_prefect.embedded.errors import NotImplementedHere, RangeUnsatisfiable
from deriva_ml_prefect.embedded.hatrac.ranges import Span, parse_range


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-4", (0, 4)),
        ("bytes=15-", (15, 19)),
        ("bytes=-5", (15, 19)),
        ("bytes=18-100", (18, 19)),
        ("bytes=0-1,50-60", (0, 1)),
        ("bytes=0-19", None),
        ("bytes=-100", None),
        ("bytes=-0", None),
        ("bytes=5-4", None),
        ("bytes=x", None),
        ("bytes", None),
        (None, None),
    ],
)
def test_ranges(header: str | None, span: tuple[int, int] | None) -> None:
    assert parse_range(header, 20) == (Span(*span, 20) if span else None)


def test_refusals() -> None:
    for header in ("items=0-1", "bytes=0-1,3-4"):
        with pytest.raises(NotImplementedHere):
            parse_range(header, 20)
    with pytest.raises(RangeUnsatisfiable) as told:
        parse_range("bytes=20-", 20)
    assert told.value.headers == (("content-range", "bytes */20"),)
    assert str(Span(2, 3, 20)) == "bytes 2-3/20"
    assert Span(2, 3, 20).length == 2
