"""Schemas, tables, columns, keys and foreign keys made from documents."""

from __future__ import annotations

from typing import Any

import pytest


def test_catalog_begins_with_the_schema_public(door: Any) -> None:
    assert set(door.get("/schema")["schemas"]) == {"public"}
    client = door.get("/schema/public/table/ERMrest_Client")
    assert [column["name"] for column in client["column_definitions"]][5:] == [
        "ID", "Display_Name", "Full_Name", "Email", "Client_Object",
    ]  # fmt: skip


def test_owner_has_a_client_row_to_which_rcb_can_refer(door: Any) -> None:
    rows = door.get("/entity/public:ERMrest_Client")
    assert [row["ID"] for row in rows] == [door.client.id]


def test_foreign_keys_of_one_request_may_form_a_cycle(door: Any, documents: Any) -> None:
    needed = {"type": {"typename": "int4"}, "nullok": False}
    tables = {
        name: documents.table(name, {"id": needed, "to": "int4"}, [["id"]])
        | {"foreign_keys": [documents.fkey([("S", name, "to")], [("S", target, "id")])]}
        for name, target in (("A", "B"), ("B", "A"))
    }
    made = door.post("/schema", {"schemas": {"S": {"tables": tables}}})
    assert made.status == 201
    shown = made.json()["schemas"]["S"]["tables"]
    assert {name: shown[name]["foreign_keys"][0]["names"] for name in shown} == {
        "A": [["S", "A_to_fkey"]],
        "B": [["S", "B_to_fkey"]],
    }


def test_one_wrong_table_leaves_nothing_of_the_request(door: Any, documents: Any) -> None:
    tables = {"A": documents.table("A", {}, []), "B": documents.table("B", {"x": "nosuchtype"}, [])}
    before = door.snaptime()
    assert door.post("/schema", {"schemas": {"S": {"tables": tables}}}).status == 409
    assert set(door.get("/schema")["schemas"]) == {"public"}
    assert door.snaptime() == before


def test_list_of_documents_is_answered_as_a_list(door: Any, documents: Any) -> None:
    fkey = documents.fkey([("S", "T", "RCB")], [("public", "ERMrest_Client", "ID")], names=[["elsewhere", "mine"]])
    made = door.post("/schema", [{"schema_name": "S"}, documents.table("T", {}, [], schema_name="S"), fkey])
    assert made.status == 201
    schema, table, key = made.json()
    assert (schema["schema_name"], table["table_name"], key["names"]) == ("S", "T", [["S", "mine"]])


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("integer", "int4"),
        ("bigint", "int8"),
        ("bool", "boolean"),
        ("double precision", "float8"),
        ("serial", "serial4"),
    ],
)
def test_spellings_of_sql_are_made_canonical(door: Any, documents: Any, spelling: str, canonical: str) -> None:
    door.post("/schema/S")
    door.post("/schema/S/table", documents.table("T", {"v": spelling}, []))
    assert door.get("/schema/S/table/T/column/v")["type"] == {"typename": canonical}


def test_array_type_needs_its_base_type(door: Any, documents: Any) -> None:
    door.post("/schema/S")
    door.post("/schema/S/table", documents.table("T", {}, []))
    array = {"typename": "text[]", "is_array": True, "base_type": {"typename": "text"}}
    assert door.post("/schema/S/table/T/column", {"name": "v", "type": array}).json()["type"] == array
    assert door.post("/schema/S/table/T/column", {"name": "w", "type": {"typename": "text[]"}}).status == 409


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"column_definitions": []}, 400),
        ({"keys": []}, 400),
        ({"keys": [{"unique_columns": ["RID"]}, {"unique_columns": ["nope"]}]}, 400),
        ({"keys": [{"unique_columns": ["RID"]}, {"unique_columns": ["RID"]}]}, 409),
        ({"kind": "view"}, 409),
        ({"table_name": "x" * 64}, 400),
        ({"table_name": None}, 400),
        ({"comment": 5}, 400),
        ({"annotations": []}, 400),
        ({"acls": {"owner": ["*"]}}, 400),
        ({"acls": {"bogus": []}}, 409),
    ],
)
def test_wrong_table_documents(door: Any, documents: Any, change: dict[str, Any], status: int) -> None:
    door.post("/schema/S")
    assert door.post("/schema/S/table", documents.table("T", {}, []) | change).status == status
    assert door.send("GET", "/schema/S/table/T").status == 404


def test_new_column_gives_its_default_to_the_rows_there_are(pair: Any) -> None:
    pair.post("/entity/S:P", [{"id": 1, "x": "a"}, {"id": 2, "x": "b"}])
    new = {"name": "n", "type": {"typename": "int8"}, "nullok": False, "default": 7}
    assert pair.post("/schema/S/table/P/column", new).status == 201
    assert pair.get("/attribute/S:P/n") == [{"n": 7}, {"n": 7}]
    assert pair.post("/schema/S/table/P/column", {**new, "name": "m", "default": None}).status == 409
    assert pair.post("/schema/S/table/P/column", {**new, "name": "m", "default": "seven"}).status == 400


def test_new_serial_column_numbers_the_rows_there_are(pair: Any) -> None:
    pair.post("/entity/S:P", [{"id": 1}, {"id": 2}])
    serial = {"name": "n", "type": {"typename": "serial8"}, "nullok": False}
    assert pair.post("/schema/S/table/P/column", serial).status == 201
    pair.post("/entity/S:P?defaults=n", [{"id": 3}])
    assert sorted(row["n"] for row in pair.get("/attribute/S:P/n")) == [1, 2, 3]


def test_key_on_equal_rows_is_refused_and_leaves_no_trace(pair: Any) -> None:
    pair.post("/entity/S:P", [{"id": 1, "x": "a"}, {"id": 2, "x": "a"}])
    assert pair.post("/schema/S/table/P/key", {"unique_columns": ["x"]}).status == 409
    assert pair.send("GET", "/schema/S/table/P/key/x").status == 404
    pair.delete("/entity/S:P/id=2")
    assert pair.post("/schema/S/table/P/key", {"unique_columns": ["x"]}).status == 201
    assert pair.post("/entity/S:P", [{"id": 3, "x": "a"}]).status == 409


def test_long_names_of_constraints_are_shortened_and_numbered(door: Any, documents: Any) -> None:
    door.post("/schema/S")
    long = "é" * 30
    needed = {"type": {"typename": "int4"}, "nullok": False}
    door.post("/schema/S/table", documents.table(long, {long: needed, "b": needed}, [[long], [long, "b"]]))
    names = [key["names"][0][1] for key in door.get("/schema/S/table/" + "%C3%A9" * 30)["keys"]]
    assert len(set(names)) == 3
    assert all(len(name.encode()) <= 63 and name.endswith("_key") for name in names)


def test_invented_names_are_new_in_the_whole_catalog(door: Any, documents: Any) -> None:
    column = {"type": {"typename": "int4"}, "nullok": False}
    for schema in ("S", "T"):
        door.post(f"/schema/{schema}")
        door.post(f"/schema/{schema}/table", documents.table("File", {"u": column}, [["u"]]))
    names = {
        schema: sorted(key["names"][0][1] for key in door.get(f"/schema/{schema}/table/File")["keys"])
        for schema in ("S", "T")
    }
    assert names == {"S": ["File_RID_key", "File_u_key"], "T": ["File_RID_key1", "File_u_key1"]}
