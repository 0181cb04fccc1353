"""Moments, RIDs, and how both are written."""

from __future__ import annotations

import sqlite3
import time
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deriva_ml_prefect.embedded import ermrest
from deriva_ml_prefect.embedded.ermrest.clock import (
    Moment,
    allocate_column_serials,
    allocate_rids,
    clamp_moment,
    decode_urlb32,
    encode_urlb32,
    last_moment,
    next_moment,
    normalise_rid,
    note_rids,
)


@pytest.fixture
def connection() -> sqlite3.Connection:
    made = sqlite3.connect(":memory:", isolation_level=None)
    made.executescript(resources.files(ermrest).joinpath("catalog.sql").read_text(encoding="utf-8"))
    return made


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1, "2"), (16, "10"), (524288, "1-0000"), (524293, "1-000A"), (1529365427096206, "2PX-WS30-E58W")],
)
def test_known_values(value: int, text: str) -> None:
    assert encode_urlb32(value) == text
    assert decode_urlb32(text) == value


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_what_is_encoded_is_decoded(value: int) -> None:
    text = encode_urlb32(value)
    assert decode_urlb32(text) == decode_urlb32(text.lower().replace("-", "")) == value
    assert all(1 <= len(group) <= 4 for group in text.split("-"))


def test_letters_that_look_like_digits_are_read_as_digits() -> None:
    assert decode_urlb32("io") == decode_urlb32("LO") == decode_urlb32("10") == 16


@pytest.mark.parametrize("text", ["", "-", "U2", "1_2", "x y", "é", "12345678901234", "ZZZZZZZZZZZZZ"])
def test_other_texts_are_no_numbers(text: str) -> None:
    with pytest.raises(ValueError, match=r"urlb32|larger"):
        decode_urlb32(text)


@pytest.mark.parametrize(("text", "normal"), [("1-abc", "1ABC"), ("MY-0003", "MY-0002"), ("not a rid", "not a rid")])
def test_normal_form(text: str, normal: str) -> None:
    assert normalise_rid(text) == normal


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (1529365427096206, "2018-06-18T23:43:47.096206+00:00"),
        (1529365427100000, "2018-06-18T23:43:47.1+00:00"),
        (1529365427000000, "2018-06-18T23:43:47+00:00"),
    ],
)
def test_moments_are_written_as_postgresql_does(micros: int, text: str) -> None:
    assert Moment(micros).text == text


def test_moments_only_grow_even_when_the_clock_goes_back(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = next_moment(connection)
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    later = [next_moment(connection) for _ in range(3)]
    assert [moment.micros - first.micros for moment in later] == [1, 2, 3]
    assert last_moment(connection) == later[-1]


def test_snapshot_is_the_latest_revision_not_after_it(connection: sqlite3.Connection) -> None:
    one, two = next_moment(connection), next_moment(connection)
    assert clamp_moment(connection, one) == one
    assert clamp_moment(connection, Moment(two.micros + 10**9)) == two
    assert clamp_moment(connection, Moment(one.micros - 1)) is None


def test_rids_go_on_past_the_largest_that_was_supplied(connection: sqlite3.Connection) -> None:
    assert allocate_rids(connection, 3) == ["2", "4", "6"]
    note_rids(connection, ["1-0000", "not a rid", "8"])
    assert allocate_rids(connection, 2) == ["1-0002", "1-0004"]
    note_rids(connection, ["4"])
    assert allocate_rids(connection, 1) == ["1-0006"]


def test_serial_columns_count_each_for_itself(connection: sqlite3.Connection) -> None:
    assert list(allocate_column_serials(connection, "c1", 2)) == [1, 2]
    assert list(allocate_column_serials(connection, "c2", 1)) == [1]
    assert list(allocate_column_serials(connection, "c1", 1)) == [3]
