"""A dataset of 50 images becomes a bag once, whole, and verified; afterwards nobody needs the catalog."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deriva_ml_prefect.bags import read
from deriva_ml_prefect.bags.download import BagFacts, download_bag
from deriva_ml_prefect.bags.export import export_dataset
from deriva_ml_prefect.bags.layout import old_asset_folder
from deriva_ml_prefect.bags.manifest import read_fetch
from deriva_ml_prefect.bags.verify import verify_bag
from deriva_ml_prefect.catalog import datasets
from deriva_ml_prefect.catalog.connection import open_catalog
from deriva_ml_prefect.catalog.rows import get_rows, update_rows
from deriva_ml_prefect.exceptions import DerivaMLChecksumError, DerivaMLDataError, DerivaMLDatasetNotFound
from deriva_ml_prefect.values.records import DatasetVersionRecord


@pytest.fixture(scope="module")
def facts(study) -> BagFacts:
    return download_bag(study.again(), study.record)


def test_everything_is_there_and_verified(study, facts) -> None:
    assert not facts.from_cache
    assert (facts.files, facts.version, facts.snapshot) == (51, "1.0.0", study.record.snapshot)
    assert facts.bytes == sum(map(len, study.images.values())) + len(b'{"epoch": 1, "loss": 0.5}\n')
    verify_bag(facts.path)
    for rid, data in study.images.items():
        file = facts.path / "data" / "assets" / "Image" / rid
        assert [each.read_bytes() for each in file.iterdir()] == [data]


def test_bdbag_finds_the_bag_valid(facts) -> None:
    from bdbag import bdbagit

    bag = bdbagit.BDBag(str(facts.path))
    bag.validate()
    assert bag.info["Dataset-RID"] == facts.dataset_rid


def test_the_second_time_costs_no_request(study, facts) -> None:
    catalog = study.again()
    again = download_bag(catalog, study.record)
    assert catalog.client.requests == 0
    assert again.from_cache
    assert again.path == facts.path


def test_few_requests_are_needed(study, lab) -> None:
    catalog = open_catalog(study.catalog.address, settings=lab)
    made = download_bag(catalog, study.record, materialize=False)
    tables = len(read.list_tables(read.open_bag(made.path)))
    assert catalog.client.requests <= tables + 8
    before = catalog.client.requests
    whole = download_bag(catalog, study.record)
    assert catalog.client.requests - before == whole.files == 51
    assert whole.path == made.path


def test_metrics_lie_where_the_chapter_reads_them(study, facts) -> None:
    metadata_dir = facts.path / "data" / "assets" / "Execution_Metadata"
    found = list(metadata_dir.rglob("metrics.jsonl"))
    assert [path.parent.name for path in found] == [study.execution]
    assert json.loads(found[0].read_text()) == {"epoch": 1, "loss": 0.5}
    assert not list(metadata_dir.rglob("uv.lock"))


def test_readers_of_the_older_layout_find_the_same_files(study, facts) -> None:
    for rid, name in study.names.items():
        files = list((facts.path / old_asset_folder("Image", rid)).iterdir())
        assert len(files) == 1
        assert files[0].read_bytes() == study.images[rid]
        assert files[0].name == name.replace("%", "%25")
    moved = facts.path.parent / "moved"
    shutil.copytree(facts.path, moved, symlinks=True)
    rid = next(iter(study.images))
    assert next((moved / old_asset_folder("Image", rid)).iterdir()).resolve().is_relative_to(moved)


def test_reading_without_a_catalog(study, facts) -> None:
    bag = read.open_bag(facts.path)
    assert read.children(bag) == sorted(study.nested)
    assert read.parents(bag, study.nested[0]) == [facts.dataset_rid]
    record = read.dataset_record(bag)
    assert (record.dataset_types, str(record.current_version)) == (("Complete",), "1.0.0")
    assert read.dataset_record(bag, study.nested[0]).dataset_types == ("Training",)
    rids = list(study.images)
    assert {row["RID"] for row in read.members(bag)["Image"]} == set(rids[:3])
    assert {row["RID"] for row in read.members(bag)["Dataset"]} == set(study.nested)
    everything = read.members(bag, recurse=True)["Image"]
    assert {row["RID"]: Path(row["Filename"]).read_bytes() for row in everything} == study.images
    assert {row["RID"] for row in read.members(bag, study.nested[1])["Image"]} == set(rids[30:])
    with pytest.raises(DerivaMLDatasetNotFound, match="holds no dataset 9-ZZZZ"):
        read.members(bag, "9-ZZZZ")


def test_features_without_a_catalog(study, facts) -> None:
    bag = read.open_bag(facts.path)
    assert read.features(bag, "Image") == [study.feature] == read.features(bag)
    rows = read.feature_rows(bag, read.lookup_feature(bag, "Image", "Diagnosis"))
    assert {row["Image"]: row["Grade"] for row in rows} == study.labels
    assert {row["Confidence"] for row in rows} == {0.25}


def test_every_row_is_the_catalogs_own_at_the_snapshot(study, facts) -> None:
    bag = read.open_bag(facts.path)
    for schema, table in sorted(bag.files):
        stored = get_rows(study.catalog, f"entity/{schema}:{table}", snapshot=facts.snapshot)
        by_rid = {row["RID"]: row for row in stored}
        here = {row["RID"]: row for row in read.table_rows(bag, (schema, table), local_paths=False)}
        assert here == {rid: by_rid[rid] for rid in here}, table
    assert [row["Name"] for row in read.table_rows(bag, "Grade")] == ["Mild", "Severe", "Unused, with comma"]
    assert {row["Name"] for row in read.table_rows(bag, "Subject")} == {"S,1", "S2", "S4"}
    assert {row["RID"] for row in read.table_rows(bag, "Execution")} == {study.execution}
    assert len(list(read.table_rows(bag, "Workflow"))) == 1
    assert len(list(read.table_rows(bag, "Image_Asset_Type"))) == 50


def test_a_version_stays_what_it_was(study, lab, facts) -> None:
    rid = next(iter(study.images))
    update_rows(study.catalog, ("demo", "Image"), [{"RID": rid, "Description": "changed afterwards"}])
    made = download_bag(open_catalog(study.catalog.address, settings=lab), study.record, materialize=False)
    rows = {row["RID"]: row for row in read.table_rows(read.open_bag(made.path), "Image")}
    assert rows[rid]["Description"] is None
    again = (made.path / "tagmanifest-md5.txt").read_text()
    assert again == (facts.path / "tagmanifest-md5.txt").read_text()


def test_tables_can_be_left_out(study, lab) -> None:
    made = download_bag(
        open_catalog(study.catalog.address, settings=lab), study.record, materialize=False,
        exclude_tables=["Subject", "Execution_Image_Diagnosis"],
    )  # fmt: skip
    tables = read.list_tables(read.open_bag(made.path))
    assert "Image" in tables
    assert not {"Subject", "Execution_Image_Diagnosis", "Grade"} & set(tables)


def test_a_changed_byte_is_a_named_error_and_is_mended_by_the_next_download(study, lab) -> None:
    catalog = open_catalog(study.catalog.address, settings=lab)
    made = download_bag(catalog, study.record)
    rid = list(study.images)[7]
    file = made.path / "data" / "assets" / "Image" / rid / study.names[rid]
    data = bytearray(file.read_bytes())
    data[3] ^= 1
    file.chmod(0o644)
    file.write_bytes(data)
    with pytest.raises(DerivaMLChecksumError, match=study.names[rid]):
        verify_bag(made.path)
    before = catalog.client.requests
    assert not download_bag(catalog, study.record).from_cache
    assert catalog.client.requests - before == 1
    verify_bag(made.path)
    table = made.path / "data" / "demo" / "Image.csv"
    table.write_text(table.read_text().replace("scan_10", "scan_99"))
    with pytest.raises(DerivaMLChecksumError, match=r"Image\.csv"):
        verify_bag(made.path)
    download_bag(catalog, study.record)
    verify_bag(made.path)


def test_missing_and_extra_files_are_named(study, lab) -> None:
    made = download_bag(open_catalog(study.catalog.address, settings=lab), study.record, materialize=False)
    with pytest.raises(DerivaMLDataError, match="lacks 51 files"):
        verify_bag(made.path)
    assert verify_bag(made.path, complete=False) > 10
    (made.path / "data" / "extra.txt").write_text("x")
    with pytest.raises(DerivaMLDataError, match=r"data/extra\.txt"):
        verify_bag(made.path, complete=False)


def test_an_object_of_other_bytes_than_its_row_is_refused_and_the_others_kept(study, tmp_path, lab) -> None:
    catalog = open_catalog(study.catalog.address, settings=lab)
    made = download_bag(catalog, study.record, materialize=False)
    wrong = read_fetch(made.path)[5]
    manifest = made.path / "manifest-md5.txt"
    manifest.write_text(manifest.read_text().replace(f"{wrong.md5_hex}  {wrong.path}\n", f"{'0' * 32}  {wrong.path}\n"))
    with pytest.raises(DerivaMLChecksumError, match=r"did not arrive as promised"):
        download_bag(catalog, study.record)
    assert not (made.path / wrong.path).exists()
    there = [entry for entry in read_fetch(made.path) if (made.path / entry.path).is_file()]
    assert len(there) == 50


def test_a_dataset_that_is_not_there(study, lab) -> None:
    record = DatasetVersionRecord("1", "9-ZZZZ", study.record.version, study.record.snapshot, None, None)
    with pytest.raises(DerivaMLDatasetNotFound, match="9-ZZZZ"):
        download_bag(open_catalog(study.catalog.address, settings=lab), record)
    assert not [path for path in (lab.cache / "bags").iterdir() if path.is_dir()]


def test_the_current_version_is_found_and_a_development_version_is_read_as_it_is(study, lab) -> None:
    catalog = open_catalog(study.catalog.address, settings=lab)
    record = datasets.resolve_version(catalog, study.record.dataset_rid)
    assert record.snapshot == study.record.snapshot
    live = DatasetVersionRecord(record.rid, record.dataset_rid, record.version, None, None, None)
    made = download_bag(catalog, live, materialize=False)
    assert made.snapshot != record.snapshot
    assert not made.from_cache


_DOWNLOAD = """
import pickle, sys
from deriva_ml_prefect.bags.download import download_bag
from deriva_ml_prefect.catalog.connection import open_catalog
address, settings, record = pickle.load(sys.stdin.buffer)
facts = download_bag(open_catalog(address, settings=settings), record)
print(facts.path, facts.from_cache)
"""


def test_two_processes_make_one_bag(study, lab) -> None:
    asked = pickle.dumps((study.catalog.address, lab, study.record))
    command = [sys.executable, "-c", _DOWNLOAD]
    runs = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    for run in runs:
        assert run.stdin is not None
        run.stdin.write(asked)
        run.stdin.close()
        run.stdin = None
    told = sorted(run.communicate(timeout=60)[0].decode().split() for run in runs)
    assert [cached for _, cached in told] == ["False", "True"]
    assert told[0][0] == told[1][0]
    verify_bag(Path(told[0][0]))


def test_what_a_killed_process_left_is_removed(study, lab) -> None:
    catalog = open_catalog(study.catalog.address, settings=lab)
    made = download_bag(catalog, study.record, materialize=False)
    entry = made.path.parent
    left = entry.parent / f".{entry.name}.left"
    entry.rename(left)
    download_bag(catalog, study.record, materialize=False)
    assert not left.exists()


def test_an_export_goes_only_into_a_new_folder(study, tmp_path) -> None:
    bag = export_dataset(study.again(), study.record, tmp_path / "bag")
    verify_bag(bag, complete=False)
    with pytest.raises(FileExistsError):
        export_dataset(study.again(), study.record, tmp_path / "bag")
