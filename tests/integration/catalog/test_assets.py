"""Bytes and rows of assets: stored once, verified, found again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deriva_ml_prefect.catalog import assets, documents, executions, objects
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.rows import get_rows, insert_rows, lease_rids, new_token
from deriva_ml_prefect.catalog.tables import create_tables
from deriva_ml_prefect.exceptions import (
    DerivaMLCatalogConflict,
    DerivaMLChecksumError,
    DerivaMLNotFoundError,
    DerivaMLTableTypeError,
    DerivaMLValidationError,
)
from deriva_ml_prefect.transfer.hashing import FileFacts, hash_file
from deriva_ml_prefect.values.objects import content_disposition, object_path
from deriva_ml_prefect.values.records import AssetTable

CHUNK = 1 << 16


@pytest.fixture(scope="module")
def image(shared: Catalog) -> AssetTable:
    create_tables(shared, [documents.table_document("demo", "Subject", columns=[documents.column("Name", "text")])])
    return assets.create_asset_table(
        shared, "Image", column_defs=[documents.column("Acquired", "date")], referenced_tables=["Subject"]
    )


@pytest.fixture(scope="module")
def execution(shared: Catalog) -> str:
    (rid,) = lease_rids(shared, [new_token()])
    return executions.insert_execution(shared, rid, workflow_rid=None, description="makes files").rid


def new_file(folder: Path, name: str, size: int) -> tuple[Path, FileFacts, str]:
    path = folder / name
    path.write_bytes(os.urandom(size))
    facts = hash_file(path)
    return path, facts, object_path("Image", facts.md5_hex, name)


def test_the_asset_table_is_as_recorded(shared: Catalog, image: AssetTable) -> None:
    tables = shared.model["schemas"]["demo"]["tables"]
    names = [c["name"] for c in tables["Image"]["column_definitions"]][5:]
    assert names == ["URL", "Filename", "Description", "Length", "MD5", "Acquired", "Subject"]
    url = tables["Image"]["column_definitions"][5]
    assert url["annotations"]["tag:isrd.isi.edu,2017:asset"]["md5"] == "MD5"
    assert image.metadata == ("Acquired", "Subject")
    assert image.required_metadata == ("Subject",)
    assert (image.type_table, image.type_asset_column, image.type_term_column) == (
        "Image_Asset_Type",
        "Image",
        "Asset_Type",
    )
    assert (image.execution_table, image.execution_execution_column, image.role_column) == (
        "Image_Execution",
        "Execution",
        "Asset_Role",
    )
    fkeys = {f["names"][0][1] for f in tables["Image_Execution"]["foreign_keys"]}
    assert {"Image_Execution_Image_fkey", "Image_Execution_Execution_fkey", "Image_Execution_Asset_Role_fkey"} <= fkeys


def test_asset_tables_of_the_ml_schema(shared: Catalog) -> None:
    for name in ("Execution_Metadata", "Execution_Asset", "File"):
        table = assets.asset_table(shared, name)
        assert table.schema == "deriva-ml"
        assert table.execution_table == f"{name}_Execution"
    with pytest.raises(DerivaMLTableTypeError):
        assets.asset_table(shared, "Execution")


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 5])
def test_bytes_there_and_back(shared: Catalog, tmp_path: Path, size: int) -> None:
    path, facts, name = new_file(tmp_path, f"file {size};é%.bin", size)
    told: list[int] = []
    url = objects.upload_object(
        shared, path, name, facts, chunk_size=CHUNK, disposition=content_disposition(path.name), progress=told.append
    )
    assert url.startswith(f"{name}:")
    assert sum(told) == size
    before = shared.client.requests
    assert objects.upload_object(shared, path, name, facts, chunk_size=CHUNK) == url
    assert shared.client.requests - before <= 2
    versions = shared.client.request("GET", f"{name};versions").json()
    assert len(versions) == 1
    stored = objects.object_facts(shared, url)
    assert stored is not None
    assert (stored.length, stored.md5_hex) == (size, facts.md5_hex)
    got: list[int] = []
    dest = tmp_path / "back"
    assert objects.download_object(shared, url, dest, md5_hex=facts.md5_hex, length=size, progress=got.append) == size
    assert dest.read_bytes() == path.read_bytes()
    assert sum(got) == size


def test_an_interrupted_upload_goes_on_at_the_first_missing_chunk(shared: Catalog, tmp_path: Path) -> None:
    path, facts, name = new_file(tmp_path, "long.bin", 10 * CHUNK)

    class Killed(Exception):
        pass

    jobs: list[str] = []

    def until_the_sixth(job: str) -> None:
        jobs.append(job)
        if len(jobs) == 7:
            raise Killed

    with pytest.raises(Killed):
        objects.upload_object(shared, path, name, facts, chunk_size=CHUNK, on_job=until_the_sixth)
    told: list[int] = []
    url = objects.upload_object(
        shared, path, name, facts, chunk_size=CHUNK, job=jobs[-1], on_job=jobs.append, progress=told.append
    )
    # of the client's requests one may be sent twice; of the chunks those that were sent are not among them
    assert told == [6 * CHUNK, CHUNK, CHUNK, CHUNK, CHUNK]
    assert objects.download_object(shared, url, tmp_path / "back", md5_hex=facts.md5_hex) == facts.length
    assert objects.upload_object(shared, path, name, facts, chunk_size=CHUNK, job=jobs[-1]) == url


def test_chunks_believed_sent_that_are_missing_are_sent_again(shared: Catalog, tmp_path: Path) -> None:
    path, facts, name = new_file(tmp_path, "torn.bin", 4 * CHUNK)
    jobs: list[str] = []

    class Killed(Exception):
        pass

    def at_once(job: str) -> None:
        jobs.append(job)
        raise Killed

    with pytest.raises(Killed):
        objects.upload_object(shared, path, name, facts, chunk_size=CHUNK, on_job=at_once)
    lie = jobs[0].partition(" ")[0] + " 3"
    url = objects.upload_object(shared, path, name, facts, chunk_size=CHUNK, job=lie)
    objects.download_object(shared, url, tmp_path / "back", md5_hex=facts.md5_hex)
    assert (tmp_path / "back").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("size", [100, 4 * CHUNK])
def test_a_file_changed_behind_our_back_is_not_stored(shared: Catalog, tmp_path: Path, size: int) -> None:
    path, facts, name = new_file(tmp_path, "changed.bin", size)
    path.write_bytes(os.urandom(size))
    with pytest.raises(DerivaMLChecksumError):
        objects.upload_object(shared, path, name, facts, chunk_size=CHUNK)
    path.write_bytes(b"short")
    with pytest.raises(DerivaMLValidationError):
        objects.upload_object(shared, path, name, facts, chunk_size=CHUNK)
    assert objects.object_facts(shared, name) is None


def test_a_wrong_checksum_leaves_what_was_there(shared: Catalog, tmp_path: Path) -> None:
    path, facts, name = new_file(tmp_path, "good.bin", 10)
    url = objects.upload_object(shared, path, name, facts)
    dest = tmp_path / "dest"
    dest.write_text("before")
    with pytest.raises(DerivaMLChecksumError):
        objects.download_object(shared, url, dest, md5_hex="0" * 32)
    with pytest.raises(DerivaMLChecksumError):
        objects.download_object(shared, url, dest, length=11)
    assert dest.read_text() == "before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dest", "good.bin"]


@pytest.mark.parametrize(
    "url",
    [
        "http://elsewhere.org/hatrac/x",
        "file:///etc/passwd",
        "/etc/passwd",
        "/hatrac/../x",
        "//elsewhere/hatrac/x",
        "/hatrac//x",
        "tag://h,2020:file:///x",
    ],
)
def test_foreign_urls_are_refused(shared: Catalog, tmp_path: Path, url: str) -> None:
    before = shared.client.requests
    with pytest.raises(DerivaMLValidationError):
        objects.download_object(shared, url, tmp_path / "x")
    assert shared.client.requests == before


def test_rows_are_made_once_and_read_back(shared: Catalog, image: AssetTable, execution: str) -> None:
    (subject,) = insert_rows(shared, ("demo", "Subject"), [{"Name": "s"}])
    row = {
        "URL": "/hatrac/Image/1.a.png:1",
        "Filename": "a.png",
        "Length": 3,
        "MD5": "1" * 32,
        "Subject": subject["RID"],
    }
    other = {**row, "URL": "/hatrac/Image/2.b.png:1", "Filename": "b.png"}
    first = assets.insert_asset_rows(shared, image, [row])
    both = assets.insert_asset_rows(shared, image, [row, other])
    assert both[row["URL"]] == first[row["URL"]]
    assert len(set(both.values())) == 2
    with pytest.raises(DerivaMLCatalogConflict, match="other bytes"):
        assets.insert_asset_rows(shared, image, [{**row, "MD5": "2" * 32}])
    rid = both[row["URL"]]
    for _ in range(2):
        assets.insert_asset_types(shared, image, [(rid, "Image"), (rid, "Output_File"), (rid, "Image")])
        assets.link_assets(shared, image, execution, both.values(), "Output")
    record = assets.read_asset(shared, rid)
    assert (record.filename, record.length, record.asset_types) == ("a.png", 3, ("Image", "Output_File"))
    assert record.metadata == {"Acquired": None, "Subject": subject["RID"]}
    listed = assets.list_assets(shared, image, execution_rid=execution, role="Output")
    assert {r.filename for r in listed} == {"a.png", "b.png"}
    assert record in listed
    assert assets.list_assets(shared, image, execution_rid=execution, role="Input") == []
    assert len(get_rows(shared, "entity/demo:Image_Execution")) == 2


def test_rids_of_something_else(shared: Catalog, execution: str) -> None:
    with pytest.raises(DerivaMLTableTypeError, match="Execution"):
        assets.read_asset(shared, execution)
    with pytest.raises(DerivaMLNotFoundError):
        assets.read_asset(shared, "ZZZZ-ZZZZ")
    with pytest.raises(DerivaMLValidationError):
        assets.read_asset(shared, "no rid")
