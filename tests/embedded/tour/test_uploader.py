"""deriva-py's uploader with a small configuration: files to objects, rows of an asset table, and a table from CSV."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deriva.core import ErmrestCatalog, HatracStore
from deriva.core.ermrest_model import Column, Key, Schema, Table, builtin_types
from deriva.transfer import GenericUploader
from deriva.transfer.upload.deriva_upload import UploadState

CONFIG = {
    "version_compatibility": [">=1.0.0"],
    "version_update_url": "https://127.0.0.1/none",
    "asset_mappings": [
        {
            "asset_type": "file",
            "target_table": ["lab", "Image"],
            "file_pattern": ".*/images/(?P<subject>[^/]+)/(?P<name>[^/]+)[.](?P<file_ext>[^.]+)$",
            "column_map": {
                "MD5": "{md5}",
                "URL": "{URI}",
                "Length": "{file_size}",
                "Filename": "{file_name}",
                "Subject": "{subject}",
            },
            "checksum_types": ["md5", "sha256"],
            "create_record_before_upload": False,
            "record_query_template": "/entity/{target_table}/MD5={md5}&Filename={file_name}",
            "hatrac_templates": {"hatrac_uri": "/hatrac/lab/{md5}.{file_name}"},
            "hatrac_options": {"versioned_uris": True},
        },
        {
            "asset_type": "table",
            "file_pattern": ".*/records/(?P<schema>[^/]+)/(?P<table>[^/]+)[.](csv|json)$",
            "default_columns": ["RID", "RCB", "RMB", "RCT", "RMT"],
            "ext_pattern": "^.*[.](?P<file_ext>json|csv)$",
        },
    ],
}


@pytest.fixture
def lab(catalog: ErmrestCatalog) -> ErmrestCatalog:
    schema = catalog.getCatalogModel().create_schema(Schema.define("lab"))
    schema.create_table(Table.define_asset("lab", "Image", column_defs=[Column.define("Subject", builtin_types.text)]))
    columns = [Column.define("Name", builtin_types.text, nullok=False), Column.define("N", builtin_types.int4)]
    schema.create_table(Table.define("Note", columns, [Key.define(["Name"])]))
    return catalog


@pytest.fixture
def uploader(lab: ErmrestCatalog, host: str, credentials: dict[str, str], tmp_path: Path) -> Iterator[GenericUploader]:
    """An uploader of the catalog; it takes SIGINT for itself, so that is given back."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "credential.json").write_text(json.dumps({host: credentials}))
    handler = signal.getsignal(signal.SIGINT)
    yield GenericUploader(
        config_file=str(tmp_path / "config.json"),
        credential_file=str(tmp_path / "credential.json"),
        server={"host": host, "protocol": "http", "catalog_id": lab.catalog_id},
    )
    signal.signal(signal.SIGINT, handler)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of two subjects (one empty, one with odd letters in its name), and notes as CSV and JSON."""
    root = tmp_path / "upload"
    for subject, name, content in (("s1", "a.png", b"first"), ("s1", "é b c.png", b"second"), ("s2", "none.png", b"")):
        path = root / "images" / subject / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / "records" / "lab").mkdir(parents=True)
    (root / "records" / "lab" / "Note.csv").write_text('Name,N\n"one, ""1""",1\ntwo,\n')
    return root


def states(uploader: GenericUploader) -> dict[str, Any]:
    return {Path(path).name: (told["State"], told["Status"]) for path, told in uploader.file_status.items()}


def test_a_folder_goes_up(uploader: GenericUploader, lab: ErmrestCatalog, store: HatracStore, folder: Path) -> None:
    uploader.scanDirectory(str(folder))
    uploader.uploadFiles()
    assert {state for state, _ in states(uploader).values()} == {UploadState.Success}, states(uploader)
    rows = {row["Filename"]: row for row in lab.get("/entity/lab:Image").json()}
    assert len(rows) == 3
    for path in (folder / "images").glob("*/*"):
        row = rows[path.name]
        content = path.read_bytes()
        assert row["Length"] == len(content)
        assert row["MD5"] == hashlib.md5(content).hexdigest()
        assert row["Subject"] == path.parent.name
        assert store.get_obj(row["URL"]).content == content
    notes = lab.get("/attribute/lab:Note/Name,N@sort(Name)").json()
    assert notes == [{"Name": 'one, "1"', "N": 1}, {"Name": "two", "N": None}]


def test_again_changes_nothing(uploader: GenericUploader, lab: ErmrestCatalog, folder: Path) -> None:
    (folder / "records" / "lab" / "Note.csv").unlink()
    uploader.scanDirectory(str(folder))
    uploader.uploadFiles()
    before = lab.get("/attribute/lab:Image/RID,URL,Filename@sort(RID)").json()
    uploader.reset()
    uploader.scanDirectory(str(folder))
    uploader.uploadFiles()
    assert {state for state, _ in states(uploader).values()} == {UploadState.Success}, states(uploader)
    assert lab.get("/attribute/lab:Image/RID,URL,Filename@sort(RID)").json() == before


def test_a_changed_file_is_another_object(uploader: GenericUploader, lab: ErmrestCatalog, folder: Path) -> None:
    (folder / "records" / "lab" / "Note.csv").unlink()
    uploader.scanDirectory(str(folder))
    uploader.uploadFiles()
    (folder / "images" / "s1" / "a.png").write_bytes(b"changed")
    uploader.reset()
    uploader.scanDirectory(str(folder))
    uploader.uploadFiles()
    rows = lab.get("/entity/lab:Image/Filename=a.png").json()
    assert {row["MD5"] for row in rows} == {hashlib.md5(c).hexdigest() for c in (b"first", b"changed")}


def test_the_configuration_in_the_catalog(uploader: GenericUploader, lab: ErmrestCatalog) -> None:
    model = lab.getCatalogModel()
    model.bulk_upload = CONFIG
    model.apply()
    assert uploader.getUpdatedConfig() or uploader.getRemoteConfig()
