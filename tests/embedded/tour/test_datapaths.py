"""Data paths of deriva-py: filters, links, projections, aggregates, groups, order, and changes of rows."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from deriva.core import ErmrestCatalog
from deriva.core import datapath as dp
from deriva.core.datapath import DataPathException

from .study import SAMPLES, SUBJECTS, Study, build_study


@pytest.fixture(scope="module")
def study(server: Any) -> Any:
    """One study for all that only read."""
    catalog = server.create_ermrest_catalog()
    yield build_study(catalog)
    catalog.delete_ermrest_catalog(really=True)


@pytest.fixture
def own(catalog: ErmrestCatalog) -> Study:
    """A study for one that changes rows."""
    return build_study(catalog)


def names(rows: Any) -> list[str]:
    return sorted(row["Name"] for row in rows)


def numbers(rows: Any) -> list[int]:
    return [int(name.split()[1]) for name in names(rows)]


def test_entities(study: Study) -> None:
    tables = study.tables()
    rows = tables["Sample"].entities()
    assert len(rows) == SAMPLES
    assert rows[0]["Labels"][1] == "all"
    assert rows[0]["Extra"] == {"n": 0}
    assert len(tables["Sample"].path.entities().fetch(limit=3)) == 3
    assert len(tables["Sample"].path.entities().limit(4)) == 4
    assert tables["Sample"].path.uri.endswith("/entity/Sample:=study:Sample")


@pytest.mark.parametrize(
    ("choose", "expected"),
    [
        (lambda s: s.Count == 3, [3, 8, 13, 18]),
        (lambda s: s.Count != 3, [n for n in range(20) if n % 5 != 3]),
        (lambda s: s.Weight < 0.5, [0, 1]),
        (lambda s: s.Weight <= 0.5, [0, 1, 2]),
        (lambda s: s.Weight > 4.5, [19]),
        (lambda s: s.Weight >= 4.5, [18, 19]),
        (lambda s: s.Subject == None, [4, 9, 14, 19]),  # noqa: E711
        (lambda s: s.Subject != None, [n for n in range(20) if n % 5 != 4]),  # noqa: E711
        (lambda s: s.Name.regexp("0[1-3]$"), [1, 2, 3]),
        (lambda s: s.Name.ciregexp("^SAMPLE 1[05]$"), [10, 15]),
        (lambda s: (s.Count == 1) & (s.Weight > 2), [11, 16]),
        (lambda s: (s.Count == 1) | (s.Weight > 4.5), [1, 6, 11, 16, 19]),
        (lambda s: ~(s.Count < 4), [4, 9, 14, 19]),
        (lambda s: ~((s.Count == 1) | (s.Count == 2) | (s.Count == 3) | (s.Count == 4)), [0, 5, 10, 15]),
        (lambda s: s.Count == dp.Any(0, 4), [0, 4, 5, 9, 10, 14, 15, 19]),
        (lambda s: s.Labels == dp.All("l1", "all"), [1, 4, 7, 10, 13, 16, 19]),
        (lambda s: s.Labels == dp.Any("l2", "l9"), [2, 5, 8, 11, 14, 17]),
        (lambda s: (s.Count == dp.Any(1, 2)) & (s.Name == "sample 06"), [6]),
        (lambda s: s.Taken >= "2026-01-19", [18, 19]),
        (lambda s: s.column_definitions["Tissue Name"] == "skin", [2, 5, 8, 11, 14, 17]),
        (lambda s: s.Count.eq(2).and_(s.Weight.lt(1)), [2]),
        (lambda s: s.Count.eq(2).or_(s.Weight.ge(4.75)), [2, 7, 12, 17, 19]),
        (lambda s: s.Count.gt(3).negate().and_(s.Count.le(0)), [0, 5, 10, 15]),
    ],
)
def test_filters(study: Study, choose: Any, expected: list[int]) -> None:
    sample = study.tables()["Sample"]
    assert numbers(sample.filter(choose(sample)).entities()) == expected


def test_values_with_syntax_in_them(own: Study) -> None:
    tag = own.tables()["Tag"]
    odd = [
        "a/b",
        "a&b",
        "a;b",
        "a=b",
        "(a)",
        "a,b",
        "a%2Fb",
        "a'b",
        'a"b',
        "a b",
        "ä☃𝄞",
        "a:b",
        "$a",
        "@a",
        "",
        "*",
        "null",
    ]
    tag.insert([{"Name": name} for name in odd])
    for name in odd:
        assert names(tag.filter(tag.Name == name).entities()) == [name]
    assert names(tag.filter(tag.Name == dp.Any(*odd)).entities()) == sorted(odd)


def test_links(study: Study) -> None:
    tables = study.tables()
    subject, sample, link, tag = (tables[name] for name in ("Subject", "Sample", "Sample_Tag", "Tag"))
    assert names(subject.filter(subject.Age >= 40).link(sample).entities()) == [
        f"sample {n:02d}" for n in range(20) if n % 5 in (2, 3)
    ]
    path = sample.filter(sample.Weight < 1).link(link).link(tag)
    assert names(path.entities()) == ["even", "odd"]
    assert len(path.link(link, on=(tag.Name == link.Tag)).entities()) == 20
    by_column = subject.link(sample, on=(subject.Name == sample.Subject))
    assert len(by_column.entities()) == 16
    model = study.catalog.getCatalogModel()
    fkey = model.fkey(("study", "Sample_Subject_fkey"))
    assert len(sample.link(subject, on=fkey).entities()) == SUBJECTS
    assert len(subject.link(sample, on=fkey).entities()) == 16
    outer = sample.link(subject, on=(sample.Subject == subject.Name), join_type="left")
    outer.context = outer.Sample
    assert len(outer.entities()) == SAMPLES
    right = sample.link(subject, on=(sample.Subject == subject.Name), join_type="right")
    assert len(right.entities()) == SUBJECTS
    full = sample.link(subject, on=(sample.Subject == subject.Name), join_type="full")
    assert full.aggregates(dp.Cnt(full.Sample.RID).alias("n"))[0]["n"] == SAMPLES


def test_a_table_met_twice(study: Study) -> None:
    tables = study.tables()
    sample, subject = tables["Sample"], tables["Subject"]
    path = sample.path.filter(sample.Count == 1).link(subject)
    path.link(sample)
    assert {"Sample", "Subject", "Sample2"} == set(path.table_instances)
    assert len(path.entities()) == 4
    twin = sample.alias("Twin")
    other = subject.link(twin, on=(subject.Name == twin.Subject)).filter(twin.Count == 1)
    assert numbers(other.entities()) == [1, 6, 11, 16]


def test_paths_joined_together(study: Study) -> None:
    tables = study.tables()
    subject, sample, tissue = (tables[name] for name in ("Subject", "Sample", "Tissue"))
    base = subject.path.link(sample)
    left = base.table_instances["Sample"].link(tissue).filter(tissue.Name == "lung")
    left.context = left.table_instances["Sample"]
    assert len(left.entities()) > 0
    composed = study.catalog.getPathBuilder().compose(subject.link(sample.alias("S")))
    assert len(composed.entities()) == 16


def test_attributes(study: Study) -> None:
    tables = study.tables()
    sample, subject = tables["Sample"], tables["Subject"]
    rows = sample.attributes(sample.Name, sample.Weight.alias("w"), sample.column_definitions["Tissue Name"])
    assert set(rows[0]) == {"Name", "w", "Tissue Name"}
    path = subject.path.link(sample)
    rows = path.attributes(path.Subject, path.Sample.Name.alias("sample"), path.Sample.Weight)
    assert {"Subject:Name", "Subject:RID", "sample", "Weight"} <= set(rows[0])
    assert len(rows) == 16
    whole = sample.path.attributes(*sample.column_definitions.values())
    assert len(whole) == SAMPLES


def test_order_and_limits(study: Study) -> None:
    sample = study.tables()["Sample"]
    rows = sample.attributes(sample.Name, sample.Count, sample.Weight.alias("w"))
    assert [row["w"] for row in rows.sort(sample.Count, sample.Weight.alias("w").desc).fetch(limit=3)] == [
        3.75,
        2.5,
        1.25,
    ]
    assert rows.sort(sample.Name.desc).limit(2)[0]["Name"] == "sample 19"
    nulls = sample.entities().sort(sample.Subject.desc)
    assert nulls[0]["Subject"] is None
    assert sample.entities().sort(sample.Subject)[SAMPLES - 1]["Subject"] is None


def test_aggregates(study: Study) -> None:
    sample = study.tables()["Sample"]
    asked = {
        "min": dp.Min(sample.Weight),
        "max": dp.Max(sample.Weight),
        "sum": dp.Sum(sample.Count),
        "avg": dp.Avg(sample.Count),
        "cnt": dp.Cnt(sample.Subject),
        "rows": dp.Cnt(sample),
        "cnt_d": dp.CntD(sample.Subject),
        "array": dp.Array(sample.Name),
        "array_d": dp.ArrayD(sample.Count),
        "whole": dp.Array(sample),
    }
    (row,) = sample.aggregates(*(function.alias(name) for name, function in asked.items()))
    assert (row["min"], row["max"], row["sum"], row["avg"]) == (0, 4.75, 40, 2.0)
    assert (row["cnt"], row["rows"], row["cnt_d"]) == (16, SAMPLES, SUBJECTS)
    assert len(row["array"]) == SAMPLES
    assert sorted(row["array_d"]) == [0, 1, 2, 3, 4]
    assert {one["Name"] for one in row["whole"]} == set(row["array"])
    empty = sample.filter(sample.Count == 99)
    (none,) = empty.aggregates(dp.Cnt(empty.Sample).alias("n"), dp.Max(empty.Sample.Weight).alias("m"))
    assert none == {"n": 0, "m": None}


def test_groups(study: Study) -> None:
    tables = study.tables()
    sample, subject = tables["Sample"], tables["Subject"]
    groups = sample.groupby(sample.Count).attributes(
        dp.Cnt(sample.RID).alias("n"), dp.Array(sample.Name).alias("names"), dp.Max(sample.Weight).alias("heaviest")
    )
    assert [(g["Count"], g["n"], g["heaviest"]) for g in groups.sort(sample.Count)] == [
        (n, 4, (15 + n) / 4) for n in range(5)
    ]
    assert all(len(group["names"]) == 4 for group in groups)
    two = sample.groupby(sample.Count, sample.column_definitions["Tissue Name"].alias("t"))
    assert len(two.attributes(dp.Cnt(sample).alias("n"))) == 15
    assert len(sample.groupby(sample.Count, sample.Subject)) == 5 if hasattr(two, "__len__") else True
    path = subject.path.link(sample)
    per = path.groupby(path.Subject.Name).attributes(path.Subject.Age, dp.Avg(path.Sample.Weight).alias("mean"))
    assert {row["Name"]: (row["Age"], row["mean"]) for row in per} == {
        f"S{n}": (20 + 10 * n, sum((n + 5 * k) / 4 for k in range(4)) / 4) for n in range(4)
    }
    ordered = path.groupby(path.Subject.Name).attributes(dp.Sum(path.Sample.Weight).alias("all"))
    assert ordered.sort(dp.Sum(path.Sample.Weight).alias("all").desc)[0]["Name"] == "S3"


def test_bins(study: Study) -> None:
    sample = study.tables()["Sample"]
    binned = sample.groupby(dp.Bin(sample.Weight, 4, 0, 4).alias("bin")).attributes(dp.Cnt(sample.RID).alias("n"))
    counts = {row["bin"][0]: row["n"] for row in binned}
    assert counts == {1: 4, 2: 4, 3: 4, 4: 4, 5: 4}
    found = sample.groupby(dp.Bin(sample.Weight, 2).alias("bin")).attributes(dp.Cnt(sample.RID).alias("n"))
    assert sum(row["n"] for row in found) == SAMPLES


def test_bins_of_times(study: Study) -> None:
    sample = study.tables()["Sample"]
    first, last = "2026-01-01", "2026-01-05"
    bins = sample.groupby(dp.Bin(sample.RMT, 3, first, last).alias("bin")).attributes(dp.Cnt(sample.RID).alias("n"))
    assert list(bins) == [{"bin": [4, f"{last}T00:00:00+00:00", None], "n": SAMPLES}]


def test_denormalized(study: Study) -> None:
    sample = study.tables()["Sample"]
    rows = sample.path.denormalize()
    assert len(rows) == SAMPLES
    assert {row["Name"] for row in rows} == set(study.samples)
    assert rows[0]["Subject"] is None or len(rows[0]["Subject"]) > 0
    whole = sample.path.denormalize(heuristic=dp.simple_denormalization_with_whole_entities)
    assert len(whole) == SAMPLES


def test_denormalized_as_annotated(own: Study) -> None:
    model = own.catalog.getCatalogModel()
    source = [{"outbound": ["study", "Sample_Subject_fkey"]}, "Age"]
    model.schemas["study"].tables["Sample"].visible_columns = {
        "tour": [
            "Name",
            {"markdown_name": "age", "source": source, "entity": False},
            {"markdown_name": "who", "source": source},
            {"markdown_name": "ages", "source": source, "aggregate": "max", "entity": False},
        ]
    }
    model.apply()
    rows = {row["Name"]: row for row in own.tables()["Sample"].path.denormalize(context_name="tour")}
    assert len(rows) == SAMPLES
    assert rows["sample 04"]["age"] is None
    assert rows["sample 03"]["age"] == 50
    assert [one["Name"] for one in rows["sample 03"]["who"]] == ["S3"]


def test_rows_in(own: Study) -> None:
    tag = own.tables()["Tag"]
    many = tag.insert([{"Name": f"t{n:04d}"} for n in range(2500)])
    assert len(many) == 2500
    skipped = tag.insert([{"Name": "t0001"}, {"Name": "fresh"}], on_conflict_skip=True)
    assert names(skipped) == ["fresh"]
    with pytest.raises(DataPathException) as conflict:
        tag.insert([{"Name": "t0001"}])
    assert conflict.value.reason.response.status_code == 409
    moved = tag.insert(
        [{"RID": "9-AAAA", "Name": "own RID", "RCT": "2020-01-02T03:04:05+00:00"}],
        nondefaults={"RID", "RCT"},
        add_system_defaults=False,
    )
    assert moved[0]["RID"] == "9-AAAA"
    assert moved[0]["RCT"].startswith("2020-01-02T03:04:05")


def test_rows_changed(own: Study) -> None:
    sample = own.tables()["Sample"]
    rows = list(sample.entities())
    for row in rows:
        row["Weight"] = 100.5
        row["Labels"] = None
    done = list(sample.update(rows, targets=["Weight", "Labels"]))
    assert len(done) == SAMPLES
    assert {row["Weight"] for row in sample.entities()} == {100.5}
    sample.update([{"Name": "sample 03", "Count": 77, "Extra": [1, {"a": None}]}], correlation={"Name"})
    (row,) = sample.filter(sample.Name == "sample 03").entities()
    assert (row["Count"], row["Extra"]) == (77, [1, {"a": None}])
    with pytest.raises(DataPathException):
        sample.update([{"RID": rows[0]["RID"], "Subject": "nobody"}])


def test_rows_out(own: Study) -> None:
    tables = own.tables()
    sample, link = tables["Sample"], tables["Sample_Tag"]
    subject = tables["Subject"]
    with pytest.raises(DataPathException) as referred:
        subject.filter(subject.Name == "S0").delete()
    assert referred.value.reason.response.status_code == 409
    sample.filter(sample.Count == 1).link(link).delete()
    assert len(link.entities()) == 16
    sample.filter(sample.Count == 0).delete()
    assert len(sample.entities()) == 16
    assert len(link.entities()) == 12, "an association follows its row"
    with pytest.raises(DataPathException):
        sample.filter(sample.Count == 0).delete()
    link.delete()
    assert len(link.entities()) == 0


def test_mistakes_are_told(study: Study) -> None:
    sample = study.tables()["Sample"]
    for wrong, status in (
        (sample.Count == "many", 400),
        (sample.Taken == "no day", 409),
        (sample.Name.regexp("("), 409),
        (sample.Name.ts("a"), 501),
    ):
        with pytest.raises((DataPathException, requests.HTTPError)) as told:
            sample.filter(wrong).entities().fetch()
        error = told.value.reason if isinstance(told.value, DataPathException) else told.value
        assert error.response.status_code == status
