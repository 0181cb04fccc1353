"""Plans and their SQL, by what they select from a few rows."""

from __future__ import annotations

import json
import re
import sqlite3
from typing import Any

import pytest

from deriva_ml_prefect.embedded.ermrest.model import Model
from deriva_ml_prefect.embedded.ermrest.negotiation import CSV, JSON, STREAM
from deriva_ml_prefect.embedded.ermrest.representation import Shape, render
from deriva_ml_prefect.embedded.ermrest.resolve_output import resolve_read
from deriva_ml_prefect.embedded.ermrest.sql import compile_read
from deriva_ml_prefect.embedded.ermrest.url import parse_options, parse_request
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict


def answer(model: Model, rows: sqlite3.Connection, url: str, form: str = JSON, at: str | None = None) -> bytes:
    resource, _, rest = url.partition("/")
    rest, _, query = rest.partition("?")
    plan = resolve_read(model, parse_request(resource, rest), parse_options(query))
    shape = Shape(tuple(o.name for o in plan.outputs), tuple(o.type for o in plan.outputs))
    return b"".join(render(rows, compile_read(plan, at), shape, form))


def read(model: Model, rows: sqlite3.Connection, url: str, at: str | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(answer(model, rows, url, at=at))
    return found


def column(model: Model, rows: sqlite3.Connection, url: str) -> list[Any]:
    return [next(iter(row.values())) for row in read(model, rows, url)]


@pytest.mark.parametrize(
    ("url", "values"),
    [
        ("attribute/Subject/id::gt::1/id@sort(id)", [2, 3]),
        ("attribute/S:Subject/name=any(ann,bob)/id@sort(id::desc::)", [2, 1]),
        ("attribute/Subject/!name::regexp::%5Ea/id@sort(id)", [2, 3]),
        ("attribute/Subject/*::ciregexp::ANN/id", [1]),
        ("attribute/Subject/RID=2-2/id", [2]),
        ("attribute/Subject/RID=22/id", []),
        ("attribute/Subject/tags=y%20z/id", [1]),
        ("attribute/Subject/tags=all(x,y%20z)/id", [1]),
        ("attribute/Subject/tags=any(x,q)/id", [1]),
        ("attribute/Subject/!tags=x/id", [2]),
        ("attribute/Study/subject::null::/id", ["D"]),
        ("attribute/Study/owner@sort(owner::desc::)", [None, 3, 2, 2]),
        ("attribute/Study/owner@sort(owner)", [2, 2, 3, None]),
        ("attribute/Image/Study/id", ["A"]),
        ("attribute/Study/Image/id@sort(id)", [10, 11]),
        ("attribute/Study/(subject)/name@sort(name)", ["ann", "bob"]),
        ("attribute/Subject/(Study:subject)/id@sort(id)", ["A", "B", "C"]),
        ("attribute/Subject/Study/id@sort(id)", ["A", "B", "C", "D"]),
        ("attribute/i:=Image/left(study)=(S:Study:id)/$i/id@sort(id)", [10, 11, 12]),
        ("attribute/i:=Image/left(study)=(S:Study:id)/id@sort(id)", ["A", None]),
        ("attribute/s:=Study/right(id)=(S:Image:study)/id@sort(id)", [10, 11, 12]),
        ("attribute/Study/id@sort(id)@after(B)?limit=1", ["C"]),
        ("attribute/Study/id@sort(id)@before(D)?limit=2", ["B", "C"]),
        ("attribute/Study/owner,id@sort(owner,id)@after(2,A)", [2, 3, None]),
        ("attribute/Study/owner,id@sort(owner::desc::,id)@after(::null::,B)", [3, 2, 2]),
        ("attribute/Study/id@sort(id)?limit=0", []),
        ("aggregate/Study/n:=cnt(*)", [4]),
        ("aggregate/Study/n:=cnt_d(owner)", [2]),
        ("aggregate/Subject/n:=avg(id)", [2.0]),
        ("aggregate/Subject/id=9/n:=array(id)", [None]),
        ("aggregate/Subject/n:=array(weight)", [[50.5, 70, "Infinity"]]),
        ("aggregate/Study/n:=array_d(owner)", [[2, None, 3]]),
        ("aggregate/Image/n:=array(note)", [[{"a": 1}, None, None]]),
        ("attributegroup/Study/owner;n:=cnt(*)@sort(owner)", [2, 3, None]),
        ("attributegroup/Subject/b:=bin(id;2;1;3)@sort(b)", [[1, 1, 2], [2, 2, 3], [3, 3, None]]),
    ],
)
def test_values(model: Model, rows: sqlite3.Connection, url: str, values: list[Any]) -> None:
    assert column(model, rows, url) == values


def test_groups_see_the_whole_join(model: Model, rows: sqlite3.Connection) -> None:
    url = "attributegroup/s:=Study/i:=left(id)=(S:Image:study)/$s/s:id;n:=cnt(i:id),m:=max(i:id)@sort(id)"
    assert read(model, rows, url)[0] == {"id": "A", "n": 2, "m": 11}
    assert read(model, rows, url)[1] == {"id": "B", "n": 0, "m": None}


def test_a_long_disjunction_and_a_long_list(model: Model, rows: sqlite3.Connection) -> None:
    many = range(5000)
    assert column(model, rows, "attribute/Subject/" + ";".join(f"id={i}" for i in many) + "/id@sort(id)") == [1, 2, 3]
    assert column(model, rows, f"attribute/Subject/id=any({','.join(map(str, many))})/id@sort(id)") == [1, 2, 3]


def test_a_snapshot_sees_former_rows(model: Model, rows: sqlite3.Connection) -> None:
    table = model.schemas["S"].tables["Subject"]
    rows.execute(
        f"INSERT INTO {table.history} SELECT '2026-03-01T00:00:00+00:00', * FROM {table.physical} "
        f"WHERE {table.columns['id'].physical} = 1"
    )
    rows.execute(
        f"UPDATE {table.physical} SET {table.columns['name'].physical} = 'ANN', "
        f"{table.columns['RMT'].physical} = '2026-03-01T00:00:00+00:00' WHERE {table.columns['id'].physical} = 1"
    )
    for at, name in (("2026-02-01T00:00:00+00:00", "ann"), ("2026-03-01T00:00:00+00:00", "ANN")):
        assert read(model, rows, "attribute/Subject/id=1/name", at) == [{"name": name}]
    assert read(model, rows, "entity/Subject", "2025-01-01T00:00:00+00:00") == []


def test_csv(model: Model, rows: sqlite3.Connection) -> None:
    text = answer(model, rows, "attribute/Subject/name,tags,weight,RCT@sort(id)".replace("@sort(id)", ""), CSV).decode()
    assert text.splitlines() == [
        "name,tags,weight,RCT",
        'ann,"{x,""y z""}",50.5,2026-01-01 00:00:00+00',
        "bob,{},70,2026-01-01 00:00:00+00",
        '"cyd, ""q""",,Infinity,2026-01-01 00:00:00+00',
    ]
    assert b'"[""x"",""y z""]"' in b"".join(
        render(
            rows,
            compile_read(resolve_read(model, parse_request("attribute", "Subject/tags"), parse_options(""))),
            Shape(("tags",), (model.schemas["S"].tables["Subject"].columns["tags"].type,)),
            CSV,
            arrays_as_json=True,
        )
    )


def test_empty_answers(model: Model, rows: sqlite3.Connection) -> None:
    assert answer(model, rows, "attribute/Subject/id=9/id") == b"[]\n"
    assert answer(model, rows, "attribute/Subject/id=9/id", STREAM) == b""
    assert answer(model, rows, "attribute/Subject/id=9/id", CSV) == b"id\n"


@pytest.mark.parametrize(
    "url",
    [
        "entity/Nope",
        "entity/S:Nope",
        "entity/X:Subject",
        "entity/Subject/nope=1",
        "entity/Subject/A:id=1",
        "entity/Subject/Image",
        "entity/Subject/Subject",
        "entity/Subject/$A",
        "entity/Study/(id)/x=1",
        "entity/Subject/(id)",
        "entity/Image/(study)=(S:Study:nope)",
        "attribute/Subject/nope",
        "attributegroup/Subject/id;n:=cnt(nope)",
        "aggregate/Subject/n:=sum(name)",
        "entity/Subject?limit=-1",
        "entity/Subject/name::regexp::%5B",
    ],
)
def test_errors_of_names_are_conflicts(model: Model, rows: sqlite3.Connection, url: str) -> None:
    with pytest.raises(Conflict):
        answer(model, rows, url)


@pytest.mark.parametrize(
    "url",
    [
        "entity/A:=Study/A:=Image",
        "entity/Subject/*=x",
        "attribute/Subject/id,id",
        "attribute/Subject/x:=*",
        "attribute/Subject/id@sort(name)",
        "entity/Subject@sort(id)@before(2)",
        "entity/Subject?limit=x",
        "aggregate/Subject/id",
        "aggregate/Subject/cnt(*)",
        "aggregate/Subject/n:=median(id)",
        "aggregate/Subject/n:=cnt(*)@sort(n)",
        "attribute/Subject/n:=cnt(id)",
    ],
)
def test_what_makes_no_sense_is_malformed(model: Model, rows: sqlite3.Connection, url: str) -> None:
    with pytest.raises(BadRequest):
        answer(model, rows, url)


def test_values_never_become_sql(model: Model) -> None:
    url = "Subject/name=%27%3B%20DROP%20TABLE%20x/*::regexp::%27--/id@sort(id)@after(1)"
    plan = resolve_read(model, parse_request("attribute", url), parse_options("limit=3"))
    query = compile_read(plan)
    assert "DROP" not in query.text
    own = re.compile(r"'(T|Z|0|A| |true|false|text|\+00(:00)?)'")
    assert "'" not in own.sub("", query.text)
    assert "'; DROP TABLE x" in query.parameters
