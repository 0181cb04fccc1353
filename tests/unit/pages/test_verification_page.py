"""The verdict of a verification says what differs and what nobody could look at."""

from __future__ import annotations

import pytest

from deriva_ml_prefect.pages.verification_page import render_verification
from deriva_ml_prefect.questions.verification.report import Against, Difference, Unchecked, Verification
from deriva_ml_prefect.values.address import Address

ADDRESS = Address("example.org", "1")


@pytest.mark.parametrize(
    ("differences", "unchecked", "verdict"),
    [
        (0, 0, "verified, the same as its receipts in the journal."),
        (1, 0, "1 difference from its receipts in the journal."),
        (2, 1, "2 differences from its receipts in the journal, and 1 thing could not be checked."),
        (0, 1, "not verified, 1 thing could not be checked."),
        (0, 3, "not verified, 3 things could not be checked."),
    ],
)
def test_verdict(differences: int, unchecked: int, verdict: str) -> None:
    found = Verification(
        ADDRESS,
        "1-A",
        Against.receipts,
        True,
        (Difference("Image/a.png", "MD5", "a", "b"),) * differences,
        (Unchecked("Image/b.png", "the server failed"),) * unchecked,
        0,
    )
    assert list(render_verification(found))[-1] == f"Execution 1-A of {ADDRESS}: {verdict}"


def test_what_was_looked_at_is_counted_as_people_count() -> None:
    checked = {"execution row": 1, "asset rows": 1, "links to assets": 1, "datasets": 1, "objects": 1000, "bytes": 1}
    found = Verification(ADDRESS, "1-A", Against.receipts, True, (), (), 0, checked)
    assert list(render_verification(found))[-2] == (
        "Looked at 1 execution row, 1 asset row, 1 link to assets, 1 dataset, 1,000 objects (1 byte read)."
    )
