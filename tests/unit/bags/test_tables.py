"""Values go through CSV and come back as they were."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deriva_ml_prefect.bags.tables import read_table, write_table
from deriva_ml_prefect.exceptions import DerivaMLDataError

TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner)
)
TYPES = {"t": "text", "i": "int8", "f": "float8", "b": "boolean", "a": "text[]", "n": "int4[]", "j": "jsonb"}
ROWS = st.fixed_dictionaries({
    "t": st.none() | TEXT,
    "i": st.none() | st.integers(-(2**63), 2**63 - 1),
    "f": st.none() | st.floats(allow_nan=False),
    "b": st.none() | st.booleans(),
    "a": st.none() | st.lists(st.none() | TEXT),
    "n": st.none() | st.lists(st.none() | st.integers()),
    "j": st.dictionaries(TEXT, JSON) | st.lists(JSON),
})  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that is written anew for each example."""
    return tmp_path_factory.mktemp("csv") / "T.csv"


@given(rows=st.lists(ROWS))
def test_rows_come_back(path: Path, rows: list[dict[str, Any]]) -> None:
    assert write_table(path, TYPES, rows) == len(rows)
    assert list(read_table(path, TYPES)) == rows


@pytest.mark.parametrize(
    "value", [None, "", "NULL", "null", "\\N", '"', ",", "\r\n", "a\rb", " x ", "{a}", "ü😀\u202e"]
)
def test_texts_that_csv_could_lose(tmp_path: Path, value: str | None) -> None:
    write_table(tmp_path / "T.csv", {"only": "text"}, [{"only": value}, {"only": "next"}])
    assert [row["only"] for row in read_table(tmp_path / "T.csv", {})] == [value, "next"]


def test_infinities_and_ten_megabytes(tmp_path: Path) -> None:
    long = 'x"\n' * 3_500_000
    write_table(tmp_path / "T.csv", {"f": "float8", "t": "text"}, [{"f": math.inf, "t": long}])
    assert list(read_table(tmp_path / "T.csv", {"f": "float8"})) == [{"f": math.inf, "t": long}]


def test_servers_own_spellings_are_read(tmp_path: Path) -> None:
    (tmp_path / "T.csv").write_text('a,b,l\r\ntrue,f,"{x,""y z"",NULL}"\r\n')
    rows = list(read_table(tmp_path / "T.csv", {"a": "boolean", "b": "boolean", "l": "text[]"}))
    assert rows == [{"a": True, "b": False, "l": ["x", "y z", None]}]


@pytest.mark.parametrize("text", ['a,b\n1,"2\n', "a,b\n1\n", 'a,b\n1,x"y\n'])
def test_damage_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "T.csv").write_text(text)
    with pytest.raises(DerivaMLDataError, match=r"T\.csv.*verify it"):
        list(read_table(tmp_path / "T.csv", {}))
    (tmp_path / "A.csv").write_text('l\n"not an array"\n')
    with pytest.raises(DerivaMLDataError, match="no array"):
        list(read_table(tmp_path / "A.csv", {"l": "text[]"}))
