"""File names that mean something to a shell, a file system, a URL or Hatrac: carried to the letter, or refused."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deriva.core.ermrest_model import Schema, Table

from deriva_ml_prefect.exceptions import (
    DerivaMLException,
    DerivaMLSchemaError,
    DerivaMLValidationError,
    NoAssociationException,
)
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from tests.integration.hostile.conftest import Begin, Made, Refused, files_below

CARRIED = {
    "leading dash": "-rf",
    "two dashes": "--help",
    "trailing dot": "dot.",
    "trailing space": "space ",
    "leading dot": ".hidden",
    "three dots": "...",
    "255 bytes": "n" * 251 + ".txt",
    "255 bytes of UTF-8": "é" * 127 + "x",
    "no ending": "README",
    "two endings": "a.b.txt",
    "right to left": "gpj\u202etxt.exe",
    "zero width": "a\u200bb",
    "emoji": "👩‍🔬.png",
    "percent 2F": "a%2Fb",
    "percent 00": "a%00b",
    "percent": "100%",
    "upload of Hatrac": "x;upload",
    "metadata of Hatrac": "x;metadata",
    "version of Hatrac": "x:version",
    "versions of Hatrac": "x;versions",
    "question mark": "a?b=c",
    "hash": "a#b",
    "ampersand": "a&b",
    "star": "*",
    "quotes": 'it\'s "quoted"',
    "comma and equals": "a,b=(c)",
    "shell": "$(touch pwned)`touch pwned`;touch pwned",
    "format": "{0}%s%n",
    "NULL": "NULL",
    "NFC": unicodedata.normalize("NFC", "é.txt"),
    "NFD": unicodedata.normalize("NFD", "é.txt"),
}

REFUSED = {
    "empty": "",
    "parent": "..",
    "itself": ".",
    "below the parent": "../x",
    "below the parent, twice": "../../outside",
    "absolute": "/tmp/deriva-ml-hostile-x",
    "folder": "a/b",
    "job of Hatrac": "x;upload/1",
    "NUL": "a\0b",
    "newline": "a\nb",
    "carriage return": "a\rb",
    "tab": "a\tb",
    "escape": "a\x1b[31mb",
    "DEL": "a\x7fb",
    "256 bytes": "n" * 256,
    "256 bytes of UTF-8": "é" * 128,
    "10,000 characters": "n" * 10_000,
    "undecodable": os.fsdecode(b"a\xffb"),
    "backslash": "a\\b",
}


@pytest.mark.parametrize("name", CARRIED.values(), ids=CARRIED)
def test_name_is_carried_to_the_letter(name: str, begin: Begin, made: Made, sources: Path) -> None:
    """A new file and a copied one, up into the catalog and down again as an input; nothing appears anywhere else."""
    new, existing = b"new " + name.encode(), b"existing " + name.encode()
    (sources / "existing").mkdir()
    (sources / "existing" / name).write_bytes(existing)
    there = files_below(sources.parent)
    with begin() as exe:
        path = exe.asset_file_path("Image", name)
        assert path == exe.context.staged / "Image" / name
        path.write_bytes(new)
        exe.asset_file_path("Mask", sources / "existing" / name, copy_file=True)
    exe.upload_execution_outputs(retry_delay=0)
    assert made(exe)[name][1] in (new, existing)
    outputs = {asset.asset_table: asset for asset in exe.ml.lookup_execution(exe.execution_rid).output_assets}
    assert {table: asset.filename for table, asset in outputs.items()} == {"Image": name, "Mask": name}
    with begin() as reader:
        for table, content, cache in (("Image", new, False), ("Mask", existing, True)):
            copy = reader.download_asset(outputs[table].asset_rid, use_cache=cache)
            assert copy == reader.context.folder / "inputs" / table / outputs[table].asset_rid / name
            assert copy.read_bytes() == content
    assert files_below(sources.parent) == there


@pytest.mark.parametrize("name", REFUSED.values(), ids=REFUSED)
def test_name_is_refused(name: str, begin: Begin, refused: Refused, sources: Path) -> None:
    (sources / "source.txt").write_bytes(b"x")
    exe = begin()
    with refused(DerivaMLValidationError):
        exe.asset_file_path("Image", name)
    if name:
        with refused(DerivaMLValidationError):
            exe.asset_file_path("Image", "source.txt", rename_file=name)
        with refused(DerivaMLValidationError):
            exe.metrics_file(name)
        with refused(DerivaMLValidationError):
            exe.checkpoint_path(name)


def test_existing_file_of_an_undecodable_name(begin: Begin, refused: Refused, sources: Path) -> None:
    path = os.fsencode(sources) + b"/a\xffb"
    with open(path, "wb") as file:  # noqa: PTH123 (a path of bytes)
        file.write(b"x")
    exe = begin()
    with refused(DerivaMLValidationError, "not valid Unicode"):
        exe.asset_file_path("Image", os.fsdecode(path))


@pytest.mark.parametrize("copy_file", [False, True], ids=["linked", "copied"])
def test_existing_file_in_a_folder_of_an_undecodable_name(
    copy_file: bool, begin: Begin, refused: Refused, sources: Path
) -> None:
    folder = Path(os.fsdecode(os.fsencode(sources) + b"/a\xffb"))
    folder.mkdir()
    (folder / "fine.txt").write_bytes(b"x")
    exe = begin()
    with refused(DerivaMLValidationError, "not valid Unicode"):
        exe.asset_file_path("Image", folder / "fine.txt", copy_file=copy_file)


@pytest.mark.parametrize(
    "name", ["../escaped", "/tmp/deriva-ml-hostile-table", "a/b", "...", "x\ny", "C:\\x", "%2E%2E"]
)
def test_table_of_a_name_that_leads_away(
    name: str, ml: DerivaML, begin: Begin, made: Made, tmp_path: Path, sources: Path
) -> None:
    """ERMrest lets a table have any name: what is staged and downloaded stays in the folder of the execution."""
    if name not in ml.model.schemas["lab"].tables:
        ml.create_asset(name)
    there = files_below(sources.parent)
    with begin() as exe:
        path = exe.asset_file_path(name, "x.txt")
        path.write_bytes(name.encode())
        assert path.resolve().parent.parent == exe.context.staged.resolve()
    exe.upload_execution_outputs(retry_delay=0)
    asset, stored = made(exe)["x.txt"]
    assert (asset.asset_table, stored) == (name, name.encode())
    with begin(assets=[asset.rid]) as reader:
        copies = [reader.download_asset(asset.rid), *(reader.context.folder / "inputs").rglob("x.txt")]
        for copy in copies:
            assert copy.read_bytes() == name.encode()
            assert copy.resolve().parent.parent.parent == (reader.context.folder / "inputs").resolve()
    assert files_below(sources.parent) == there
    assert not Path("/tmp/deriva-ml-hostile-table").exists()


@pytest.mark.parametrize("name", [".", ".."])
def test_table_of_a_name_that_no_folder_can_have(name: str, ml: DerivaML, begin: Begin, refused: Refused) -> None:
    """It is not made; one that another client has made takes no files, and is in nobody's way."""
    with refused(DerivaMLValidationError, "folder's own name"):
        ml.create_asset(name)
    schema = ml.model.schemas["lab"]
    if name not in schema.tables:
        columns = [column.prejson() for column in schema.tables["Image"].columns if column.name[:1] != "R"]
        schema.create_table(Table.define(name, columns))
    ml.refresh_schema()
    with begin() as exe:
        exe.asset_file_path("Image", "honest.txt").write_bytes(exe.execution_rid.encode())
        with refused((DerivaMLValidationError, NoAssociationException)):
            exe.asset_file_path(name, "x.txt")
    exe.upload_execution_outputs(retry_delay=0)
    assert "honest.txt" in [asset.filename for asset in exe.ml.lookup_execution(exe.execution_rid).output_assets]
    assert ml.verify_execution(exe.execution_rid).same


@pytest.mark.parametrize("md5", ["x/../../../escaped", "/tmp/deriva-ml-hostile-md5", "a\\b", "m" * 400, ""])
def test_checksum_that_a_row_of_the_catalog_has(md5: str, ml: DerivaML, begin: Begin, home: Path) -> None:
    """The folder in the cache is named after it: another client may have written anything there."""
    values = {"URL": f"/hatrac/Mask/{len(md5)}", "Filename": "x.txt", "Length": 1, "MD5": md5}
    (row,) = ml.pathBuilder().schemas["lab"].tables["Mask"].insert([values])
    exe = begin()
    there = set(home.rglob("*"))
    with pytest.raises(DerivaMLException):
        exe.download_asset(row["RID"], use_cache=True)
    made = {path for path in set(home.rglob("*")) - there if path.is_relative_to(home)}
    inside = (home / "cache", exe.context.folder)
    assert not [path for path in made if not any(path.is_relative_to(folder) for folder in inside)]
    assert not Path("/tmp/deriva-ml-hostile-md5").exists()
    exe.abort()


@pytest.fixture
def twin(ml: DerivaML) -> Iterator[None]:
    """A second asset table called Mask, in another schema; it goes again with the test."""
    ml.model.create_schema(Schema.define("twin"))
    ml.refresh_schema()
    ml.create_asset("Mask", schema="twin")
    yield
    ml.model.schemas["twin"].drop(cascade=True)
    ml.refresh_schema()


@pytest.mark.usefixtures("twin")
def test_tables_of_one_name_in_two_schemas(begin: Begin, refused: Refused) -> None:
    """Files are kept by the bare name of their table: one would get the files of the other."""
    with begin() as exe:
        exe.asset_file_path("lab:Mask", "x.txt").write_bytes(b"lab")
        with refused(DerivaMLSchemaError, "lab:Mask has the same name"):
            exe.asset_file_path("twin:Mask", "x.txt")
        with refused(DerivaMLSchemaError, "lab:Mask has the same name"):
            exe.asset_file_path("twin:Mask", "y.txt")
    exe.upload_execution_outputs(retry_delay=0)
    assert exe.ml.verify_execution(exe.execution_rid).same


@pytest.mark.usefixtures("twin")
def test_an_input_whose_table_has_a_namesake(ml: DerivaML, begin: Begin) -> None:
    """It is linked in its own table, and its executions are found there."""
    with begin() as maker:
        maker.asset_file_path("lab:Mask", "x.txt").write_bytes(b"twin")
    (made,) = maker.upload_execution_outputs(retry_delay=0)["Mask"]
    url, md5 = (getattr(ml.lookup_asset(made.asset_rid), name) for name in ("url", "md5"))
    values = {"URL": url, "Filename": "x.txt", "Length": 4, "MD5": md5}
    (row,) = ml.pathBuilder().schemas["twin"].tables["Mask"].insert([values])
    exe = begin(assets=[row["RID"]])
    later = begin()
    assert exe.asset_paths["Mask"][0].read_bytes() == b"twin"
    assert later.download_asset(row["RID"]).read_bytes() == b"twin"
    found = ml.lookup_asset(row["RID"]).list_executions("Input")
    assert [each.rid for each in found] == [exe.execution_rid, later.execution_rid]
    for each in (exe, later):
        each.abort()


@pytest.mark.usefixtures("twin")
def test_a_feature_whose_target_has_a_namesake(ml: DerivaML, begin: Begin) -> None:
    """Its values go to its own table, also where the namesake has a feature of that name."""
    quality: Any = {"name": "Quality", "type": {"typename": "int4"}, "nullok": True, "default": None, "comment": None}
    values = {"URL": "/hatrac/x", "Filename": "x", "Length": 1, "MD5": "0" * 32}
    (row,) = ml.pathBuilder().schemas["twin"].tables["Mask"].insert([values])
    only = ml.create_feature("twin:Mask", "Only_Twin", metadata=[quality])
    both = ml.create_feature("twin:Mask", "Both", metadata=[quality])
    ml.create_feature("lab:Mask", "Both", metadata=[quality])
    with begin() as exe:
        exe.add_features([only(Mask=row["RID"], Quality=1)])
        exe.add_features([both(Mask=row["RID"], Quality=2)])
    exe.upload_execution_outputs(retry_delay=0)
    found = {name: ml.feature_values("twin:Mask", name) for name in ("Only_Twin", "Both")}
    assert {name: [value.Quality for value in values] for name, values in found.items()} == {
        "Only_Twin": [1],
        "Both": [2],
    }
    assert ml.feature_values("lab:Mask", "Both") == []
    assert ml.verify_execution(exe.execution_rid).same
    ml.model.schemas["lab"].tables["Execution_Mask_Both"].drop()


@pytest.mark.parametrize("other", ["Asset_Type", "Execution"])
@pytest.mark.usefixtures("twin")
def test_a_table_that_two_associations_make_unclear_is_in_nobodys_way(other: str, ml: DerivaML, begin: Begin) -> None:
    ends = [ml.model.schemas["twin"].tables["Mask"], ml.model.schemas["deriva-ml"].tables[other]]
    roles = [ml.model.schemas["deriva-ml"].tables["Asset_Role"]] if other == "Execution" else []
    ml.model.schemas["twin"].create_table(Table.define_association(ends, metadata=roles, table_name="Second"))
    ml.refresh_schema()
    with begin() as exe:
        exe.asset_file_path("Image", "x.txt").write_bytes(other.encode())
    exe.upload_execution_outputs(retry_delay=0)
    assert ml.verify_execution(exe.execution_rid).same
    assert "x.txt" in {asset.filename for asset in ml.lookup_execution(exe.execution_rid).list_assets("Output")}


@pytest.mark.parametrize("name", ["Asset_Type", "Workflow_Type", "Dataset_Type", "Asset_Role"])
@pytest.mark.usefixtures("twin")
def test_a_vocabulary_that_has_the_name_of_one_of_deriva_ml(name: str, ml: DerivaML, begin: Begin) -> None:
    """A catalog may have had it before DerivaML: what DerivaML writes has the terms of its own."""
    ml.create_vocabulary(name, "Of the lab", schema="twin")
    with begin() as exe:
        exe.asset_file_path("Image", "x.txt", asset_types="Derived").write_bytes(name.encode())
        dataset = exe.create_dataset("Training", description=name)
    exe.upload_execution_outputs(retry_delay=0)
    assert ml.verify_execution(exe.execution_rid).same
    assert ml.lookup_dataset(dataset.dataset_rid).dataset_types == ["Training"]


def test_path_of_an_existing_file_gives_its_last_part(begin: Begin, made: Made, sources: Path) -> None:
    (sources.parent / "above.txt").write_bytes(b"above")
    with begin() as exe:
        path = exe.asset_file_path("Image", "../above.txt")
        assert path.parent == exe.context.staged / "Image"
    exe.upload_execution_outputs(retry_delay=0)
    assert {name: content for name, (_, content) in made(exe).items()} == {"above.txt": b"above"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (unicodedata.normalize("NFC", "é.txt"), unicodedata.normalize("NFD", "é.txt")),
        ("Case.TXT", "case.txt"),
        ("a%2Fb", "a%252Fb"),
        ("a b", "a+b"),
    ],
    ids=["NFC and NFD", "case", "percent", "space and plus"],
)
@pytest.mark.parametrize("same_bytes", [True, False])
def test_twins_stay_two_files(first: str, second: str, same_bytes: bool, begin: Begin, made: Made) -> None:
    with begin() as exe:
        exe.asset_file_path("Image", first).write_bytes(b"one")
        exe.asset_file_path("Image", second).write_bytes(b"one" if same_bytes else b"two")
    exe.upload_execution_outputs(retry_delay=0)
    found = {name: content for name, (_, content) in made(exe).items()}
    assert found == {first: b"one", second: b"one" if same_bytes else b"two"}


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/deriva-ml-hostile-x", "a/b", "..", "a\x00b", "n" * 400])
def test_name_that_a_row_of_the_catalog_has(name: str, begin: Begin, sources: Path, tmp_path: Path) -> None:
    """Another client wrote the name: the file still lands in the folder of its asset, under one segment."""
    if "\0" in name:
        name = "a\x01b"
    with begin() as exe:
        exe.asset_file_path("Image", "honest.txt").write_bytes(name.encode())
    exe.upload_execution_outputs(retry_delay=0)
    (asset,) = exe.ml.lookup_execution(exe.execution_rid).output_assets
    table = exe.ml.pathBuilder().schemas["lab"].tables["Image"]
    table.update([{"RID": asset.asset_rid, "Filename": name}])
    before = files_below(tmp_path / "outer")
    with begin() as reader:
        for cache in (False, True):
            path = reader.download_asset(asset.asset_rid, use_cache=cache)
            assert path.read_bytes() == name.encode()
            assert path.parent == reader.context.folder / "inputs" / "Image" / asset.asset_rid
    assert files_below(tmp_path / "outer") == before
    assert not Path("/tmp/deriva-ml-hostile-x").exists()
