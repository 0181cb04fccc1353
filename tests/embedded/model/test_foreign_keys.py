"""Foreign keys: what may refer to what, and what their URLs name."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("columns", "to", "more", "status"),
    [
        (["px"], ["x"], {}, 409),  # x is no key
        (["px"], ["id"], {}, 409),  # text to int4
        (["nope"], ["id"], {}, 409),
        (["p"], ["nope"], {}, 409),
        (["p"], ["id"], {}, 409),  # exists
        (["p", "px"], ["id", "x"], {"on_delete": "explode"}, 400),
        (["p", "px"], ["id"], {}, 400),
        (["p", "px"], ["id", "x"], {"names": [["S", "C_p_fkey"]]}, 409),
        (["p", "px"], ["id", "x"], {"names": ["x"]}, 400),
        (["p", "px"], ["id", "x"], {"on_delete": "set null"}, 201),
        ([], [], {}, 400),
    ],
)
def test_new_foreign_key(
    pair: Any, documents: Any, columns: list[str], to: list[str], more: dict[str, Any], status: int
) -> None:
    fkey = documents.fkey([("S", "C", each) for each in columns], [("S", "P", each) for each in to], **more)
    made = pair.post("/schema/S/table/C/foreignkey", fkey)
    assert made.status == status, made
    assert len(pair.get("/schema/S/table/C/foreignkey")) == (2 if status == 201 else 1)


def test_rows_that_refer_to_nothing_forbid_a_foreign_key(pair: Any, documents: Any) -> None:
    pair.post("/entity/S:C", [{"px": "alone"}])
    pair.post("/schema/S/table/P/key", {"unique_columns": ["x"]})
    fkey = documents.fkey([("S", "C", "px")], [("S", "P", "x")])
    assert pair.post("/schema/S/table/C/foreignkey", fkey).status == 409
    pair.post("/entity/S:P", [{"id": 1, "x": "alone"}])
    assert pair.post("/schema/S/table/C/foreignkey", fkey).status == 201


def test_urls_of_any_length(pair: Any) -> None:
    base = "/schema/S/table/C/foreignkey"
    for path in ("/p", "/p/reference", "/p/reference/S:P", "/p/reference/P", "/p/reference/S:P/id"):
        assert [fkey["names"] for fkey in pair.get(base + path)] == [[["S", "C_p_fkey"]]], path
    assert pair.get(base)[0] == pair.get(base + "/p")
    assert pair.send("GET", base + "/px").status == 404
    assert pair.send("GET", base + "/px/reference/S:P/id").status == 409


def test_actions_and_names_can_be_changed(pair: Any) -> None:
    url = "/schema/S/table/C/foreignkey/p/reference/S:P/id"
    changed = pair.put(url, {"on_delete": "CASCADE", "names": [["anything", "to_parent"]]}).json()
    assert (changed["on_delete"], changed["names"]) == ("CASCADE", [["S", "to_parent"]])
    pair.post("/entity/S:P", [{"id": 1}])
    pair.post("/entity/S:C", [{"p": 1}])
    assert pair.delete("/entity/S:P/id=1").status == 204
    assert pair.get("/entity/S:C") == []


def test_what_is_referred_to_cannot_be_deleted(pair: Any) -> None:
    assert pair.delete("/schema/S/table/P").status == 409
    assert pair.delete("/schema/S/table/P/column/id").status == 409
    assert pair.delete("/schema/S/table/P/key/id").status == 409
    assert pair.delete("/schema/S").status == 409
    assert pair.delete("/schema/S/table/C/column/p").status == 204
    assert pair.delete("/schema/S/table/P/key/id").status == 204
    assert pair.delete("/schema/S/table/P").status == 204


def test_last_key_without_nulls_stays(pair: Any) -> None:
    assert pair.delete("/schema/S/table/C/key/RID").status == 409
    assert pair.delete("/schema/S/table/P/key/RID").status == 204
    pair.post("/entity/S:P", [{"id": 1}])
    assert len(pair.get("/entity/S:P")) == 1
