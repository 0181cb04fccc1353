"""Whatever a client sends: an answer below 500, and a model that can still be read."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
WORDS = st.sampled_from(["RID", "id", "x", "S", "P", "text", "int4", "CASCADE", "*", "", "é" * 40, "\x00"])
URLS = [
    ("POST", "/schema"),
    ("POST", "/schema/S/table"),
    ("PUT", "/schema/S"),
    ("PUT", "/schema/S/table/P"),
    ("POST", "/schema/S/table/P/column"),
    ("PUT", "/schema/S/table/P/column/x"),
    ("PUT", "/schema/S/table/P/column/RCB"),
    ("POST", "/schema/S/table/P/key"),
    ("PUT", "/schema/S/table/P/key/id"),
    ("POST", "/schema/S/table/C/foreignkey"),
    ("PUT", "/schema/S/table/C/foreignkey/p/reference/S:P/id"),
    ("PUT", "/schema/S/table/P/acl"),
    ("PUT", "/schema/S/table/P/acl/select"),
    ("PUT", "/schema/S/table/P/acl_binding"),
    ("PUT", "/schema/S/table/P/acl_binding/b"),
    ("PUT", "/schema/S/table/P/annotation"),
    ("PUT", "/schema/S/table/P/annotation/b"),
    ("PUT", "/annotation"),
    ("PUT", "/acl/select"),
]


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all members of a document, itself among them."""
    found = [path]
    members = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, member in members:
        found += places(member, (*path, key))
    return found


def with_other(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = copy.deepcopy(document)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


@pytest.mark.parametrize(("method", "url"), URLS)
def test_odd_documents(root: Any, documents: Any, method: str, url: str) -> None:
    catalogs = []

    def begin() -> None:
        door = root.at("/ermrest/catalog/" + root.post("/catalog").json()["id"])
        documents.pair(door)
        door.post("/entity/S:P", [{"id": 1, "x": "5"}])
        catalogs.append(door)

    begin()
    table = documents.table("T", {"id": "int4", "x": "text"}, [["id"]], comment="c", annotations={"a": 1})
    element = {**table, "schema_name": "S"}
    fkey = documents.fkey([("S", "C", "px")], [("S", "P", "id")], on_delete="CASCADE", names=[["S", "n"]])
    sound = {
        "/schema": {"schemas": {"N": {"schema_name": "N", "tables": {"T": {**table, "schema_name": "N"}}}}},
        "/schema/S/table": {**element, "foreign_keys": [fkey]},
        "/schema/S/table/C/foreignkey": fkey,
        "/schema/S/table/P/key": {"unique_columns": ["x"], "names": [["S", "n"]]},
        "/schema/S/table/P/acl_binding/b": {"types": ["select"], "projection": [{"outbound": ["S", "n"]}, "x"]},
    }.get(
        url,
        {
            "name": "y", "type": {"typename": "int4"}, "default": 5, "nullok": True, "comment": "c",
            "annotations": {}, "acls": {"select": ["*"]}, "acl_bindings": {}, "names": [["S", "m"]],
            "schema_name": "S", "table_name": "P2", "on_update": "CASCADE",
        },
    )  # fmt: skip

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.data())
    def send(data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(places(sound)))
        door = catalogs[-1]
        answer = door.send(method, url, with_other(sound, path, data.draw(JSON | WORDS)))
        assert answer.status < 500
        assert door.send("GET", "/schema").status == 200
        assert door.send("GET", "/entity/public:ERMrest_Client").status == 200
        if answer.status < 300:
            begin()

    send()
