"""`bin(column;bins;least;largest)` of every type that PostgreSQL can divide into bins.

Each line of `postgresql_bins.jsonl` has values of a type, how they are divided, and the bins that PostgreSQL 15 finds
with the SQL that ERMrest makes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

LINES = [json.loads(line) for line in (Path(__file__).with_name("postgresql_bins.jsonl")).open(encoding="utf-8")]
KINDS = sorted({line["type"] for line in LINES})


def answer(catalog: Any, path: str, status: int = 200) -> Any:
    found = catalog.send("GET", path)
    assert found.status_code == status, found.text
    return found.json() if status == 200 else found.text


def fill(catalog: Any, kind: str, values: list[str | None]) -> None:
    catalog.make_table("T", {"id": "int4!", "c": kind}, [["id"]])
    rows = [{"id": n, "c": value} for n, value in enumerate(values)]
    stored = catalog.send("POST", "/entity/S:T", json=rows)
    assert stored.status_code == 200, stored.text


@pytest.mark.parametrize("kind", KINDS)
def test_bins_are_those_of_postgresql(catalog: Any, kind: str) -> None:
    lines = [line for line in LINES if line["type"] == kind]
    fill(catalog, kind, lines[0]["values"])
    for line in lines:
        limits = ";".join(quote(limit, safe="") for limit in line["limits"])
        rows = answer(catalog, f"/attribute/S:T/id,x:=bin(c;{line['bins']};{limits})@sort(id)")
        assert [row["x"] for row in rows] == line["expected"], limits


def test_limits_that_are_not_given_are_the_least_and_largest_finite_value(catalog: Any) -> None:
    fill(catalog, "timestamp", ["2020-01-01", "2020-01-02", "2020-01-03", "infinity", "-infinity", None])
    rows = answer(catalog, "/attributegroup/S:T/x:=bin(c;2);n:=cnt(*)")
    assert sorted(rows, key=json.dumps) == sorted(
        [
            {"x": [None, None, None], "n": 1},
            {"x": [0, None, "2020-01-01T00:00:00"], "n": 1},
            {"x": [1, "2020-01-01T00:00:00", "2020-01-02T00:00:00"], "n": 1},
            {"x": [2, "2020-01-02T00:00:00", "2020-01-03T00:00:00"], "n": 1},
            {"x": [3, "2020-01-03T00:00:00", None], "n": 2},
        ],
        key=json.dumps,
    )


def test_a_number_that_is_none_is_above_all_bins(catalog: Any) -> None:
    fill(catalog, "float8", ["NaN", "1", "2"])
    rows = answer(catalog, "/attribute/S:T/id,x:=bin(c;1)@sort(id)")
    assert [row["x"] for row in rows] == [[2, 2, None], [1, 1, 2], [2, 2, None]]


@pytest.mark.parametrize("limits", ["2020-01-01;2020-01-01", "-infinity;2020-01-01", "2020-01-01;infinity"])
def test_limits_that_make_no_bins(catalog: Any, limits: str) -> None:
    fill(catalog, "date", ["2020-01-01"])
    answer(catalog, f"/attribute/S:T/id,x:=bin(c;2;{limits})", 409)


@pytest.mark.parametrize("kind", ["float8", "float4"])
def test_limits_may_be_as_far_apart_as_numbers_can_be(catalog: Any, kind: str) -> None:
    fill(catalog, kind, ["1.5e308" if kind == "float8" else "3e38", "0", "-1.5e308" if kind == "float8" else "-3e38"])
    rows = answer(catalog, "/attribute/S:T/id,x:=bin(c;4)@sort(id)")
    assert [row["x"][0] for row in rows] == [5, 3, 1]
    assert rows[1]["x"][1] == 0


def test_a_limit_that_the_type_cannot_hold(catalog: Any) -> None:
    fill(catalog, "float4", ["1"])
    answer(catalog, "/attribute/S:T/id,x:=bin(c;2;-1e308;1)", 409)
