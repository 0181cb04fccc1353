"""Bags of files with odd names, and bags that somebody has changed: read as they are, or refused by name."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from deriva_ml_prefect.bags.read import open_bag
from deriva_ml_prefect.bags.verify import verify_bag
from deriva_ml_prefect.config.dataset import DatasetSpec
from deriva_ml_prefect.exceptions import DerivaMLDataError, DerivaMLValidationError
from deriva_ml_prefect.ml.bag import DatasetBag
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from tests.integration.hostile.conftest import Begin
from tests.integration.hostile.test_values import CARRIED, tables  # noqa: F401 (a fixture)

NAMES = (
    "Case.TXT", "case.txt", unicodedata.normalize("NFC", "é.txt"), unicodedata.normalize("NFD", "é.txt"), "-rf",
    "a%2Fb", "a%0Ab", " before", "behind ", "a\u2028b", "a\x85b", "behind\u3000", "👩‍🔬" * 22 + "abcdefg", "x;upload",
    "x:version", "a?b", "a#b", "\u202eabc", "%", "*", "dot.",
)  # fmt: skip


def _bag_of(ml: DerivaML, begin: Begin, names: tuple[str, ...]) -> DatasetBag:
    for table in ("Image", "Mask"):
        if table not in ml.list_dataset_element_types():
            ml.add_dataset_element_type(table)
    with begin() as exe:
        for name in names:
            exe.asset_file_path("Image", name).write_bytes(b"the same")
            exe.asset_file_path("Mask", name).write_bytes(name.encode())
        dataset = exe.create_dataset("Training", description='a,b\n"c"\r\nd')
    exe.upload_execution_outputs(retry_delay=0)
    dataset.add_dataset_members([asset.asset_rid for asset in ml.lookup_execution(exe.execution_rid).output_assets])
    return ml.download_dataset_bag(DatasetSpec(rid=dataset.dataset_rid))


def test_files_of_every_name_arrive(ml: DerivaML, begin: Begin) -> None:
    """Twins in letter case and composition too, in two tables; other tools find the bag whole as well."""
    bdbag = pytest.importorskip("bdbag.bdbag_api")
    bag = _bag_of(ml, begin, NAMES)
    assert bag.description == 'a,b\n"c"\r\nd'
    assert sorted(row["Filename"] for row in open_bag(bag.path).rows(("lab", "Mask"))) == sorted(NAMES)
    members = bag.list_dataset_members()
    assert sorted(Path(row["Filename"]).read_bytes().decode() for row in members["Mask"]) == sorted(NAMES)
    assert [Path(row["Filename"]).read_bytes() for row in members["Image"]] == [b"the same"] * len(NAMES)
    assert verify_bag(bag.path) > 2 * len(NAMES)
    bdbag.validate_bag(str(bag.path), fast=False)


def _written(place: str, content: bytes) -> Callable[[Path], object]:
    return lambda bag: (bag / place).write_bytes(content)


def _linked(place: str) -> Callable[[Path], object]:
    def change(bag: Path) -> None:
        (bag / place).unlink()
        (bag / place).symlink_to("/etc/passwd")

    return change


SCHEMA, TABLE = "data/schema.json", "data/lab/Mask.csv"
CHANGES: dict[str, Callable[[Path], object]] = {
    "schema without end": _written(SCHEMA, b"[" * 100_000),
    "schema is a list": _written(SCHEMA, b"[1]"),
    "schema is a text": _written(SCHEMA, b'"x"'),
    "schema of nothing": _written(SCHEMA, b'{"schemas": null}'),
    "schema with a list of tables": _written(SCHEMA, b'{"schemas": {"a": {"tables": [1]}}}'),
    "schema that is no UTF-8": _written(SCHEMA, b"\xff"),
    "table that is no UTF-8": _written(TABLE, b"RID,\xff\n"),
    "torn table": _written(TABLE, b'RID,"URL\n'),
    "table without RIDs": _written(TABLE, b"URL\nx\n"),
    "text for a number": _written(TABLE, b"RID,Length\n1,four\n"),
    "values missing": _written(TABLE, b"RID,URL\n1\n"),
    "table is a link": _linked(TABLE),
    "information is a link": _linked("bag-info.txt"),
}


def test_changed_bag_is_refused_by_name(ml: DerivaML, begin: Begin, tmp_path: Path) -> None:
    whole = _bag_of(ml, begin, ("a.txt",)).path
    for name, change in CHANGES.items():
        bag = tmp_path / name
        shutil.copytree(whole, bag, symlinks=True)
        change(bag)
        with pytest.raises(DerivaMLDataError):
            DatasetBag(open_bag(bag)).list_dataset_members(recurse=True)


@pytest.mark.usefixtures("tables")
def test_values_of_every_kind_are_read_back_from_a_bag(ml: DerivaML, begin: Begin) -> None:
    if "Subject" not in ml.list_dataset_element_types():
        ml.add_dataset_element_type("Subject")
    subject = ml.pathBuilder().schemas["lab"].tables["Subject"]
    rids = [row["RID"] for row in subject.insert([{"Name": f"bagged {name}"} for name in CARRIED])]
    record = ml.feature_record_class("Subject", "Oddity")
    wanted = dict(zip(rids, CARRIED.values(), strict=True))
    with begin() as exe:
        exe.add_features([record(Subject=rid, **{column: value}) for rid, (column, value) in wanted.items()])
        dataset = exe.create_dataset("Training")
    exe.upload_execution_outputs(retry_delay=0)
    dataset.add_dataset_members({"Subject": rids})
    bag = ml.download_dataset_bag(DatasetSpec(rid=dataset.dataset_rid))
    found = {value.Subject: value for value in bag.feature_values("Subject", "Oddity")}
    for rid, (column, value) in wanted.items():
        read = getattr(found[rid], column)
        assert (read, type(read)) == (value, type(value)), column


@pytest.mark.parametrize(
    "snapshot", ["x/../../../escaped", "/tmp/deriva-ml-hostile-snapshot", "m" * 400, "a b", "?x#y"]
)
def test_snapshot_that_a_row_of_the_catalog_has(snapshot: str, ml: DerivaML, begin: Begin, home: Path) -> None:
    """The folder in the cache is named after it: another client may have written anything there."""
    with begin() as exe:
        dataset = exe.create_dataset("Training", description="hostile")
    exe.upload_execution_outputs(retry_delay=0)
    versions = ml.pathBuilder().schemas["deriva-ml"].tables["Dataset_Version"]
    (row,) = versions.filter(versions.Dataset == dataset.dataset_rid).entities().fetch()
    versions.update([{"RID": row["RID"], "Snapshot": snapshot}])
    there = set(home.rglob("*"))
    with pytest.raises(DerivaMLValidationError, match=f"dataset {dataset.dataset_rid}, .* is not a RID"):
        ml.download_dataset_bag(DatasetSpec(rid=dataset.dataset_rid, version=row["Version"]))
    assert set(home.rglob("*")) == there
    assert not Path("/tmp/deriva-ml-hostile-snapshot").exists()
