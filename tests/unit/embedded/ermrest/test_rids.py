from __future__ import annotations

from deriva_ml_prefect.embedded.ermrest.clock import encode_urlb32
from deriva_ml_prefect.embedded.ermrest.rids import encode_range


def test_ranges_encode_as_single_numbers_do() -> None:
    for start in (1, 500_000, (1 << 19) - 3, (1 << 20) - 2, (1 << 39) - 2, 5 << 40):
        serials = range(start, start + 3000)
        assert encode_range(serials) == [encode_urlb32(serial) for serial in serials]
