"""Rights to refer to rows and to change some rows only, and that names are looked up before rights are."""

from __future__ import annotations

from typing import Any

import pytest

FREE = [{"id": 8, "t1": None}, {"id": 9, "t1": None}]
BOUND = [{"id": 8, "t1": 1}, {"id": 9, "t1": 2}]
FKEY = "/schema/S/table/C/foreignkey/t1/reference/S:P/id"


@pytest.fixture
def guarded(door: Any, documents: Any) -> Any:
    """P(id, who) with rows 1 and 2, C(id, t1 → P.id) without rows; all is visible to all."""
    door.put("/acl", {**door.get("/acl"), "enumerate": ["*"], "select": ["*"]})
    assert door.post("/schema/S").status == 201
    parent = documents.table("P", {"id": "int4", "who": "text"}, [["id"]])
    assert door.post("/schema/S/table", parent).status == 201
    fkey = documents.fkey([("S", "C", "t1")], [("S", "P", "id")])
    child = documents.table("C", {"id": "int4", "t1": "int4"}, [["id"]], foreign_keys=[fkey])
    assert door.post("/schema/S/table", child).status == 201
    assert door.post("/entity/S:P", [{"id": 1, "who": "a"}, {"id": 2, "who": "b"}]).status == 200
    return door


def statuses(guarded: Any, other: Any) -> dict[str, int]:
    """What the client gets for writing rows of C without and with references."""
    found = {}
    for name, rows in (("free", FREE), ("bound", BOUND)):
        guarded.delete("/entity/S:C")
        found[f"insert {name}"] = other.post("/entity/S:C", rows).status
        guarded.delete("/entity/S:C")
        found[f"put {name}"] = other.put("/entity/S:C", rows).status
        guarded.put("/entity/S:C", FREE)
        found[f"put present {name}"] = other.put("/entity/S:C", rows).status
        guarded.put("/entity/S:C", FREE)
        found[f"update {name}"] = other.put("/attributegroup/S:C/id;t1", rows).status
    return found


WRITES = ("insert", "put", "put present", "update")
ALL = dict.fromkeys([f"{write} {rows}" for rows in ("free", "bound") for write in WRITES], 200)
NO_UPDATE = {"put bound": 403, "put present bound": 403, "update bound": 403}


@pytest.mark.parametrize(
    ("table", "fkey", "column", "refused"),
    [
        (["write"], {}, {}, {}),
        (["write"], {"insert": None, "update": []}, {}, NO_UPDATE),
        (["write"], {"insert": [], "update": None}, {}, {"insert bound": 403, "put bound": 403}),
        (
            ["write"],
            {},
            {"insert": None, "update": []},
            NO_UPDATE | dict.fromkeys(("put free", "put present free", "update free"), 403),
        ),
        (
            ["write"],
            {},
            {"insert": [], "update": None},
            dict.fromkeys(("insert free", "insert bound", "put free", "put bound"), 403),
        ),
        (["insert"], {}, {}, {name: 403 for name in ALL if not name.startswith("insert")}),
        (
            ["update"],
            {},
            {},
            {name: 403 for name in ALL if name.startswith("insert") or name in ("put free", "put bound")},
        ),
        ([], {}, {}, dict.fromkeys(ALL, 403)),
    ],
)
def test_what_may_be_written_with_and_without_references(
    guarded: Any, other: Any, table: list[str], fkey: Any, column: Any, refused: dict[str, int]
) -> None:
    """A reference needs the right on the foreign key, a PUT of rows that are there no right to insert."""
    me = [other.client.id]
    guarded.put("/schema/S/table/C/acl", {"select": ["*"]} | dict.fromkeys(table, me))
    for path, acls in ((FKEY, fkey), ("/schema/S/table/C/column/t1", column)):
        for name, members in acls.items():
            assert guarded.put(f"{path}/acl/{name}", me if members is None else members).status == 200
    assert statuses(guarded, other) == ALL | refused


def test_a_binding_of_a_foreign_key_allows_rows_that_name_the_client(guarded: Any, other: Any) -> None:
    guarded.put("/attributegroup/S:P/id;who", [{"id": 1, "who": other.client.id}])
    guarded.put("/schema/S/table/C/acl", {"select": ["*"], "write": [other.client.id]})
    guarded.put(f"{FKEY}/acl", {"insert": [], "update": []})
    binding = {"types": ["insert", "update"], "projection": "who", "projection_type": "acl", "scope_acl": ["*"]}
    assert guarded.put(f"{FKEY}/acl_binding/mine", binding).status == 200
    assert other.post("/entity/S:C", [{"id": 5, "t1": 1}, {"id": 6, "t1": None}]).status == 200
    assert other.post("/entity/S:C", [{"id": 7, "t1": 2}]).status == 403
    assert other.put("/attributegroup/S:C/id;t1", [{"id": 6, "t1": 1}]).status == 200
    assert other.put("/attributegroup/S:C/id;t1", [{"id": 6, "t1": 2}]).status == 403


def test_a_binding_of_a_table_allows_to_change_its_rows_and_no_others(guarded: Any, other: Any) -> None:
    guarded.put("/attributegroup/S:P/id;who", [{"id": 1, "who": other.client.id}])
    binding = {"types": ["update"], "projection": "who", "projection_type": "acl", "scope_acl": ["*"]}
    assert guarded.put("/schema/S/table/P/acl_binding/mine", binding).status == 200
    assert other.put("/attributegroup/S:P/id;who", [{"id": 2, "who": other.client.id}]).status == 403
    assert other.put("/attributegroup/S:P/id;who", [{"id": 1, "who": "x"}, {"id": 2, "who": "x"}]).status == 403
    assert other.put("/attributegroup/S:P/id;who", [{"id": 1, "who": "x"}]).status == 200
    assert [row["who"] for row in guarded.get("/entity/S:P@sort(id)")] == ["x", "b"]


def test_what_is_hidden_is_unknown_before_it_is_refused(guarded: Any, other: Any) -> None:
    guarded.put("/schema/S/table/P/column/id/acl", {"select": [], "enumerate": []})
    assert other.delete("/schema/S/table/P/column/id").status == 404
    assert other.delete("/schema/S/table/P/column/who").status == 403
    assert other.put("/attributegroup/S:P/id;who", []).status == 409
    assert other.delete("/attribute/S:P/id").status == 409
    assert other.post("/entity/S:P?defaults=id", []).status == 409
    short = "/schema/S/table/C/foreignkey/t1"
    assert [other.send("GET", path).status for path in (short, f"{short}/reference/S:P", FKEY)] == [404, 409, 409]
    assert other.delete(FKEY).status == 409
    guarded.put("/schema/S/table/P/acl", {"select": [], "enumerate": []})
    assert other.delete("/schema/S/table/P").status == 404
    assert other.delete("/schema/S/table/P/column/who").status == 409
    guarded.put("/schema/S/acl", {"select": [], "enumerate": []})
    assert other.delete("/schema/S").status == 404
    assert other.delete("/schema/S/table/P").status == 409


def test_parameters_of_post_mean_nothing_to_put(guarded: Any) -> None:
    rows = [{"RID": "ZZZZ", "id": 5, "t1": 1}]
    answer = guarded.put("/entity/S:C?defaults=t1&nondefaults=RID", rows).json()
    assert (answer[0]["t1"], answer[0]["RID"] == "ZZZZ") == (1, False)


def answered(client: Any, path: str) -> list[Any]:
    return [row["r"] for row in client.get(path)]


def test_rights_of_rows_and_of_their_columns(guarded: Any, other: Any) -> None:
    """`trs(RID)` and `tcrs(RID)`, by which user interfaces know what to offer."""
    system = dict.fromkeys(("RID", "RCT", "RMT", "RCB", "RMB"), False)
    full = {"delete": True, "update": True}
    assert answered(guarded, "/attribute/S:P/r:=trs(RID)@sort(r)") == [full, full]
    every = full | {"column_update": system | {"id": True, "who": True}}
    assert answered(guarded, "/attribute/A:=S:P/id=1/r:=tcrs(A:RID)") == [every]
    assert answered(guarded, "/attributegroup/S:P/id;r:=tcrs(RID)") == [every, every]
    assert answered(guarded, "/attributegroup/S:P/r:=trs(RID);n:=cnt(id)") == [full]
    none = {"delete": False, "update": False}
    past = guarded.at(f"{guarded.base}@{guarded.snaptime()}")
    assert answered(past, "/attribute/S:P/id=1/r:=trs(RID)") == [none]
    assert answered(other, "/attribute/S:P/id=1/r:=tcrs(RID)") == [
        none | {"column_update": system | {"id": False, "who": False}}
    ]
    csv = guarded.send("GET", "/attribute/S:P/id=1/RID:=id,r:=trs(RID)", accept="text/csv")
    assert csv.content.decode() == 'RID,r\n1,"{""delete"": true, ""update"": true}"\n'


def test_rights_that_depend_on_the_row(guarded: Any, other: Any) -> None:
    guarded.put("/attributegroup/S:P/id;who", [{"id": 1, "who": other.client.id}])
    binding = {"types": ["update"], "projection": "who", "projection_type": "acl", "scope_acl": ["*"]}
    guarded.put("/schema/S/table/P/acl_binding/mine", binding)
    guarded.put("/schema/S/table/P/column/id/acl_binding/mine", b"false")
    rights = answered(other, "/attribute/S:P/id,r:=tcrs(RID)@sort(id)")
    assert [each["update"] for each in rights] == [True, False]
    assert [each["delete"] for each in rights] == [False, False]
    assert [(each["column_update"]["who"], each["column_update"]["id"]) for each in rights] == [
        (True, False),
        (False, False),
    ]


@pytest.mark.parametrize(
    ("path", "status"),
    [("attribute/S:P/trs(id)", 409), ("attribute/S:P/trs(RID;1)", 400), ("aggregate/S:P/r:=trs(RID)", 400)],
)
def test_rights_of_what_has_none(guarded: Any, path: str, status: int) -> None:
    assert guarded.send("GET", f"/{path}").status == status


def test_a_binding_by_any_value_of_a_column(guarded: Any, other: Any) -> None:
    guarded.put("/attributegroup/S:P/id;who", [{"id": 1, "who": None}])
    guarded.put("/schema/S/table/P/acl", {"select": []})
    binding = {"types": ["update"], "projection": "who", "projection_type": "nonnull", "scope_acl": ["*"]}
    assert guarded.put("/schema/S/table/P/acl_binding/filled", binding).status == 200
    assert [row["id"] for row in other.get("/entity/S:P")] == [2]
    assert answered(other, "/attribute/S:P/r:=trs(RID)") == [{"delete": False, "update": True}]
    assert other.put("/attributegroup/S:P/id;who", [{"id": 1, "who": "x"}]).status == 403
    assert other.put("/attributegroup/S:P/id;who", [{"id": 2, "who": "x"}]).status == 200
