"""Names and values in paths: nothing in them is ever taken for syntax."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deriva_ml_prefect.catalog.urls import any_of, batches_of_values, column_list, equals, quote, table_name


@given(st.text(st.characters(codec="utf-8")))
def test_quoting_leaves_no_syntax_and_loses_nothing(text: str) -> None:
    quoted = quote(text)
    assert unquote(quoted) == text
    assert not set(quoted) & set(":;,/=()&!@$?#[]|'\"*+ ")
    assert quoted.isascii()


def test_forms() -> None:
    assert table_name("my schema", "a/b:c") == "my%20schema:a%2Fb%3Ac"
    assert column_list(["a", "b,c"]) == "a,b%2Cc"
    assert equals("c", None) == "c::null::"
    assert equals("c", "") == "c="
    assert equals("c", True) == "c=true"
    assert equals("c", 5) == "c=5"
    assert any_of("c", ["1-ABC", "x)"]) == "c=any(1-ABC,x%29)"


@pytest.mark.parametrize(("count", "length"), [(0, 5), (1, 5), (499, 3), (500, 3), (501, 3), (40, 400)])
def test_batches_fit_and_lose_nothing(count: int, length: int) -> None:
    values = [f"{number:0{length}d}" for number in range(count)]
    batches = list(batches_of_values(values))
    assert [value for batch in batches for value in batch] == values
    assert all(len(any_of("c", batch)) < 6100 for batch in batches)


def test_a_value_longer_than_a_batch_stands_alone() -> None:
    assert list(batches_of_values(["a", "x" * 9000, "b"])) == [["a"], ["x" * 9000], ["b"]]
