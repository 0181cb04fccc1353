"""What is written is read back, in every form, and stays as it was in every snapshot."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

COLUMNS = {
    "id": "int8!",
    "t": "text",
    "i": "int8",
    "f": "float8",
    "b": "boolean",
    "j": "jsonb",
    "a": "text[]",
    "n": "int4[]",
    "d": "date",
    "z": "timestamptz",
}
FULL = {
    "id": 1,
    "t": 'é "quoted", \n line',
    "i": 2**63 - 1,
    "f": 0.1,
    "b": False,
    "j": {"é": [1, {"x": None}], "big": 12345678901234567890},
    "a": ["x", "", None, "a,b", "NULL", '"', "\\"],
    "n": [1, None, -3],
    "d": "2020-02-29",
    "z": "2020-01-01T00:00:00.123456+00:00",
}
EMPTY: dict[str, Any] = dict.fromkeys(FULL) | {"id": 2, "t": "", "a": [], "j": ""}


@pytest.fixture
def filled(catalog: Any) -> Any:
    catalog.make_table("T", COLUMNS, [["id"]])
    catalog.insert("T", FULL, EMPTY)
    return catalog


def test_json_and_streams_give_back_what_was_written(filled: Any) -> None:
    names = ",".join(COLUMNS)
    assert filled.rows(f"/attribute/S:T/{names}@sort(id)") == [FULL, EMPTY]
    stream = filled.send("GET", f"/attribute/S:T/{names}@sort(id)", headers={"accept": "application/x-json-stream"})
    assert [json.loads(line) for line in stream.text.splitlines()] == [FULL, EMPTY]


def test_csv_can_be_written_back(filled: Any, make_catalog: Any) -> None:
    text = filled.send("GET", "/entity/S:T@sort(id)", headers={"accept": "text/csv"}).text
    other = make_catalog()
    other.make_table("T", COLUMNS, [["id"]])
    answer = other.send("POST", "/entity/S:T", content=text.encode(), headers={"content-type": "text/csv"})
    assert answer.status_code == 200, answer.text
    names = ",".join(COLUMNS)
    assert other.rows(f"/attribute/S:T/{names}@sort(id)") == [FULL, EMPTY]
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0][5:] == list(COLUMNS)
    assert rows[1][5:9] == ["1", FULL["t"], str(2**63 - 1), "0.1"]


def test_each_value_is_found_by_itself(filled: Any) -> None:
    for condition in ("t=", "i=9223372036854775807", "f=0.1", "b=f", "a=a%2Cb", "n=-3", "d=2020-02-29", "j=%22%22",
                      "z=2020-01-01%2001:00:00.123456%2B01".replace(":", "%3A")):  # fmt: skip
        found = filled.rows(f"/attribute/S:T/{condition}/id")
        assert found == [{"id": 2 if condition in ("t=", "j=%22%22") else 1}], condition


def test_arrays_of_rows(filled: Any) -> None:
    found = filled.rows("/attributegroup/S:T/x:=b;all:=array(*)@sort(x)")
    assert found[0]["all"][0] == {**found[0]["all"][0], **FULL}
    assert found[1]["x"] is None


def test_a_snapshot_does_not_change(filled: Any) -> None:
    at = filled.snaptime()
    url = f"{filled.base}@{at}/entity/S:T@sort(id)"
    first = filled.http.get(url).content
    filled.send("PUT", "/attributegroup/S:T/id;t,f", [{"id": 1, "t": "new", "f": 5}])
    filled.send("DELETE", "/entity/S:T/id=2")
    filled.insert("T", EMPTY | {"id": 3})
    filled.send("DELETE", "/schema/S/table/T/column/j")
    filled.send("PUT", "/attributegroup/S:T/id;t", [{"id": 1, "t": "newer"}])
    assert filled.http.get(url).content == first
    filled.send("DELETE", "/schema/S/table/T")
    assert filled.http.get(url).content == first


def test_one_time_for_a_request(filled: Any) -> None:
    made = filled.insert("T", FULL | {"id": 4}, FULL | {"id": 5})
    assert len({row["RMT"] for row in made} | {row["RCT"] for row in made}) == 1
    assert filled.rows("/attribute/S:T/id=4/RMT") == [{"RMT": made[0]["RMT"]}]
    changed = filled.send("PUT", "/attributegroup/S:T/id;t", [{"id": 4, "t": FULL["t"]}])
    assert changed.status_code == 200
    again = filled.rows("/entity/S:T/id=4")[0]
    assert again["RCT"] == made[0]["RCT"]
    assert again["RMT"] > made[0]["RMT"]


def test_duplicates_within_a_request(filled: Any) -> None:
    assert filled.send("POST", "/entity/S:T", [{"id": 7}, {"id": 7}]).status_code == 400
    assert filled.send("PUT", "/attributegroup/S:T/id;t", [{"id": 1, "t": "a"}, {"id": 1, "t": "b"}]).status_code == 400


def test_duplicates_far_apart(catalog: Any) -> None:
    catalog.make_table("T", {"id": "int4!"}, [["id"]])
    text = "id\n" + "".join(f"{n}\n" for n in range(7000)) + "3\n"
    for query in ("", "?onconflict=skip"):
        answer = catalog.send(
            "POST", f"/entity/S:T{query}", content=text.encode(), headers={"content-type": "text/csv"}
        )
        assert answer.status_code == 400
    assert catalog.rows("/aggregate/S:T/n:=cnt(*)") == [{"n": 0}]


@pytest.mark.parametrize("kind", ["text/csv", "application/json", "application/x-json-stream"])
@pytest.mark.parametrize("there", [(), (3,), (6000,), (3, 6000)], ids=["none", "early", "late", "both"])
def test_the_answer_has_what_was_inserted_and_not_what_was_skipped(catalog: Any, there: tuple[int], kind: str) -> None:
    catalog.make_table("T", {"id": "int4!", "v": "text"}, [["id"]])
    if there:
        catalog.insert("T", *({"id": n, "v": "old"} for n in there))
    text = "id,v\n" + "".join(f"{n},value {n}\n" for n in range(7000))
    headers = {"content-type": "text/csv", "accept": kind}
    answer = catalog.send("POST", "/entity/S:T?onconflict=skip", content=text.encode(), headers=headers)
    read_back = catalog.send("GET", "/entity/S:T?limit=none", headers={"accept": kind})
    assert answer.status_code == 200
    if kind == "text/csv":
        got = list(csv.DictReader(io.StringIO(answer.text)))
    else:
        got = answer.json() if kind == "application/json" else [json.loads(line) for line in answer.text.splitlines()]
    assert [int(row["id"]) for row in got] == [n for n in range(7000) if n not in there]
    assert {row["v"] for row in got} == {f"value {n}" for n in range(7000) if n not in there}
    if not there:
        # the two break lines between objects of JSON elsewhere
        assert answer.content.replace(b"\n", b"") == read_back.content.replace(b"\n", b"")


def test_leases(catalog: Any, embedded_server: Any) -> None:
    catalog.make_table("T", {"v": "text"}, [])
    lease = catalog.send("POST", "/entity/public:ERMrest_RID_Lease", [{"ID": "one"}]).json()[0]["RID"]
    assert catalog.insert("T", {"RID": lease, "v": "x"}, query="?nondefaults=RID")[0]["RID"] == lease
    assert catalog.rows("/entity/public:ERMrest_RID_Lease") == []
    assert catalog.rows(f"/entity_rid/{lease}")["table_name"] == "T"


def test_large_answers_are_streamed_and_complete(catalog: Any) -> None:
    catalog.make_table("T", {"id": "int4!", "v": "text"}, [["id"]])
    text = "id,v\n" + "".join(f"{n},value {n}\n" for n in range(12_345))
    answer = catalog.send("POST", "/entity/S:T", content=text.encode(), headers={"content-type": "text/csv"})
    assert len(answer.text.splitlines()) == 12_346
    assert [row["id"] for row in catalog.rows("/attribute/S:T/id@sort(id)")] == list(range(12_345))
    assert catalog.rows("/aggregate/S:T/n:=cnt(*),d:=cnt_d(v)") == [{"n": 12_345, "d": 12_345}]


def test_put_of_entities(filled: Any) -> None:
    changed = filled.send("PUT", "/entity/S:T", [{**FULL, "t": "put"}])
    assert changed.json() == [{**FULL, "t": "put"}]
    both = filled.send("PUT", "/entity/S:T", [{**FULL, "t": "again"}, {**FULL, "id": 9}]).json()
    assert both[0] == {**FULL, "t": "again"}
    assert {name: both[1][name] for name in FULL} == {**FULL, "id": 9}
    assert both[1]["RCT"] == both[1]["RMT"]
    text = filled.send("PUT", "/entity/S:T", [FULL, {**FULL, "id": 10}], headers={"accept": "text/csv"}).text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["id"], row["RID"] == "") for row in rows] == [("1", True), ("10", False)]


def test_a_wide_table(catalog: Any) -> None:
    names = [f"c{n}" for n in range(130)]
    catalog.make_table("Wide", {"id": "int4!"} | dict.fromkeys(names, "text"), [["id"]])
    row = {"id": 1} | {name: None if n % 3 else f"v,{n}" for n, name in enumerate(names)}
    catalog.insert("Wide", row)
    (group,) = catalog.rows("/attributegroup/S:Wide/id;rows:=array(*)")
    assert {name: group["rows"][0][name] for name in row} == row
    text = catalog.send("GET", "/entity/S:Wide", headers={"accept": "text/csv"}).text
    (line,) = csv.DictReader(io.StringIO(text))
    assert {name: line[name] for name in names} == {name: row[name] or "" for name in names}


@pytest.mark.parametrize(
    "path",
    [
        "/attribute/S:T/" + ",".join(f"o{n}:=id" for n in range(2500)),
        "/entity/S:T" + "/(id)=(S:T:id)" * 70,
        "/entity/S:T/" + "!(" * 60 + "id=1" + ")" * 60,
        "/entity/S:T@sort(" + ",".join(["id"] * 60) + ")",
    ],
)
def test_what_is_too_much_is_malformed(filled: Any, path: str) -> None:
    assert filled.send("GET", path).status_code == 400


def test_deep_and_broad_requests_that_are_answered(filled: Any) -> None:
    at = filled.snaptime()
    joins = "/entity/S:T" + "/(id)=(S:T:id)" * 50
    assert len(filled.rows(joins)) == 2
    assert len(filled.http.get(f"{filled.base}@{at}{joins}").json()) == 2
    assert filled.rows("/attribute/S:T/" + "/".join(f"!id={n}" for n in range(3, 3000)) + "/id@sort(id)") == [
        {"id": 1},
        {"id": 2},
    ]


def test_a_plain_column_of_a_group_is_its_first_value_that_is_not_null(catalog: Any) -> None:
    catalog.make_table("T", {"id": "int4!", "g": "text", "v": "float8", "a": "text[]"}, [["id"]])
    none = {"id": 1, "g": "x", "v": None, "a": None}
    catalog.insert("T", none, {"id": 2, "g": "x", "v": 0.1, "a": ["p"]}, {"id": 3, "g": "y", "v": 2, "a": None})
    found = catalog.rows("/attributegroup/S:T/g;v,a@sort(g)")
    assert found == [{"g": "x", "v": 0.1, "a": ["p"]}, {"g": "y", "v": 2, "a": None}]


def test_an_unknown_sort_key_of_entities_is_an_unknown_column(catalog: Any) -> None:
    catalog.make_table("T", {"id": "int4!"}, [["id"]])
    assert catalog.send("GET", "/entity/S:T@sort(nope)").status_code == 409
    assert catalog.send("GET", "/attribute/S:T/id@sort(nope)").status_code == 400


def test_arrays_in_csv_may_be_json_without_blanks(filled: Any) -> None:
    answer = filled.send("GET", "/attribute/S:T/id=1/n,a?arrays=json", headers={"accept": "text/csv"})
    assert list(csv.reader(io.StringIO(answer.text)))[1] == ["[1,null,-3]", r'["x","",null,"a,b","NULL","\"","\\"]']


def test_rows_of_defaults_only_are_refused_not_lost(catalog: Any) -> None:
    catalog.make_table("D", {"name": "text"}, [])
    assert catalog.send("POST", "/entity/S:D?defaults=name", json=[{}, {}]).status_code == 409
    assert len(catalog.send("POST", "/entity/S:D", json=[{}, {"name": None}]).json()) == 2


@pytest.mark.parametrize("form", ["application/json", "application/x-json-stream"])
def test_an_array_that_a_row_does_not_name_is_empty_all_else_is_null(catalog: Any, form: str) -> None:
    """As ERMrest reads its bodies: the members of no array are none, while a null stays null."""
    catalog.make_table("T", COLUMNS, [["id"]])
    rows: list[dict[str, Any]] = [{"id": 1}, {"id": 2, "a": None, "n": None}]
    many = "".join(json.dumps(row) + "\n" for row in rows)
    body = json.dumps(rows) if form == "application/json" else many
    stored = catalog.send("POST", "/entity/S:T", content=body.encode(), headers={"content-type": form})
    assert stored.status_code == 200, stored.text
    blank = dict.fromkeys(COLUMNS)
    names = ",".join(COLUMNS)
    assert catalog.rows(f"/attribute/S:T/{names}@sort(id)") == [
        blank | {"id": 1, "a": [], "n": []},
        blank | {"id": 2},
    ]
    changed = catalog.send("PUT", "/attributegroup/S:T/id;n,t", json=[{"id": 2}])
    assert changed.json() == [{"id": 2, "n": [], "t": None}]


@pytest.mark.parametrize("request_path", ["id,other:=id;t", "id;a:=t,b:=t", "id;t,t", "t,t:=id;i"])
def test_an_update_names_each_column_once(filled: Any, request_path: str) -> None:
    body = [{"id": 1, "other": 1, "t": "x", "a": "x", "b": "x", "i": 1}]
    assert filled.send("PUT", f"/attributegroup/S:T/{request_path}", json=body).status_code == 400


def test_put_to_a_table_of_keys_alone_answers_the_rows_that_were_there(catalog: Any) -> None:
    """They have nothing to change but their RMT, and that changes."""
    catalog.make_table("K", {"a": "int4!", "b": "text!"}, [["a"], ["b"]])
    catalog.insert("K", {"a": 1, "b": "x"}, {"a": 2, "b": "y"})
    rows = catalog.send("PUT", "/entity/S:K", json=[{"a": 1, "b": "x"}, {"a": 3, "b": "z"}, {"a": 2, "b": "z"}]).json()
    assert [(row["a"], row["b"], "RID" in row) for row in rows] == [(1, "x", False), (3, "z", True)]
    moved = [row["RCT"] != row["RMT"] for row in catalog.rows("/entity/S:K@sort(a)")]
    assert moved == [True, False, False]
