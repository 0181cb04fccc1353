"""Static ACLs on every kind of element, as three clients meet them."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def seen(pair: Any) -> Any:
    """The catalog, with all of its model visible to all and one row in P."""
    pair.post("/entity/S:P", [{"id": 1, "x": "a"}])
    pair.put("/acl/enumerate", ["*"])
    return pair


def test_without_rights_nothing_is_seen(pair: Any, other: Any) -> None:
    for path in ("", "/schema", "/schema/S/table/P", "/entity/S:P", "/entity/S:Nope"):
        assert other.send("GET", path).status == 403, path
        assert pair.of(None).send("GET", path).status == 401, path


def test_schema_acl_reaches_its_tables(seen: Any, other: Any) -> None:
    seen.put("/schema/S/acl/select", [other.client.id])
    assert len(other.get("/entity/S:P")) == 1
    assert seen.of(None).send("GET", "/entity/S:P").status == 401
    seen.put("/schema/S/table/P/acl/select", [])
    assert other.send("GET", "/entity/S:P").status == 403


def test_owner_of_a_table_may_change_it_and_no_other(seen: Any, other: Any) -> None:
    seen.put("/schema/S/table/P/acl/owner", [other.client.id])
    assert other.put("/schema/S/table/P/comment", b"mine").status == 204
    assert other.put("/schema/S/table/C/comment", b"not mine").status == 403
    assert "acls" in other.get("/schema/S/table/P")
    assert "acls" not in other.get("/schema/S/table/C")
    assert other.delete("/schema/S/table/P/acl/owner").status == 403  # would lock itself out


def test_creator_owns_what_it_makes(seen: Any, other: Any, documents: Any) -> None:
    seen.put("/acl/create", [other.client.id])
    assert other.post("/schema/Mine").status == 201
    assert seen.get("/schema/Mine")["acls"] == {"owner": [other.client.id]}
    assert other.post("/schema/S/table", documents.table("T", {}, [])).status == 201
    assert seen.get("/schema/S/table/T")["acls"] == {"owner": [other.client.id]}


def test_hidden_table_is_unknown(seen: Any, other: Any) -> None:
    seen.put("/schema/S/table/P/acl", {"enumerate": [], "select": []})
    assert set(other.get("/schema/S")["tables"]) == {"C"}
    assert other.send("GET", "/schema/S/table/P").status == 404
    assert other.send("GET", "/entity/S:P").status == 409
    assert other.get("/schema/S/table/C")["foreign_keys"] == []


def test_rights_are_shown_as_they_are(seen: Any, other: Any) -> None:
    seen.put("/schema/S/table/P/acl/update", [other.client.id])
    assert other.get("/schema/S/table/P")["rights"] == {
        "owner": False, "insert": False, "update": True, "delete": False, "select": True,
    }  # fmt: skip
    assert seen.get("/schema/S/table/P/column/RMT")["rights"]["update"] is False


def test_binding_is_completed_stored_and_makes_rights_depend_on_the_row(seen: Any, other: Any) -> None:
    binding = {"types": ["select"], "projection": "x"}
    stored = seen.put("/schema/S/table/P/acl_binding/own", binding).json()
    assert stored == {**binding, "projection_type": "acl", "scope_acl": ["*"]}
    assert other.get("/schema/S/table/P")["rights"]["select"] is None
    assert other.get("/entity/S:P") == []
    seen.post("/entity/S:P", [{"id": 2, "x": other.client.id}])
    assert [row["id"] for row in other.get("/entity/S:P")] == [2]


@pytest.mark.parametrize(
    ("binding", "status"),
    [
        ({"types": ["insert"], "projection": "x"}, 400),
        ({"types": [], "projection": "x"}, 400),
        ({"types": ["select"], "projection": "nope"}, 409),
        ({"types": ["select"], "projection": "id", "projection_type": "acl"}, 409),
        ({"types": ["select"], "projection": [{"outbound": ["S", "nope"]}, "x"]}, 409),
        ({"types": ["select"], "projection": [{"inbound": ["S", "C_p_fkey"]}, "px"]}, 200),
        ({"types": ["select"], "projection": "x", "more": 1}, 400),
        (True, 400),
        (False, 200),
    ],
)
def test_bindings_are_checked(pair: Any, binding: Any, status: int) -> None:
    assert pair.put("/schema/S/table/P/acl_binding/b", binding).status == status


def test_wildcard_only_where_it_lets_nobody_write(pair: Any) -> None:
    assert pair.put("/schema/S/acl/insert", ["*"]).status == 400
    assert pair.put("/schema/S/acl/select", ["*"]).status == 200
    fkey = "/schema/S/table/C/foreignkey/p/reference/S:P/id"
    assert pair.put(f"{fkey}/acl/insert", ["*"]).status == 200
    assert pair.send("GET", "/schema/S/table/P/key/id/acl").status == 404
    assert pair.send("GET", "/schema/S/acl_binding").status == 404


def test_bindings_of_a_foreign_key_name_columns_of_the_table_it_refers_to(pair: Any) -> None:
    fkey = pair.get("/schema/S/table/C")["foreign_keys"][0]
    ends = (fkey["foreign_key_columns"][0]["column_name"], fkey["referenced_columns"][0]["column_name"])
    url = f"/schema/S/table/C/foreignkey/{ends[0]}/reference/S:P/{ends[1]}"
    binding = {"types": ["insert"], "projection": ["x"], "projection_type": "acl"}
    assert pair.put(f"{url}/acl_binding/mine", binding).json()["projection"] == ["x"]
    assert pair.put(url, {"acl_bindings": {"mine": binding}}).json()["acl_bindings"]["mine"]["types"] == ["insert"]
    assert pair.put(f"{url}/acl_binding/mine", binding | {"projection": [ends[0] + "?"]}).status == 409


@pytest.mark.parametrize("path", ["/schema/S", "/schema/S/table/P", "/schema/S/table/P/column/id"])
def test_null_takes_one_acl_away_as_delete_does(seen: Any, path: str) -> None:
    for act in (lambda: seen.put(f"{path}/acl/select", b"null"), lambda: seen.delete(f"{path}/acl/select")):
        assert seen.put(f"{path}/acl/select", ["somebody"]).status == 200
        assert act().status in (200, 204)
        assert seen.get(f"{path}/acl/select") is None
    assert seen.put(f"{path}/acl/nonsense", b"null").status == 409
    assert seen.put("/acl/select", b"null").json() == [] == seen.get("/acl/select")
    assert seen.put("/acl/owner", b"null").status == 403
