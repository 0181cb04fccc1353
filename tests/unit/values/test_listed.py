"""Many things in one sentence: the first of them, and how many more there are."""

from __future__ import annotations

from deriva_ml_prefect.values.listed import first_of


def test_a_few_are_all_named() -> None:
    assert first_of(["a", "b"]) == "a; b"
    assert first_of([]) == ""


def test_many_are_counted() -> None:
    assert first_of(map(str, range(7)), 3, separator=", ") == "0, 1, 2 (and 4 more)"
