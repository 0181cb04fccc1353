"""Comparing, sorting, paging, searching and adding up: as PostgreSQL does for each type.

Each line of `postgresql_answers.jsonl` has the values of a column of one type, as texts in the order of their ids, and
requests below the table with what PostgreSQL 15 answers to the SQL that ERMrest makes of them: a list of ids for rows,
the value for an aggregate, the text for CSV (requests that end in ` csv`), null for an error.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

LINES = [json.loads(line) for line in (Path(__file__).with_name("postgresql_answers.jsonl")).open(encoding="utf-8")]


def as_csv(values: list[str | None]) -> bytes:
    """Nulls are empty fields, all else is quoted."""
    fields = ["" if value is None else '"' + value.replace('"', '""') + '"' for value in values]
    return ("id,c\n" + "".join(f"{n},{field}\n" for n, field in enumerate(fields))).encode()


def shown(path: str, answer: Any) -> Any:
    if answer.status_code != 200:
        assert 400 <= answer.status_code < 500, answer.text
        return None
    if path.endswith(" csv"):
        return answer.text
    rows = answer.json()
    if path.startswith("/aggregate"):
        return rows[0]["x"]
    if path.startswith("/attributegroup"):
        return [row["n"] for row in rows]
    if "/id,c@sort(id)" in path:
        return [row["c"] for row in rows]
    return [row["id"] for row in rows]


def unordered(value: Any) -> Any:
    """Members of `array` and `array_d`, whose order is nobody's."""
    if isinstance(value, str) and value.startswith("x\n"):
        ((field,),) = list(csv.reader(io.StringIO(value[2:]))) or [("",)]
        value = json.loads(field) if field.startswith("[") else field
    if not isinstance(value, list):
        return value
    return sorted(repr(float(one)) if type(one) is int else json.dumps(one, sort_keys=True) for one in value)


@pytest.mark.parametrize("line", LINES, ids=[line["type"] for line in LINES])
def test_answers_are_those_of_postgresql(catalog: Any, line: dict[str, Any]) -> None:
    catalog.make_table("T", {"id": "int4!", "c": line["type"]}, [["id"]])
    stored = catalog.send("POST", "/entity/S:T", content=as_csv(line["values"]), headers={"content-type": "text/csv"})
    assert stored.status_code == 200, stored.text
    for path, expected in line["answers"].items():
        form = "text/csv" if path.endswith(" csv") else "application/json"
        found = shown(path, catalog.send("GET", path.removesuffix(" csv"), headers={"accept": form}))
        if ":=array" in path:
            found, expected = unordered(found), unordered(expected)
        assert found == expected, path
