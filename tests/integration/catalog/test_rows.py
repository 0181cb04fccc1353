"""Rows over real HTTP: exact values, conflicts, leases, compare-and-swap."""

from __future__ import annotations

from typing import Any

import pytest

from deriva_ml_prefect.catalog import documents
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.rows import (
    JSON_ROWS,
    delete_rows,
    get_rows,
    insert_rows,
    insert_with_rid,
    lease_rids,
    new_token,
    row_by_rid,
    rows_where_any,
    snaptime,
    swap_column,
    update_rows,
)
from deriva_ml_prefect.catalog.tables import create_tables
from deriva_ml_prefect.catalog.urls import equals, table_name
from deriva_ml_prefect.exceptions import DerivaMLCatalogConflict, DerivaMLDataError, DerivaMLValidationError

REF = ("demo", "odd name; with:signs,é")
COLUMNS = ("text col", "number", "flag", "list", "n/a?")


@pytest.fixture(scope="module", autouse=True)
def table(shared: Catalog) -> None:
    columns = [
        documents.column("text col", "text"),
        documents.column("number", "float8"),
        documents.column("flag", "boolean"),
        documents.column("list", "text[]"),
        documents.column("n/a?", "int8", default=7),
    ]
    create_tables(
        shared, [documents.table_document(*REF, columns=columns, keys=[documents.key(["text col", "number"])])]
    )


def stored(catalog: Catalog, rid: str) -> dict[str, Any]:
    row = row_by_rid(catalog, REF, rid)
    assert row is not None
    return {name: row[name] for name in COLUMNS}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "NULL",
        "null",
        " ",
        '"',
        "'",
        "a,b",
        "line\nbreak",
        "cr\r\nlf",
        "tab\t",
        "\\N",
        "\\.",
        "é漢字🧪",
        "{}",
        "a=b&c;d",
        "x" * 100_000,
    ],
)
@pytest.mark.parametrize("many", [False, True], ids=["json", "csv"])
def test_texts_come_back_exactly(shared: Catalog, text: str, many: bool) -> None:
    first = {"text col": text, "number": float(many), "flag": None, "n/a?": None}
    filler = [{"text col": f"filler {text[:20]} {i}", "number": 9.0 + many} for i in range(JSON_ROWS * many)]
    rows = insert_rows(shared, REF, [first, *filler])
    assert len(rows) == 1 + len(filler)
    (row,) = [row for row in rows if row["text col"] == text]
    assert stored(shared, row["RID"]) == {
        "text col": text,
        "number": float(many),
        "flag": None,
        "list": None,  # said outright: of an array that a row of JSON does not name the server makes an empty one
        "n/a?": None,
    }
    (found,) = (
        get_rows(shared, f"entity/{table_name(*REF)}/{equals('text col', text)}/{equals('number', float(many))}")
        if len(text) < 5000
        else (row,)
    )
    assert found["RID"] == row["RID"]
    delete_rows(shared, table_name(*REF))


@pytest.mark.parametrize("value", [0.1, 1e-300, 123456789.123456789, -0.0, 1e22])
@pytest.mark.parametrize("many", [False, True], ids=["json", "csv"])
def test_numbers_and_truth_come_back_exactly(shared: Catalog, value: float, many: bool) -> None:
    row = {"text col": "number", "number": value, "flag": many, "n/a?": 2**53 + 1}
    filler = [{"text col": f"filler {i}", "number": 1.0} for i in range(JSON_ROWS * many)]
    (rid,) = [r["RID"] for r in insert_rows(shared, REF, [row, *filler]) if r["text col"] == "number"]
    found = stored(shared, rid)
    assert (found["number"], found["flag"], found["n/a?"]) == (value, many, 2**53 + 1)
    delete_rows(shared, table_name(*REF))


def test_arrays_and_defaults(shared: Catalog) -> None:
    (row,) = insert_rows(shared, REF, [{"text col": "list", "list": ["a,b", 'q"', ""]}], defaults=("n/a?",))
    assert row["list"] == ["a,b", 'q"', ""]
    assert row["n/a?"] == 7


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "a\0b", "\ud800"])
def test_what_cannot_be_stored_is_refused_before_sending(shared: Catalog, value: object) -> None:
    before = shared.client.requests
    with pytest.raises(DerivaMLValidationError):
        insert_rows(shared, REF, [{"text col": value, "number": 1}])
    assert shared.client.requests == before


def test_bad_value_is_a_data_error_that_names_the_request(shared: Catalog) -> None:
    with pytest.raises(DerivaMLDataError, match=r"POST .*400"):
        insert_rows(shared, REF, [{"number": "not a number"}])


def test_skip_conflicts_leaves_out_what_is_there(shared: Catalog) -> None:
    insert_rows(shared, REF, [{"text col": "skip", "number": 1}])
    rows = insert_rows(
        shared, REF, [{"text col": "skip", "number": 1}, {"text col": "skip", "number": 2}], skip_conflicts=True
    )
    assert [row["number"] for row in rows] == [2]
    with pytest.raises(DerivaMLCatalogConflict):
        insert_rows(shared, REF, [{"text col": "skip", "number": 1}])


def test_update_and_lists_of_values(shared: Catalog) -> None:
    rows = insert_rows(shared, REF, [{"text col": f"upd {i}", "number": 1} for i in range(700)])
    rids = [row["RID"] for row in rows]
    changed = update_rows(shared, REF, [{"RID": rid, "number": 5.5, "text col": None} for rid in rids[:3]])
    assert len(changed) == 3
    assert update_rows(shared, REF, [{"RID": "ZZZZ-ZZZZ", "number": 1}]) == []
    found = rows_where_any(shared, REF, "RID", rids)
    assert len(found) == 700
    assert sorted(row["number"] for row in found)[-3:] == [5.5] * 3


def test_swap_once(shared: Catalog) -> None:
    (row,) = insert_rows(shared, REF, [{"text col": "start", "number": 77}])
    rid = row["RID"]
    also = {"n/a?": 1}
    assert swap_column(shared, REF, rid, "text col", expected="start", target="next", also=also)
    assert not swap_column(shared, REF, rid, "text col", expected="start", target="late", also={"n/a?": 2})
    assert stored(shared, rid)["text col"] == "next"
    assert stored(shared, rid)["n/a?"] == 1
    assert swap_column(shared, REF, rid, "text col", expected="next", target=None)
    assert swap_column(shared, REF, rid, "text col", expected=None, target="from null")


def test_swap_of_equal_values_moves_rmt_only(shared: Catalog) -> None:
    (row,) = insert_rows(shared, REF, [{"text col": "beat", "number": 78}])
    assert swap_column(shared, REF, row["RID"], "text col", expected="beat", target="beat")
    after = row_by_rid(shared, REF, row["RID"])
    assert after is not None
    assert after["RMT"] > row["RMT"]
    assert {k: v for k, v in after.items() if k != "RMT"} == {k: v for k, v in row.items() if k != "RMT"}


def test_leases_are_found_again_by_token(shared: Catalog) -> None:
    tokens = [new_token() for _ in range(501)]
    rids = lease_rids(shared, tokens)
    assert len(set(rids)) == 501
    assert lease_rids(shared, tokens[::-1]) == rids[::-1]


def test_insert_with_rid_once_and_only_the_same(shared: Catalog) -> None:
    (rid,) = lease_rids(shared, [new_token()])
    values = {"text col": "once", "number": 3}
    first = insert_with_rid(shared, REF, rid, values)
    assert first["RID"] == rid
    assert insert_with_rid(shared, REF, rid, values) == first
    with pytest.raises(DerivaMLCatalogConflict, match="text col"):
        insert_with_rid(shared, REF, rid, {"text col": "other", "number": 3})
    (other,) = lease_rids(shared, [new_token()])
    with pytest.raises(DerivaMLCatalogConflict):
        insert_with_rid(shared, REF, other, values)


def test_snapshots_show_the_past(shared: Catalog) -> None:
    (row,) = insert_rows(shared, REF, [{"text col": "past", "number": 1}])
    then = snaptime(shared)
    update_rows(shared, REF, [{"RID": row["RID"], "text col": "present"}])
    path = f"entity/{table_name(*REF)}/{equals('RID', row['RID'])}"
    assert get_rows(shared, path, snapshot=then)[0]["text col"] == "past"
    assert get_rows(shared, path)[0]["text col"] == "present"


@pytest.mark.parametrize("typename", ["json", "jsonb"])
@pytest.mark.parametrize("many", [False, True], ids=["json", "csv"])
def test_a_text_in_a_json_column_stays_a_text(shared: Catalog, typename: str, many: bool) -> None:
    """However many rows go with it: `5` is no number, `null` is not nothing."""
    ref = ("demo", f"{typename}_{many}")
    columns = [documents.column("k", "int4"), documents.column("v", typename)]
    create_tables(shared, [documents.table_document(*ref, columns=columns)])
    shared.refresh()
    values = ["5", "null", "true", "abc", "", '"q"', "é\n,", 5, 1.5, True, None]
    filler = [None] * (JSON_ROWS * many)
    insert_rows(shared, ref, [{"k": i, "v": value} for i, value in enumerate([*values, *filler])])
    held = get_rows(shared, f"entity/{table_name(*ref)}@sort(k)?limit={len(values)}")
    assert [(type(row["v"]), row["v"]) for row in held] == [(type(value), value) for value in values]
    for wrong in ("a\0b", "\ud800"):
        with pytest.raises(DerivaMLValidationError):
            insert_rows(shared, ref, [{"k": 1, "v": wrong}, *[{"k": 0, "v": None}] * len(filler)])
