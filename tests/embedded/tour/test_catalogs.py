"""Catalogs as deriva-py binds them: made, found, read at a snapshot, cloned, ended; aliases of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import requests
from deriva.core import DerivaServer, ErmrestAlias, ErmrestCatalog, ErmrestSnapshot
from deriva.core.deriva_binding import ConcurrentUpdate, DerivaPathError, NotModified
from deriva.core.ermrest_catalog import ErmrestCatalogMutationError
from deriva.core.ermrest_model import snaptime_to_datetime, timestamptz_to_snaptime

from .study import SAMPLES, build_study


def test_a_catalog_is_made_with_what_was_asked(server: DerivaServer) -> None:
    made = server.create_ermrest_catalog(
        id="tour-1", name="Tour", description="*told*", is_persistent=True, clone_source="1"
    )
    told = made.get("/").json()
    assert made.catalog_id == "tour-1"
    assert (told["id"], told["name"], told["description"]) == ("tour-1", "Tour", "*told*")
    assert told["is_persistent"] is True
    assert told["clone_source"] == "1"
    with pytest.raises(requests.HTTPError) as taken:
        server.create_ermrest_catalog(id="tour-1")
    assert taken.value.response.status_code == 409
    again = server.connect_ermrest("tour-1")
    assert again.exists()
    with pytest.raises(DerivaPathError):
        again.delete("/")
    again.delete_ermrest_catalog(really=True)
    assert not server.connect_ermrest("tour-1").exists()
    assert not server.connect_ermrest("no-such").exists()


def test_a_catalog_is_its_owners(server: DerivaServer, stranger: DerivaServer) -> None:
    identity = server.get("/authn/session").json()["client"]["id"]
    made = server.create_ermrest_catalog(owner=[identity])
    assert made.get("/acl").json()["owner"] == [identity]
    foreign = stranger.connect_ermrest(made.catalog_id)
    with pytest.raises(requests.HTTPError) as refused:
        foreign.getCatalogSchema()
    assert refused.value.response.status_code == 403
    with pytest.raises(requests.HTTPError) as locked_out:
        server.create_ermrest_catalog(owner=["somebody else"])
    assert locked_out.value.response.status_code in (403, 409)
    made.delete_ermrest_catalog(really=True)


def test_who_is_asking(server: DerivaServer, host: str) -> None:
    client = server.get_authn_session().json()["client"]
    assert client["id"]
    with pytest.raises(requests.HTTPError) as nobody:
        DerivaServer("http", host, None).get_authn_session()
    assert nobody.value.response.status_code == 404
    assert server.get("/ermrest/").json()["features"]["trs"] is True


def test_the_cache_is_answered_304(catalog: ErmrestCatalog) -> None:
    first = catalog.get("/schema")
    assert catalog.get("/schema") is first
    with pytest.raises(NotModified):
        catalog.get("/schema", raise_not_modified=True)
    assert catalog.head("/schema").status_code == 200
    catalog.post("/schema/new")
    assert "new" in catalog.getCatalogSchema()["schemas"]


def test_a_guarded_write_sees_what_came_between(catalog: ErmrestCatalog) -> None:
    catalog.post("/schema/one")
    seen = catalog.get("/schema/one")
    catalog.put("/schema/one/comment", data="mine", headers={"content-type": "text/plain"}, guard_response=seen)
    with pytest.raises(ConcurrentUpdate):
        catalog.put("/schema/one/comment", data="late", headers={"content-type": "text/plain"}, guard_response=seen)
    assert catalog.get("/schema/one").json()["comment"] == "mine"
    with pytest.raises(ConcurrentUpdate):
        catalog.delete("/schema/one", guard_response=seen)
    catalog.delete("/schema/one")


def test_tables_as_the_older_calls_tell_them(catalog: ErmrestCatalog) -> None:
    build_study(catalog)
    assert {"Name", "Weight", "RID"} <= catalog.getTableColumns("study:Sample")
    assert catalog.getTableSchema("study:Sample")["table_name"] == "Sample"
    assert catalog.validateRowColumns({"Name": 1, "Nope": 2}, "study:Sample") == {"Nope"}
    assert "Weight" in catalog.getDefaultColumns({"Name": "x"}, "study:Sample", exclude=["RID"])
    assert catalog.splitQualifiedCatalogName("study:Sample") == ("study", "Sample")


def test_rows_by_path_in_each_format(catalog: ErmrestCatalog) -> None:
    build_study(catalog)
    csv = catalog.get("/entity/study:Subject@sort(Name)", headers={"accept": "text/csv"})
    assert csv.headers["content-type"] == "text/csv"
    assert csv.text.splitlines()[0] == "RID,RCT,RMT,RCB,RMB,Name,Age"
    stream = catalog.get("/entity/study:Subject@sort(Name)", headers={"accept": "application/x-json-stream"})
    assert stream.headers["content-type"] == "application/x-json-stream"
    assert len(stream.text.splitlines()) == 4
    posted = catalog.post("/entity/study:Subject", data="Name,Age\nS9,\n", headers={"content-type": "text/csv"})
    assert posted.text.splitlines()[1].endswith(",S9,")
    put = catalog.put("/attributegroup/study:Subject/Name;Age", json=[{"Name": "S9", "Age": 9}])
    assert put.json() == [{"Name": "S9", "Age": 9}]
    catalog.delete("/entity/study:Subject/Name=S9")
    assert catalog.get("/aggregate/study:Subject/n:=cnt(*)").json() == [{"n": 4}]


@pytest.mark.parametrize("accept", ["text/csv", "application/x-json-stream"])
def test_rows_into_a_file_page_by_page(catalog: ErmrestCatalog, accept: str, tmp_path: Path) -> None:
    build_study(catalog)
    whole, paged = tmp_path / "whole", tmp_path / "paged"
    catalog.getAsFile("/entity/study:Sample@sort(RID)", whole, headers={"accept": accept})
    told: list[Any] = []

    def hear(**words: Any) -> bool:
        told.append(words)
        return True

    catalog.get_as_file(
        "/entity/study:Sample?limit=none",
        paged,
        headers={"accept": accept},
        paged=True,
        page_size=3,
        callback=hear,
    )
    assert paged.read_bytes() == whole.read_bytes()
    assert len(whole.read_text().splitlines()) == SAMPLES + (accept == "text/csv")
    assert len(told) >= SAMPLES // 3


@pytest.mark.parametrize("accept", ["application/json", "text/csv", "application/x-json-stream"])
def test_a_file_of_nothing_is_removed(catalog: ErmrestCatalog, accept: str, tmp_path: Path) -> None:
    build_study(catalog)
    path = tmp_path / "empty"
    catalog.get_as_file(
        "/entity/study:Sample/Name=none", path, headers={"accept": accept}, delete_if_empty=True, page_size=0
    )
    assert not path.exists()


def test_a_snapshot_stays(catalog: ErmrestCatalog) -> None:
    study = build_study(catalog)
    before = catalog.latest_snapshot()
    assert isinstance(before, ErmrestSnapshot)
    rows = before.getPathBuilder().study.Sample.entities().fetch()
    study.tables()["Sample"].path.filter(study.tables()["Sample"].Count == 0).delete()
    model = catalog.getCatalogModel()
    model.schemas["study"].tables["Tag"].alter(table_name="Label")
    assert list(before.getPathBuilder().study.Sample.entities().fetch()) == list(rows)
    assert "Tag" in before.getCatalogModel().schemas["study"].tables
    assert "Label" in catalog.getCatalogSchema()["schemas"]["study"]["tables"]
    with pytest.raises(ErmrestCatalogMutationError):
        before.post("/schema/x")
    named = ErmrestCatalog.connect(catalog.deriva_server, f"{catalog.catalog_id}@{before.snaptime}")
    assert isinstance(named, ErmrestSnapshot)
    assert named.exists()
    assert named.get("/").json()["snaptime"] == before.snaptime


def test_a_rows_change_time_is_its_revision(catalog: ErmrestCatalog) -> None:
    study = build_study(catalog)
    catalog.put("/attributegroup/study:Subject/Name;Age", json=[{"Name": "S1", "Age": 99}])
    row = catalog.get("/entity/study:Subject/Name=S1").json()[0]
    latest = catalog.latest_snapshot()
    assert timestamptz_to_snaptime(row["RMT"]) == latest.snaptime
    assert snaptime_to_datetime(latest.snaptime).timestamp() == pytest.approx(time.time(), abs=60)
    first = catalog.deriva_server.connect_ermrest(
        catalog.catalog_id, timestamptz_to_snaptime(study.subjects["S1"]["RMT"])
    )
    assert first.get("/entity/study:Subject/Name=S1").json()[0]["Age"] == 30


def test_a_rid_is_found(catalog: ErmrestCatalog) -> None:
    study = build_study(catalog)
    rid = study.samples["sample 03"]["RID"]
    found = catalog.resolve_rid(rid)
    assert (found.table.schema.name, found.table.name, found.rid) == ("study", "Sample", rid)
    assert [row["Name"] for row in found.datapath.entities().fetch()] == ["sample 03"]
    assert catalog.resolve_rid(rid.lower()).rid == rid
    with pytest.raises(KeyError):
        catalog.resolve_rid("9-ZZZW")


def test_a_clone_is_equal(catalog: ErmrestCatalog) -> None:
    study = build_study(catalog)
    model = catalog.getCatalogModel()
    model.annotations["tag:tour,2026:catalog"] = {"a": 1}
    model.schemas["study"].tables["Sample"].columns["Name"].annotations["tag:tour,2026:column"] = [1]
    model.schemas["study"].tables["Sample"].acls["select"] = ["*"]
    model.apply()
    twin = catalog.clone_catalog(dst_properties={"name": "Twin"})
    try:
        told = twin.get("/").json()
        assert told["name"] == "Twin"
        assert told["clone_source"] == catalog.catalog_id
        assert told["annotations"] == catalog.get("/").json()["annotations"]
        assert told["annotations"]["tag:tour,2026:catalog"] == {"a": 1}
        theirs, ours = twin.getCatalogModel().schemas["study"], catalog.getCatalogModel().schemas["study"]
        assert theirs.tables.keys() == ours.tables.keys()
        assert theirs.tables["Sample"].acls == {"select": ["*"]}
        assert theirs.tables["Sample"].columns["Name"].annotations == {"tag:tour,2026:column": [1]}
        pair = theirs.tables["Sample_Tag"].foreign_keys
        assert len(pair) == len(ours.tables["Sample_Tag"].foreign_keys)
        for name in ("Subject", "Sample", "Tag", "Sample_Tag", "Tissue"):
            path = f"/attribute/study:{name}/*@sort(RID)"
            kept = [{k: v for k, v in row.items() if k not in ("RMT", "RMB")} for row in twin.get(path).json()]
            meant = [{k: v for k, v in row.items() if k not in ("RMT", "RMB")} for row in catalog.get(path).json()]
            assert kept == meant, name
        fresh = twin.getPathBuilder().study.Tag.insert([{"Name": "new"}])
        assert fresh[0]["RID"] not in {row["RID"] for row in study.samples.values()}
        again = catalog.clone_catalog(twin)
        assert again.catalog_id == twin.catalog_id
        assert len(twin.get("/entity/study:Sample").json()) == SAMPLES
    finally:
        twin.delete_ermrest_catalog(really=True)


def test_a_clone_of_the_model_alone(catalog: ErmrestCatalog) -> None:
    build_study(catalog)
    twin = catalog.clone_catalog(copy_data=False, copy_annotations=False, copy_policy=False, truncate_after=False)
    assert twin.get("/entity/study:Sample").json() == []
    twin.delete_ermrest_catalog(really=True)


def test_an_alias(server: DerivaServer, catalog: ErmrestCatalog) -> None:
    build_study(catalog)
    alias = server.create_ermrest_alias(id="tour-alias", alias_target=catalog.catalog_id, name="A name")
    assert isinstance(alias, ErmrestAlias)
    assert alias.retrieve()["alias_target"] == catalog.catalog_id
    through = server.connect_ermrest("tour-alias")
    assert through.alias_target == catalog.catalog_id
    assert len(through.getPathBuilder().study.Subject.entities().fetch()) == 4
    assert catalog.alias_target is None
    state = server.connect_ermrest_alias("tour-alias").retrieve()
    other = server.create_ermrest_catalog()
    state = {key: state[key] for key in ("id", "owner")} | {"alias_target": other.catalog_id}
    assert alias.update(**state)["alias_target"] == other.catalog_id
    assert alias.update(alias_target=None)["alias_target"] is None
    assert not server.connect_ermrest("tour-alias").exists()
    alias.delete_ermrest_alias(really=True)
    with pytest.raises(requests.HTTPError) as gone:
        alias.retrieve()
    assert gone.value.response.status_code == 404
    other.delete_ermrest_catalog(really=True)


def test_work_is_polled_for(catalog: ErmrestCatalog) -> None:
    pytest.importorskip("pika", reason="deriva-py's polling catalog needs pika")
    from deriva.core.polling_ermrest_catalog import PollingErmrestCatalog

    build_study(catalog)
    polling = PollingErmrestCatalog("http", catalog._server, catalog.catalog_id, catalog._credentials)
    path = "/entity/study:Subject/Age::leq::20"
    change = "/attributegroup/study:Subject/RID;Age"
    etag, rows = polling.state_change_once(path, change, lambda row: {"RID": row["RID"], "Age": 77})[:2]
    assert len(list(rows)) == 1
    assert catalog.get("/entity/study:Subject/Name=S0").json()[0]["Age"] == 77
    assert polling.state_change_once(path, change, lambda row: row, etag) is not None
