"""PUT changes what its document names and nothing else."""

from __future__ import annotations

from typing import Any

import pytest


def test_absent_fields_stay_and_null_clears(pair: Any) -> None:
    pair.put("/schema/S/table/P", {"comment": "about P", "annotations": {"tag:x": 1}, "acls": {"select": ["*"]}})
    changed = pair.put("/schema/S/table/P", {"annotations": {}}).json()
    assert (changed["comment"], changed["annotations"], changed["acls"]) == ("about P", {}, {"select": ["*"]})
    assert pair.put("/schema/S/table/P", {"comment": None}).json()["comment"] is None


def test_renamed_and_moved_table_keeps_rows_and_constraints(pair: Any) -> None:
    pair.post("/schema/Other")
    pair.post("/entity/S:P", [{"id": 1, "x": "a"}])
    pair.post("/entity/S:C", [{"p": 1}])
    moved = pair.put("/schema/S/table/P", {"table_name": "Parent", "schema_name": "Other", "comment": "at once"})
    assert moved.status == 200
    assert moved.json()["comment"] == "at once"
    assert moved.json()["keys"][1]["names"] == [["Other", "P_id_key"]]
    assert [row["id"] for row in pair.get("/entity/Other:Parent")] == [1]
    (fkey,) = pair.get("/schema/S/table/C/foreignkey/p/reference/Other:Parent/id")
    assert fkey["referenced_columns"] == [{"schema_name": "Other", "table_name": "Parent", "column_name": "id"}]
    assert pair.delete("/entity/Other:Parent/id=1").status == 409


def test_renamed_schema_takes_its_tables_along(pair: Any) -> None:
    assert pair.put("/schema/S", {"schema_name": "S2"}).status == 200
    (fkey,) = pair.get("/schema/S2/table/C/foreignkey/p/reference/S2:P/id")
    assert fkey["names"] == [["S2", "C_p_fkey"]]
    assert pair.send("GET", "/schema/S").status == 404
    assert pair.put("/schema/S2", {"schema_name": "public"}).status == 409


def test_renamed_column_is_followed_by_keys_and_foreign_keys(pair: Any) -> None:
    assert pair.put("/schema/S/table/P/column/id", {"name": "number"}).json()["name"] == "number"
    table = pair.get("/schema/S/table/P")
    assert [column["name"] for column in table["column_definitions"]][5:] == ["number", "x"]
    assert [key["unique_columns"] for key in table["keys"]] == [["RID"], ["number"], ["number", "x"]]
    assert pair.get("/schema/S/table/C/foreignkey/p/reference/S:P/number")
    assert pair.put("/schema/S/table/P/column/number", {"name": "x"}).status == 409


@pytest.mark.parametrize(
    ("first", "value", "second", "result"),
    [
        ("text", "12", "int4", 12),
        ("int4", 12, "text", "12"),
        ("float8", 2.5, "int4", 2),
        ("int4", 1, "boolean", True),
        ("boolean", True, "int4", 1),
        ("text", "", "markdown", ""),
        ("timestamptz", "2026-01-02T03:04:05+00:00", "date", "2026-01-02"),
        ("text", "x", "int4", None),
        ("int8", 2**40, "int4", None),
    ],
)
def test_retyped_column_converts_its_values(pair: Any, first: str, value: Any, second: str, result: Any) -> None:
    pair.post("/schema/S/table/P/column", {"name": "v", "type": {"typename": first}})
    pair.post("/entity/S:P", [{"id": 1, "v": value}, {"id": 2, "v": None}])
    before = pair.snaptime()
    answer = pair.put("/schema/S/table/P/column/v", {"type": {"typename": second}})
    if result is None:
        assert answer.status == 409
        assert pair.get("/attribute/S:P/id,v@sort(id)") == [{"id": 1, "v": value}, {"id": 2, "v": None}]
        return
    assert answer.status == 200
    assert pair.get("/attribute/S:P/id,v@sort(id)") == [{"id": 1, "v": result}, {"id": 2, "v": None}]
    past = pair.at(f"{pair.base}@{before}")
    assert past.get("/attribute/S:P/id,v@sort(id)") == [{"id": 1, "v": value}, {"id": 2, "v": None}]


def test_retyped_key_column_stays_unique(pair: Any) -> None:
    pair.delete("/schema/S/table/C")
    pair.post("/entity/S:P", [{"id": 1, "x": "a"}])
    assert pair.put("/schema/S/table/P/column/id", {"type": {"typename": "text"}}).status == 200
    assert pair.post("/entity/S:P", [{"id": "1", "x": "b"}]).status == 409


def test_type_of_a_referenced_column_cannot_part_from_its_foreign_key(pair: Any) -> None:
    assert pair.put("/schema/S/table/P/column/id", {"type": {"typename": "text"}}).status == 409
    assert pair.put("/schema/S/table/P/column/id", {"type": {"typename": "int8"}}).status == 200


def test_not_null_needs_rows_without_null(pair: Any) -> None:
    pair.post("/entity/S:P", [{"id": 1, "x": None}])
    assert pair.put("/schema/S/table/P/column/x", {"nullok": False}).status == 409
    pair.put("/attributegroup/S:P/id;x", [{"id": 1, "x": "a"}])
    assert pair.put("/schema/S/table/P/column/x", {"nullok": False}).json()["nullok"] is False
    assert pair.post("/entity/S:P", [{"id": 2}]).status == 409


def test_system_columns_keep_their_nature(pair: Any) -> None:
    column = "/schema/S/table/P/column/RCB"
    shown = pair.get(column)
    assert pair.put(column, {**shown, "annotations": {"a": 1}}).json()["annotations"] == {"a": 1}
    for change in ({"name": "by"}, {"type": {"typename": "text"}}, {"default": "me"}, {"nullok": False}):
        assert pair.put(column, change).status == 409, change
    assert pair.delete(column).status == 409


def test_missing_elements_are_made_when_the_document_names_them(door: Any, documents: Any) -> None:
    assert door.put("/schema/S", {"schema_name": "S", "comment": "new"}).json()["comment"] == "new"
    assert door.put("/schema/S/table/T", documents.table("T", {"a": "int4"}, [])).status == 200
    assert door.put("/schema/S/table/T/column/b", {"name": "b", "type": {"typename": "text"}}).status == 200
    assert door.put("/schema/S/table/T/key/a", {"unique_columns": ["a"]}).status == 200
    assert door.put("/schema/S/table/U", {"comment": "no name"}).status == 400
