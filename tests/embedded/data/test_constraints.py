"""Keys, foreign keys and their actions, and what of them the history keeps."""

from __future__ import annotations

from typing import Any

import pytest


def make_pair(catalog: Any, **actions: str) -> None:
    """Parent(id, name) and Child(c, parent → Parent.id), one child of 1 and two of 2."""
    catalog.make_table("Parent", {"id": "int4!", "name": "text"}, [["id"]])
    fkey = {"columns": ["parent"], "table": "Parent", "to": ["id"], **actions}
    catalog.make_table("Child", {"c": "text!", "parent": "int4"}, [["c"]], (fkey,))
    catalog.insert("Parent", {"id": 1}, {"id": 2}, {"id": 3})
    catalog.insert("Child", {"c": "a", "parent": 1}, {"c": "b", "parent": 2}, {"c": "c", "parent": 2})


def children(catalog: Any, at: str = "") -> list[tuple[str, int | None]]:
    base = f"{catalog.base}@{at}" if at else catalog.base
    answer = catalog.http.get(f"{base}/attribute/S:Child/c,parent@sort(c)")
    return [(row["c"], row["parent"]) for row in answer.json()]


def test_a_reference_must_exist(catalog: Any) -> None:
    make_pair(catalog)
    assert catalog.send("POST", "/entity/S:Child", [{"c": "x", "parent": 9}]).status_code == 409
    assert catalog.send("PUT", "/attributegroup/S:Child/c;parent", [{"c": "a", "parent": 9}]).status_code == 409
    catalog.insert("Child", {"c": "x", "parent": None})
    assert children(catalog) == [("a", 1), ("b", 2), ("c", 2), ("x", None)]


@pytest.mark.parametrize("action", ["NO ACTION", "RESTRICT"])
def test_what_is_referred_to_stays(catalog: Any, action: str) -> None:
    make_pair(catalog, on_delete=action, on_update=action)
    assert catalog.send("DELETE", "/entity/S:Parent/id=2").status_code == 409
    assert catalog.send("PUT", "/attributegroup/S:Parent/old:=id;id", [{"old": 2, "id": 7}]).status_code == 409
    assert catalog.send("DELETE", "/entity/S:Parent/id=3").status_code == 204
    assert [row["id"] for row in catalog.rows("/entity/S:Parent@sort(id)")] == [1, 2]


def test_cascade(catalog: Any) -> None:
    make_pair(catalog, on_delete="CASCADE", on_update="CASCADE")
    before = catalog.snaptime()
    changed = catalog.send("PUT", "/attributegroup/S:Parent/old:=id;id", [{"old": 2, "id": 7}])
    assert changed.status_code == 200
    assert children(catalog) == [("a", 1), ("b", 7), ("c", 7)]
    parent = catalog.rows("/entity/S:Parent/id=7")[0]
    assert {row["RMT"] for row in catalog.rows("/entity/S:Child/parent=7")} == {parent["RMT"]}
    between = catalog.snaptime()
    assert catalog.send("DELETE", "/entity/S:Parent/id=7").status_code == 204
    assert children(catalog) == [("a", 1)]
    assert children(catalog, between) == [("a", 1), ("b", 7), ("c", 7)]
    assert children(catalog, before) == [("a", 1), ("b", 2), ("c", 2)]


def test_set_null(catalog: Any) -> None:
    make_pair(catalog, on_delete="SET NULL", on_update="SET NULL")
    assert catalog.send("DELETE", "/entity/S:Parent/id=1").status_code == 204
    assert catalog.send("PUT", "/attributegroup/S:Parent/old:=id;id", [{"old": 2, "id": 7}]).status_code == 200
    assert children(catalog) == [("a", None), ("b", None), ("c", None)]


def test_a_cascade_that_ends_at_another_reference_changes_nothing(catalog: Any) -> None:
    make_pair(catalog, on_delete="CASCADE")
    catalog.make_table("Leaf", {"child": "text"}, [], ({"columns": ["child"], "table": "Child", "to": ["c"]},))
    catalog.insert("Leaf", {"child": "b"})
    assert catalog.send("DELETE", "/entity/S:Parent/id=2").status_code == 409
    assert children(catalog) == [("a", 1), ("b", 2), ("c", 2)]


def test_rows_that_refer_to_each_other(catalog: Any) -> None:
    fkey = {"columns": ["up"], "table": "Tree", "to": ["id"], "on_delete": "CASCADE"}
    catalog.make_table("Tree", {"id": "int4!", "up": "int4"}, [["id"]], (fkey,))
    catalog.insert("Tree", {"id": 1, "up": None}, {"id": 2, "up": 1}, {"id": 3, "up": 2}, {"id": 4, "up": 4})
    assert catalog.send("PUT", "/attributegroup/S:Tree/id;up", [{"id": 1, "up": 3}]).status_code == 200
    assert catalog.send("DELETE", "/entity/S:Tree/id=2").status_code == 204
    assert [row["id"] for row in catalog.rows("/entity/S:Tree")] == [4]
    assert catalog.send("DELETE", "/entity/S:Tree/id=4").status_code == 204


def test_composite_keys_and_references(catalog: Any) -> None:
    catalog.make_table("A", {"x": "int4!", "y": "text!"}, [["x", "y"]])
    fkey = {"columns": ["p", "q"], "table": "A", "to": ["x", "y"], "on_update": "CASCADE"}
    catalog.make_table("B", {"p": "int4", "q": "text"}, [], (fkey,))
    catalog.insert("A", {"x": 1, "y": "u"}, {"x": 1, "y": "v"})
    assert catalog.send("POST", "/entity/S:A", [{"x": 1, "y": "u"}]).status_code == 409
    assert catalog.send("POST", "/entity/S:B", [{"p": 1, "q": "w"}]).status_code == 409
    catalog.insert("B", {"p": 1, "q": "u"}, {"p": 1, "q": None})
    assert catalog.send("PUT", "/attributegroup/S:A/y;x", [{"y": "u", "x": 5}]).status_code == 200
    assert [(row["p"], row["q"]) for row in catalog.rows("/entity/S:B@sort(q)")] == [(5, "u"), (1, None)]


def test_a_failed_request_leaves_nothing_behind(catalog: Any) -> None:
    make_pair(catalog)
    before = catalog.snaptime()
    assert catalog.send("POST", "/entity/S:Parent", [{"id": 8}, {"id": 1}]).status_code == 409
    assert catalog.snaptime() == before
    assert [row["id"] for row in catalog.rows("/entity/S:Parent@sort(id)")] == [1, 2, 3]


def test_clearing_a_column_that_must_not_be_null(catalog: Any) -> None:
    catalog.make_table("T", {"id": "int4!", "v": "text!", "w": "text"}, [["id"]])
    catalog.insert("T", {"id": 1, "v": "a", "w": "b"})
    assert catalog.send("DELETE", "/attribute/S:T/v").status_code == 409
    assert catalog.send("DELETE", "/attribute/S:T/id").status_code == 409
    assert catalog.send("DELETE", "/attribute/S:T/w").status_code == 204
    assert catalog.send("DELETE", "/attribute/S:T/RCB").status_code == 403
    assert [(row["v"], row["w"]) for row in catalog.rows("/entity/S:T")] == [("a", None)]


def test_rows_without_a_value_in_a_key_are_not_equal(catalog: Any) -> None:
    catalog.make_table("T", {"k": "text", "k2": "text", "v": "text"}, [["k", "k2"]])
    assert len(catalog.insert("T", {"v": "a"}, {"v": "b"})) == 2
    assert len(catalog.insert("T", {"k": "x", "v": "a"}, {"k": "x", "v": "b"})) == 2
    twice = [{"k": "x", "k2": "y", "v": "a"}, {"k": "x", "k2": "y", "v": "b"}]
    assert catalog.send("POST", "/entity/S:T", twice).status_code == 400
