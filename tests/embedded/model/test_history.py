"""The model and the rows as they were."""

from __future__ import annotations

from typing import Any


def test_past_reads_under_its_old_names(pair: Any) -> None:
    pair.post("/entity/S:P", [{"id": 1, "x": "old"}])
    then = pair.snaptime()
    pair.put("/attributegroup/S:P/id;x", [{"id": 1, "x": "new"}])
    pair.put("/schema/S/table/P/column/x", {"name": "y"})
    pair.put("/schema/S/table/P", {"table_name": "Q"})
    pair.put("/schema/S", {"schema_name": "T"})
    past = pair.at(f"{pair.base}@{then}")
    assert past.get("/attribute/S:P/id,x") == [{"id": 1, "x": "old"}]
    assert past.send("GET", "/entity/T:Q").status == 409
    assert past.send("GET", "/schema/T").status == 404
    assert pair.get("/attribute/T:Q/id,y") == [{"id": 1, "y": "new"}]


def test_deleted_columns_and_tables_stay_in_the_past(pair: Any) -> None:
    pair.post("/entity/S:P", [{"id": 1, "x": "a"}])
    then = pair.snaptime()
    before = pair.at(f"{pair.base}@{then}")
    model, rows = before.get("/schema"), before.get("/entity/S:P")
    pair.delete("/schema/S/table/P/column/x")
    pair.delete("/schema/S/table/C")
    pair.delete("/schema/S/table/P")
    pair.delete("/schema/S")
    assert before.get("/schema") == model
    assert before.get("/entity/S:P") == rows


def test_any_moment_until_the_next_change_reads_the_same(pair: Any) -> None:
    from deriva_ml_prefect.embedded.ermrest.clock import decode_urlb32, encode_urlb32

    pair.post("/entity/S:P", [{"id": 1}])
    then = pair.snaptime()
    pair.delete("/entity/S:P/id=1")
    now = pair.snaptime()
    last = encode_urlb32(decode_urlb32(now) - 1)
    assert pair.at(f"{pair.base}@{last}").get("")["snaptime"] == then
    assert len(pair.at(f"{pair.base}@{last}").get("/entity/S:P")) == 1
    assert pair.at(f"{pair.base}@{now}").get("/entity/S:P") == []


def test_rows_bear_the_moment_of_their_revision(pair: Any) -> None:
    from deriva_ml_prefect.embedded.ermrest.clock import Moment, decode_urlb32

    (row,) = pair.post("/entity/S:P", [{"id": 1}]).json()
    assert row["RCT"] == row["RMT"] == Moment(decode_urlb32(pair.snaptime())).text


def test_the_past_cannot_be_changed(pair: Any) -> None:
    past = pair.at(f"{pair.base}@{pair.snaptime()}")
    assert past.put("/schema/S", {"comment": "x"}).status == 403
    assert past.of(None).put("/schema/S", {"comment": "x"}).status == 401
    rights = past.get("/schema/S/table/P")["rights"]
    assert rights == {"owner": False, "insert": False, "update": False, "delete": False, "select": True}


def test_acls_of_the_past_protect_the_past(pair: Any, other: Any) -> None:
    closed = pair.snaptime()
    pair.put("/acl/enumerate", ["*"])
    pair.put("/acl/select", ["*"])
    opened = pair.snaptime()
    pair.delete("/acl/select")
    pair.delete("/acl/enumerate")
    assert other.at(f"{other.base}@{closed}").send("GET", "/entity/S:P").status == 403
    assert other.at(f"{other.base}@{opened}").send("GET", "/entity/S:P").status == 200
    assert other.send("GET", "/entity/S:P").status == 403


def test_forgetting_keeps_the_snapshot_that_is_named(pair: Any) -> None:
    first = pair.get("/history/,")["snaprange"][0]
    pair.post("/entity/S:P", [{"id": 1, "x": "a"}])
    pair.put("/attributegroup/S:P/id;x", [{"id": 1, "x": "b"}])
    kept = pair.snaptime()
    pair.put("/attributegroup/S:P/id;x", [{"id": 1, "x": "c"}])
    assert pair.delete(f"/history/,{kept}").status == 204
    assert pair.get("/history/,")["snaprange"][0] == kept
    assert pair.at(f"{pair.base}@{kept}").get("/attribute/S:P/x") == [{"x": "b"}]
    assert pair.at(f"{pair.base}@{first}").send("GET", "/entity/S:P").status == 409
    assert pair.of(None).delete(f"/history/,{kept}").status == 401


def test_refused_changes_make_no_revision(pair: Any) -> None:
    before = pair.snaptime()
    assert pair.delete("/entity/S:P/id=5").status == 404
    assert pair.post("/schema/S").status == 409
    assert pair.put("/schema/S", {"comment": 5}).status == 400
    assert pair.snaptime() == before


def test_model_etag_moves_with_the_model_only(pair: Any) -> None:
    etag = pair.send("GET", "/schema").headers["etag"]
    pair.post("/entity/S:P", [{"id": 1}])
    assert pair.send("GET", "/schema", if_none_match=etag).status == 304
    pair.put("/schema/S/table/P/annotation/x", 1)
    assert pair.send("GET", "/schema", if_none_match=etag).status == 200
    assert pair.put("/schema/S", {"comment": "x"}, if_match=etag).status == 412


def test_ranges_are_taken_back_to_revisions_and_may_be_empty(pair: Any) -> None:
    first = pair.get("/history/,")["snaprange"][0]
    pair.post("/entity/S:P", [{"id": 1}])
    between = pair.get("")["snaptime"]
    pair.post("/entity/S:P", [{"id": 2}])
    last = pair.get("")["snaptime"]
    assert pair.get(f"/history/{between},")["snaprange"] == [between, last]
    assert pair.get(f"/history/,{between}")["snaprange"] == [first, between]
    assert pair.get(f"/history/{first},{first}")["snaprange"] == [first, first]
    assert pair.send("GET", f"/history/,{first}").status == 404
    assert pair.send("GET", f"/history/{last},{between}").status == 409
    assert pair.send("GET", "/history/2,").status == 409
    assert pair.send("GET", f"@{between}/history/,").status == 404
    assert pair.send("DELETE", f"/history/,{first}").status == 404  # there is nothing to forget
    assert pair.send("DELETE", f"/history/,{between}").status == 204
    assert pair.get("/history/,")["snaprange"][0] == between
    assert pair.send("GET", f"@{first}/entity/S:P").status == 409
    assert [row["id"] for row in pair.get(f"@{between}/entity/S:P")] == [1]
