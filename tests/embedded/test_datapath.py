"""deriva-py's datapath, unmodified, against the embedded DERIVA."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from deriva.core import DerivaServer, ErmrestCatalog
from deriva.core import datapath as dp
from deriva.core.ermrest_model import Column, ForeignKey, Key, Schema, Table, builtin_types


@pytest.fixture(scope="module")
def catalog(embedded_server: Any) -> Iterator[ErmrestCatalog]:
    credentials = {"bearer-token": embedded_server.token}
    catalog = DerivaServer("http", embedded_server.url.removeprefix("http://"), credentials).create_ermrest_catalog()
    model = catalog.getCatalogModel()
    model.create_schema(Schema.define("S"))
    model.schemas["S"].create_table(
        Table.define(
            "Subject",
            [Column.define("Name", builtin_types.text, nullok=False), Column.define("Age", builtin_types.int4)],
            [Key.define(["Name"])],
        )
    )
    model.schemas["S"].create_table(
        Table.define(
            "Image",
            [
                Column.define("File name", builtin_types.text, nullok=False),
                Column.define("Subject", builtin_types.ermrest_rid),
                Column.define("Size", builtin_types.int8),
                Column.define("Tags", builtin_types["text[]"]),
                Column.define("Facts", builtin_types.jsonb),
            ],
            [Key.define(["File name"])],
            [ForeignKey.define(["Subject"], "S", "Subject", ["RID"])],
        )
    )
    model.schemas["S"].create_table(Table.define_vocabulary("Digit", "TEST:{RID}"))
    yield catalog
    catalog.delete_ermrest_catalog(really=True)


@pytest.fixture
def tables(catalog: ErmrestCatalog) -> Iterator[Any]:
    tables = catalog.getPathBuilder().schemas["S"].tables
    yield tables
    for name in ("Image", "Subject", "Digit"):
        if len(tables[name].path.entities().fetch(limit=1)):
            tables[name].path.delete()


@pytest.fixture
def rows(tables: Any) -> list[dict[str, Any]]:
    """Three subjects; five images of ann, one of bob."""
    subjects = list(
        tables["Subject"].insert([{"Name": "ann", "Age": 30}, {"Name": "bob", "Age": 50}, {"Name": "cyd", "Age": None}])
    )
    tables["Image"].insert(
        {
            "File name": f"a {n}.png",
            "Subject": subjects[0 if n < 5 else 1]["RID"],
            "Size": 10 * n,
            "Tags": ["x", f"t{n}"],
            "Facts": {"n": n},
        }
        for n in range(6)
    )
    return subjects


def test_insert_answers_the_stored_rows(tables: Any, rows: list[dict[str, Any]]) -> None:
    assert [row["Name"] for row in rows] == ["ann", "bob", "cyd"]
    assert len({row["RCT"] for row in rows}) == 1
    assert all(row["RCT"] == row["RMT"] for row in rows)
    image = tables["Image"].filter(tables["Image"].columns["File name"] == "a 3.png").entities()[0]
    assert image["Tags"] == ["x", "t3"]
    assert image["Facts"] == {"n": 3}


def test_insert_with_defaults_nondefaults_and_conflicts(tables: Any, rows: list[dict[str, Any]]) -> None:
    given = [{"RID": "AAAA", "Name": "dan", "Age": 1}]
    assert next(iter(tables["Subject"].insert(given, nondefaults={"RID"})))["RID"] == "AAAA"
    with pytest.raises(dp.DataPathException):
        tables["Subject"].insert([{"Name": "ann"}])
    again = tables["Subject"].insert([{"Name": "ann"}, {"Name": "eve"}], on_conflict_skip=True)
    assert [row["Name"] for row in again] == ["eve"]
    term = next(iter(tables["Digit"].insert([{"Name": "one", "Description": "1"}], defaults={"ID", "URI"})))
    assert term["ID"] == f"TEST:{term['RID']}"
    assert term["URI"] == f"/id/{term['RID']}"


def test_filters(tables: Any, rows: list[dict[str, Any]]) -> None:
    image = tables["Image"]
    size = image.columns["Size"]

    def names(condition: Any) -> list[str]:
        found = image.filter(condition).attributes(image.columns["File name"]).sort(image.columns["File name"])
        return [row["File name"][2] for row in found.fetch()]

    assert names(size >= 40) == ["4", "5"]
    assert names((size < 10) | (size > 40)) == ["0", "5"]
    assert names((size > 10) & (size <= 30)) == ["2", "3"]
    assert names(~(size > 10)) == ["0", "1"]
    assert names(image.columns["File name"].regexp("[23].png$")) == ["2", "3"]
    assert names(image.columns["File name"].ciregexp("A 1")) == ["1"]
    assert names(size == dp.Any(0, 30)) == ["0", "3"]
    assert names(size == None) == []  # noqa: E711


def test_links_projections_and_paging(tables: Any, rows: list[dict[str, Any]]) -> None:
    subject, image = tables["Subject"].alias("sub"), tables["Image"].alias("img")
    path = subject.path.link(image, on=(subject.columns["RID"] == image.columns["Subject"]))
    found = path.attributes(subject.columns["Name"].alias("who"), image.columns["Size"]).sort(
        image.columns["Size"].desc
    )
    assert [(row["who"], row["Size"]) for row in found.fetch(limit=2)] == [("bob", 50), ("ann", 40)]
    assert len(tables["Subject"].path.link(tables["Image"]).entities()) == 6
    back = tables["Image"].path.link(tables["Subject"]).entities()
    assert sorted(row["Name"] for row in back) == ["ann", "bob"]
    subject, image = tables["Subject"].alias("s"), tables["Image"].alias("i")
    none = subject.path.link(image, on=(subject.columns["RID"] == image.columns["Subject"]), join_type="left")
    names = [row["Name"] for row in none.filter(image.columns["RID"] == None).attributes(subject.columns["Name"])]  # noqa: E711
    assert names == ["cyd"]


def test_aggregates_and_groups(tables: Any, rows: list[dict[str, Any]]) -> None:
    image = tables["Image"]
    size = image.columns["Size"]
    totals = image.aggregates(
        dp.Cnt(image).alias("n"), dp.Sum(size).alias("total"), dp.Avg(size).alias("mean"), dp.Max(size).alias("largest")
    ).fetch()[0]
    assert totals == {"n": 6, "total": 150, "mean": 25, "largest": 50}
    groups = image.groupby(image.columns["Subject"]).attributes(
        dp.Cnt(image).alias("n"), dp.ArrayD(size).alias("sizes")
    )
    by_subject = {row["Subject"]: row for row in groups.fetch()}
    assert by_subject[rows[0]["RID"]]["n"] == 5
    assert sorted(by_subject[rows[0]["RID"]]["sizes"]) == [0, 10, 20, 30, 40]
    bins = image.groupby(dp.Bin(size, 2, 0, 60).alias("bin")).attributes(dp.Cnt(image).alias("n")).fetch()
    assert sorted((row["bin"][0], row["n"]) for row in bins) == [(1, 3), (2, 3)]


def test_update_and_delete(tables: Any, rows: list[dict[str, Any]]) -> None:
    subject = tables["Subject"]
    changed = list(subject.update([{"RID": rows[0]["RID"], "Age": 31}, {"RID": rows[1]["RID"], "Age": None}]))
    assert [row["Age"] for row in changed] == [31, None]
    by_name = subject.update([{"Name": "cyd", "Age": 7}], correlation={"Name"}, targets={"Age"})
    assert [row["Age"] for row in by_name] == [7]
    with pytest.raises(dp.DataPathException):
        subject.filter(subject.columns["Name"] == "ann").delete()
    subject.filter(subject.columns["Name"] == "cyd").delete()
    assert sorted(row["Name"] for row in subject.entities()) == ["ann", "bob"]
    with pytest.raises(dp.DataPathException):
        subject.filter(subject.columns["Name"] == "nobody").delete()


def test_rids_resolve(catalog: ErmrestCatalog, rows: list[dict[str, Any]]) -> None:
    found = catalog.resolve_rid(rows[0]["RID"])
    assert found.table.name == "Subject"
    with pytest.raises(KeyError):
        catalog.resolve_rid("ZZZZ-ZZZY")


def test_snapshots_keep_what_was(catalog: ErmrestCatalog, tables: Any, rows: list[dict[str, Any]]) -> None:
    before = catalog.latest_snapshot()
    tables["Subject"].update([{"RID": rows[0]["RID"], "Age": 99}])
    past = before.getPathBuilder().schemas["S"].tables["Subject"]
    assert [row["Age"] for row in past.filter(past.columns["Name"] == "ann").entities()] == [30]
    assert len(past.entities()) == 3


def test_paged_download(catalog: ErmrestCatalog, tables: Any, rows: list[dict[str, Any]], tmp_path: Any) -> None:
    target = tmp_path / "images.csv"
    catalog.getAsFile(
        "/entity/S:Image",
        str(target),
        headers={"accept": "text/csv"},
        paged=True,
        page_size=2,
    )
    assert len(target.read_text().splitlines()) == 7
