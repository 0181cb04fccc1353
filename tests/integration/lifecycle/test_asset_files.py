"""Registered files: the three modes, names, types, metadata, and what of them reaches the catalog."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import uuid
from collections.abc import Callable, Set
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.exceptions import (
    DerivaMLInvalidTerm,
    DerivaMLReadOnlyError,
    DerivaMLTableNotFound,
    DerivaMLTableTypeError,
    DerivaMLUploadError,
    DerivaMLValidationError,
)
from deriva_ml_prefect.journal.manifest import FILE_NAME, read_manifest
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases.scrubbing import LogScrubber
from deriva_ml_prefect.values.records import AssetRecord
from deriva_ml_prefect.values.status import ExecutionStatus

Begin = Callable[..., Execution]
S = ExecutionStatus


def made(ml: DerivaML, exe: Execution) -> dict[str, AssetRecord]:
    """Assets that the execution made in tables of the lab, by file name."""
    summary = ml.summarize_execution(exe.execution_rid)
    return {str(a.filename): a for a in summary.output_assets if a.asset_table != "Execution_Metadata"}


def content(ml: DerivaML, exe: Execution, asset: AssetRecord, folder: Path) -> bytes:
    return Path(exe.download_asset(asset.rid, folder, update_catalog=False)).read_bytes()


def manifest(exe: Execution) -> dict[str, Any]:
    assets: dict[str, Any] = read_manifest(exe.context.folder)["assets"]
    return assets


@pytest.mark.spec("files.new", "files.symlink", "files.copy", "files.rename", "upload.return")
def test_three_modes_and_rename(ml: DerivaML, begin: Begin, tmp_path: Path) -> None:
    linked, copied = tmp_path / "linked.png", tmp_path / "copied.png"
    linked.write_bytes(b"linked")
    copied.write_bytes(b"copied")
    with begin() as exe:
        new = exe.asset_file_path("Image", "new.png")
        new.write_bytes(b"new")
        a = exe.asset_file_path("Image", str(linked))
        b = exe.asset_file_path("Image", copied, copy_file=True)
        c = exe.asset_file_path("Image", linked, rename_file="renamed.png")
        d = exe.asset_file_path("Image", "bare.png", rename_file="named.png")
        d.write_bytes(b"bare")
        assert [path.is_symlink() for path in (new, a, b, c)] == [False, True, False, True]
        copied.write_bytes(b"changed after the copy")
        modes = [entry["mode"] for entry in manifest(exe).values() if entry["asset_table"] == "Image"]
        assert modes == ["new", "symlink", "copy", "symlink", "new"]
    uploaded = exe.upload_execution_outputs()
    files = {path.file_name: path for path in uploaded["Image"]}
    assert set(files) == {"new.png", "linked.png", "copied.png", "renamed.png", "named.png"}
    found = made(ml, exe)
    wanted = {"new.png": b"new", "linked.png": b"linked", "copied.png": b"copied"}
    wanted |= {"renamed.png": b"linked", "named.png": b"bare"}
    for name, data in wanted.items():
        assert found[name].md5 == hashlib.md5(data).hexdigest()
        assert found[name].length == len(data)
        assert found[name].rid == files[name].asset_rid
        assert content(ml, exe, found[name], tmp_path / "back") == data
    assert linked.read_bytes() == b"linked"


@pytest.mark.spec(
    "files.types",
    "files.types-default",
    "files.metadata",
    "files.description",
    "files.set-metadata",
    "files.set-types",
)
def test_types_metadata_and_description(ml: DerivaML, begin: Begin) -> None:
    with begin() as exe:
        plain = exe.asset_file_path("Image", "plain.png")
        full = exe.asset_file_path(
            "Image",
            "full.png",
            asset_types=["Image", "Derived"],
            metadata={"Camera": "A"},
            Exposure=7,
            description="a description",
        )
        later = exe.asset_file_path("Image", "later.png", asset_types="Derived")
        for path in (plain, full, later):
            path.write_bytes(path.file_name.encode())
        later.set_metadata("Camera", "B")
        later.set_metadata("Exposure", 8)
        later.set_asset_types(["Image"])
        later.set_description("said later")
        assert later.metadata == {"Camera": "B", "Exposure": 8}
        assert manifest(exe)["Image/later.png"]["metadata"] == {"Camera": "B", "Exposure": 8}
    exe.upload_execution_outputs()
    found = made(ml, exe)
    assert found["plain.png"].asset_types == ("Image",)
    assert set(found["full.png"].asset_types) == {"Image", "Derived"}
    assert found["full.png"].description == "a description"
    assert found["full.png"].metadata == {"Camera": "A", "Exposure": 7}
    assert found["later.png"].asset_types == ("Image",)
    assert found["later.png"].description == "said later"
    assert found["later.png"].metadata == {"Camera": "B", "Exposure": 8}
    with pytest.raises(DerivaMLReadOnlyError, match="in the catalog already"):
        later.set_metadata("Camera", "C")


@pytest.mark.spec("metrics.type", "metrics.first-call", "metrics.name", "metrics.streams")
def test_file_of_metrics(ml: DerivaML, begin: Begin) -> None:
    with begin() as exe:
        for epoch in range(3):
            with exe.metrics_file().open("a") as stream:
                stream.write(json.dumps({"epoch": epoch}) + "\n")
        exe.metrics_file("other.jsonl").write_text("{}\n")
    exe.upload_execution_outputs()
    files = {a.filename: a for a in ml.summarize_execution(exe.execution_rid).output_assets}
    assert files["metrics.jsonl"].asset_types == ("Metrics_File",)
    assert files["metrics.jsonl"].length == 3 * len('{"epoch": 0}\n')
    assert files["other.jsonl"].asset_table == "Execution_Metadata"


def test_path_derives_plain_paths_and_can_be_pickled(begin: Begin) -> None:
    exe = begin()
    path = exe.asset_file_path("Image", "p.png")
    assert type(path.parent) is type(Path())
    assert type(path / "x") is type(Path())
    assert type(path.with_suffix(".txt")) is type(Path())
    assert path.resolve() == path
    assert str(path.parent / "x").endswith("/staged/Image/x")
    path.write_text("x")
    assert path.rename(path.parent / "moved").read_text() == "x"
    again = pickle.loads(pickle.dumps(path))
    assert again == path
    assert again.asset_table == "Image"


NAMES = [
    "a.b.txt",
    "README",
    "müller – ß.txt",  # noqa: RUF001
    "x" * 251 + ".txt",
    ".hidden",
    "trailing.",
    "trailing ",
    "-dash",
    "a%2Fb",
    "100%00.txt",
    "a;upload",
    "a:version",
    "a?b#c&d*e",
    "e\u0301.txt",
    "\u00e9.txt",
    "CASE.txt",
    "case.txt",
    "\u202egnp.txt",
    "🧪.txt",
    "a,b'c\"d.txt",
]


def test_names_that_are_carried_exactly(ml: DerivaML, begin: Begin, tmp_path: Path) -> None:
    with begin() as exe:
        for name in NAMES:
            exe.asset_file_path("Image", name).write_bytes(name.encode())
            assert list(manifest(exe))[-1] == f"Image/{name}"
    uploaded = exe.upload_execution_outputs()
    assert sorted(path.file_name for path in uploaded["Image"]) == sorted(NAMES)
    found = made(ml, exe)
    assert set(found) == set(NAMES)
    for name in NAMES:
        folder = tmp_path / hashlib.md5(name.encode()).hexdigest()
        back = exe.download_asset(found[name].rid, folder, update_catalog=False)
        assert back.name == name
        assert back.read_bytes() == name.encode()


HOSTILE = [
    "",
    ".",
    "..",
    "../x",
    "/etc/nothing-here",
    "a/b",
    "a\\b",
    "a\0b",
    "a\nb",
    "a\tb",
    "\x7f",
    "x" * 256,
    "ß" * 128,
]
HOSTILE += ["x" * 5000, "lone\ud800", os.fsdecode(b"bytes\xff.txt")]


def test_hostile_names_are_refused(begin: Begin, tmp_path: Path) -> None:
    source = tmp_path / "source.png"
    source.write_bytes(b"x")
    exe = begin()
    waiting = len(exe.staged().files)
    for name in HOSTILE:
        with pytest.raises(DerivaMLValidationError):
            exe.asset_file_path("Image", name)
        with pytest.raises(DerivaMLValidationError):
            exe.asset_file_path("Image", source, rename_file=name or ".")
        with pytest.raises(DerivaMLValidationError):
            exe.metrics_file(name)
    assert len(exe.staged().files) == waiting
    assert not (exe.context.staged / "Image").exists() or not list((exe.context.staged / "Image").iterdir())


def test_what_is_no_regular_file_is_refused(begin: Begin, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    exe = begin()
    for name in ("folder", "pipe", "loop"):
        with pytest.raises(DerivaMLValidationError):
            exe.asset_file_path("Image", tmp_path / name)
    with pytest.raises(DerivaMLValidationError):
        exe.asset_file_path("Image", "/dev/null")


@pytest.mark.spec("files.valid-table")
def test_wrong_tables_columns_and_values_are_refused(begin: Begin) -> None:
    exe = begin()
    with pytest.raises(DerivaMLTableNotFound):
        exe.asset_file_path("Nothing", "a.png")
    with pytest.raises(DerivaMLTableTypeError):
        exe.asset_file_path("Subject", "a.png")
    with pytest.raises(DerivaMLValidationError, match="no metadata column Lens"):
        exe.asset_file_path("Image", "a.png", metadata={"Lens": "x"})
    with pytest.raises(DerivaMLValidationError, match="nan"):
        exe.asset_file_path("Image", "a.png", Exposure=float("nan"))
    path = exe.asset_file_path("Image", "b.png")
    with pytest.raises(DerivaMLValidationError, match="no metadata column Lens"):
        path.set_metadata("Lens", "x")
    assert path.metadata == {}


@pytest.mark.spec("files.manifest")
def test_manifest_is_a_document_after_each_registration(begin: Begin) -> None:
    exe = begin()
    begun = set(manifest(exe))
    for i in range(25):
        exe.asset_file_path("Image", f"{i}.png", description=f'"{i}"\n}}}}')
        assert set(manifest(exe)) - begun == {f"Image/{n}.png" for n in range(i + 1)}
    exe.asset_file_path("Image", "3.png", description="again")
    entries = manifest(exe)
    assert len(entries) == len(begun) + 25
    assert entries["Image/3.png"]["description"] == "again"
    path = exe.context.folder / FILE_NAME
    path.write_text(path.read_text()[:-20])
    with pytest.raises(ValueError, match=r"."):
        read_manifest(exe.context.folder)
    exe.ml.resume_execution(exe.execution_rid)
    again = manifest(exe)
    assert list(again) == sorted(entries)
    # what has been uploaded since it was registered is told so now
    assert {key: entry for key, entry in again.items() if key not in begun} == {
        key: entry for key, entry in entries.items() if key not in begun
    }


def refused(exe: Execution, match: str, *, uploaded: Set[str] = frozenset()) -> None:
    """An upload that leaves the execution Failed, and only what is sound in the catalog."""
    with pytest.raises(DerivaMLUploadError, match=match):
        exe.upload_execution_outputs(retry_delay=0)
    assert exe.status is S.Failed
    assert exe.ml.lookup_execution(exe.execution_rid).status is S.Failed
    assert exe.ml.lookup_execution(exe.execution_rid).status_detail
    assert set(made(exe.ml, exe)) == uploaded


def test_missing_file(ml: DerivaML, begin: Begin) -> None:
    with begin() as exe:
        exe.asset_file_path("Image", "there.png").write_bytes(b"there")
        missing = exe.asset_file_path("Image", "missing.png")
    refused(exe, r"Image/missing.png: it was registered but never written", uploaded={"there.png"})
    missing.write_bytes(b"now it is")
    exe.upload_execution_outputs()
    assert set(made(ml, exe)) == {"there.png", "missing.png"}
    assert exe.status is S.Uploaded


@pytest.mark.spec("files.target-gone")
def test_source_that_is_gone(ml: DerivaML, begin: Begin, tmp_path: Path) -> None:
    source = tmp_path / "gone.png"
    source.write_bytes(b"here")
    with begin() as exe:
        exe.asset_file_path("Image", source)
    source.unlink()
    refused(exe, r"gone.png: its source .* is gone")
    source.write_bytes(b"here")
    exe.asset_file_path("Image", source)
    exe.upload_execution_outputs()
    assert set(made(ml, exe)) == {"gone.png"}


@pytest.mark.spec("files.target-changed")
def test_source_changed_after_it_was_sealed(ml: DerivaML, begin: Begin, tmp_path: Path) -> None:
    source = tmp_path / "changed.png"
    source.write_bytes(b"first")
    with begin() as exe:
        exe.asset_file_path("Image", source)
    source.write_bytes(b"second, longer")
    refused(exe, "was changed after")
    exe.asset_file_path("Image", source)
    exe.upload_execution_outputs()
    assert made(ml, exe)["changed.png"].length == len(b"second, longer")


@pytest.mark.spec("files.target-changed")
@pytest.mark.parametrize("again", ["source", "staged path", "staged path by a link"])
def test_link_that_was_registered_twice_stays_a_link(begin: Begin, tmp_path: Path, again: str) -> None:
    source = tmp_path / "twice.png"
    source.write_bytes(b"first")
    with begin() as exe:
        path = exe.asset_file_path("Image", source)
        (tmp_path / "alias").symlink_to(path.parent)
        given = {"source": source, "staged path": path, "staged path by a link": tmp_path / "alias" / path.name}
        second = exe.asset_file_path("Image", given[again], description="again")
        assert second == path
        assert path.is_symlink()
        assert path.readlink() == source
    source.write_bytes(b"second!")
    refused(exe, "was changed after execution")
    copied = exe.asset_file_path("Image", path, copy_file=True)
    assert not copied.is_symlink()
    assert copied.read_bytes() == b"second!"
    exe.upload_execution_outputs()
    assert source.read_bytes() == b"second!"


def test_a_new_file_is_not_written_through_a_link(ml: DerivaML, begin: Begin, tmp_path: Path) -> None:
    """The user's own file, which was registered under the name before, stays as it is."""
    source = tmp_path / "weights.pt"
    source.write_bytes(b"the old weights")
    with begin() as exe:
        exe.asset_file_path("Image", source)
        exe.asset_file_path("Image", "weights.pt").write_bytes(b"the new weights")
    assert source.read_bytes() == b"the old weights"
    exe.upload_execution_outputs()
    assert content(ml, exe, made(ml, exe)["weights.pt"], tmp_path / "copy") == b"the new weights"


def test_required_metadata_that_is_missing(ml: DerivaML, begin: Begin) -> None:
    with begin() as exe:
        path = exe.asset_file_path("Scan", "scan.png")
        path.write_bytes(b"scan")
    refused(exe, "needs metadata Site")
    path.set_metadata("Site", "Lübeck")
    exe.upload_execution_outputs()
    assert made(ml, exe)["scan.png"].metadata == {"Site": "Lübeck"}


@pytest.mark.spec("files.types")
def test_unknown_asset_type(begin: Begin) -> None:
    exe = begin()
    with pytest.raises(DerivaMLInvalidTerm, match=r"'Derivd'.*Did you mean Derived"):
        exe.asset_file_path("Image", "typed.png", asset_types=["Derivd"])
    assert exe.staged().files == ()
    path = exe.asset_file_path("Image", "typed.png", asset_types=["Derived", "Derived"])
    with pytest.raises(DerivaMLInvalidTerm, match="'Derivd'"):
        path.set_asset_types(["Derivd"])
    assert exe.staged().files[0].asset_types == ["Derived"]


def test_unknown_asset_type_of_a_file_that_was_registered_while_the_catalog_was_away(
    ml: DerivaML, begin: Begin, away: Callable[[], AbstractContextManager[None]]
) -> None:
    with begin() as exe:
        with away():
            path = exe.asset_file_path("Mask", "typed.png", asset_types=["Derivd"])
        path.write_bytes(b"typed")
    refused(exe, "Derivd")
    path.set_asset_types(["Derived"])
    exe.upload_execution_outputs()
    assert made(ml, exe)["typed.png"].asset_types == ("Derived",)


def test_row_that_the_catalog_refuses(ml: DerivaML, begin: Begin, subjects: tuple[str, ...]) -> None:
    """A metadata column names a row that is not there: found by the catalog, when the bytes are there already."""
    ml.create_asset("Portrait", referenced_tables=["Subject"])
    with begin() as exe:
        path = exe.asset_file_path("Portrait", "nobody.png", Subject="0-ZZZZ")
        path.write_bytes(b"nobody")
    with pytest.raises(DerivaMLUploadError, match=r"Portrait/nobody.png"):
        exe.upload_execution_outputs(retry_delay=0)
    assert exe.status is S.Failed
    assert not made(ml, exe)
    path.set_metadata("Subject", subjects[0])
    exe.upload_execution_outputs(retry_delay=0)
    assert exe.status is S.Uploaded
    assert made(ml, exe)["nobody.png"].metadata["Subject"] == subjects[0]


def test_one_refused_row_holds_up_no_other(ml: DerivaML, begin: Begin, subjects: tuple[str, ...]) -> None:
    """The catalog takes all rows of a request or none: the file whose values it refuses is found out."""
    ml.create_asset("Sketch", referenced_tables=["Subject"])
    with begin() as exe:
        for number in range(20):
            subject = "0-ZZZZ" if number in (3, 17) else subjects[0]
            exe.asset_file_path("Sketch", f"{number}.png", Subject=subject).write_bytes(b"%d" % number)
    with pytest.raises(DerivaMLUploadError) as raised:
        exe.upload_execution_outputs(retry_delay=0)
    assert {key for key, _ in raised.value.failed} == {"Sketch/3.png", "Sketch/17.png"}
    assert set(made(ml, exe)) == {f"{number}.png" for number in range(20)} - {"3.png", "17.png"}
    assert exe.status is S.Failed
    for path in exe.staged().files:
        path.set_metadata("Subject", subjects[1])
    exe.upload_execution_outputs(retry_delay=0)
    assert len([name for name in made(ml, exe) if name.endswith(".png")]) == 20
    assert exe.status is S.Uploaded


def test_a_file_that_was_dropped_is_not_waited_for(ml: DerivaML, begin: Begin, tmp_path: Path) -> None:
    source = tmp_path / "linked.png"
    source.write_bytes(b"linked")
    with begin() as exe:
        written = exe.asset_file_path("Image", "written.png")
        written.write_bytes(b"written")
        missing = exe.asset_file_path("Image", "missing.png")
        linked = exe.asset_file_path("Image", source)
    linked.unregister()
    assert source.read_bytes() == b"linked"
    refused(exe, "Image/missing.png: .*unregister", uploaded={"written.png"})
    missing.unregister()
    assert "Image/missing.png" not in manifest(exe)
    exe.upload_execution_outputs()
    assert exe.status is S.Uploaded
    assert {name for name in made(ml, exe) if name.endswith(".png")} == {"written.png"}
    with pytest.raises(DerivaMLReadOnlyError, match="in the catalog already"):
        written.unregister()


def test_dropping_many_files_writes_a_line_for_each(begin: Begin) -> None:
    """However many others there are; and where the machine stops in between, the manifest is right after the resume."""
    exe = begin()
    exe.execution_start()
    paths = [exe.asset_file_path("Image", f"{number}.png") for number in range(60)]
    document = exe.context.folder / FILE_NAME
    before = document.stat()
    for path in paths[:40]:
        path.unregister()
    after = document.stat()
    assert after.st_ino == before.st_ino
    assert after.st_size - before.st_size <= 40 * len(',\n"Image/00.png": null')
    left = {f"Image/{number}.png" for number in range(40, 60)}
    assert {key for key in manifest(exe) if key.startswith("Image/")} == left
    whole = document.read_bytes()
    lines = whole.splitlines(keepends=True)
    # a line that was torn, lines that never reached the disk, and a document that is gone
    for lost in (whole[:-12], b"".join(lines[:90]), None):
        if lost is None:
            document.unlink()
        else:
            document.write_bytes(lost)
        exe.ml.resume_execution(exe.execution_rid)
        assert {key for key in manifest(exe) if key.startswith("Image/")} == left
    paths[40].unregister()
    for path in paths[41:]:
        path.write_bytes(b"content")
    exe.execution_stop()
    assert document.read_text().count("\n") == len(manifest(exe)) + 2
    exe.upload_execution_outputs()
    assert exe.status is S.Uploaded


def test_a_file_that_failed_is_named_in_the_catalog(
    begin: Begin, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By whatever name: a UUID, a checksum, letters drawn at random. A secret in the same message is not told."""
    names = [
        f"{uuid.uuid4()}.png",
        f"scan_{hashlib.md5(b'x').hexdigest()}.png",
        "0b1C2d3E4f5G6h7I8j9K0l1M2n3O4p5Q.png",
    ]
    secret = "Zx8Qw3Lm9Tr2Vb6Nk1Ys5Hd7Gf4Jc0Pa"
    monkeypatch.setenv("LAB_PASSWORD", secret)
    caplog.handler.addFilter(LogScrubber())
    with begin() as exe:
        for name in [*names, f"{secret}.png"]:
            exe.asset_file_path("Image", name)
    refused(exe, names[0])
    detail = exe.ml.lookup_execution(exe.execution_rid).status_detail
    assert detail is not None
    for told in (detail, caplog.text):
        assert [name for name in names if f"Image/{name}" not in told] == []
        assert secret not in told


def test_metadata_of_another_type_is_refused_at_once(begin: Begin) -> None:
    exe = begin()
    with pytest.raises(DerivaMLValidationError, match=r"Image\.Exposure is a column of type int4, and 'much'"):
        exe.asset_file_path("Image", "typed-wrong.png", Exposure="much")
    assert exe.staged().files == ()


def test_folder_where_a_file_was_to_be_written(ml: DerivaML, begin: Begin) -> None:
    with begin() as exe:
        path = exe.asset_file_path("Image", "folder.png")
        path.mkdir()
    assert exe.status is S.Stopped
    refused(exe, "is a folder")
    path.rmdir()
    path.write_bytes(b"a file")
    exe.upload_execution_outputs()
    assert set(made(ml, exe)) == {"folder.png"}


def test_empty_file_and_equal_files(ml: DerivaML, begin: Begin) -> None:
    with begin() as exe:
        exe.asset_file_path("Image", "empty.png").write_bytes(b"")
        exe.asset_file_path("Image", "same-1.png").write_bytes(b"same")
        exe.asset_file_path("Image", "same-2.png").write_bytes(b"same")
    exe.upload_execution_outputs()
    found = made(ml, exe)
    assert found["empty.png"].length == 0
    assert found["same-1.png"].rid != found["same-2.png"].rid


def _not_null(name: str, typename: str, default: Any) -> dict[str, Any]:
    kind: dict[str, Any] = {"typename": typename}
    if typename.endswith("[]"):
        kind |= {"is_array": True, "base_type": {"typename": typename[:-2]}}
    return {"name": name, "type": kind, "nullok": False, "default": default, "comment": None}


def test_metadata_that_is_left_out_has_the_default_of_its_column(
    ml: DerivaML, begin: Begin, subjects: tuple[str, ...]
) -> None:
    columns = [_not_null("Site", "text", "here"), _not_null("Words", "text[]", []), _not_null("Plate", "int4", 1)]
    name = f"Sample_{uuid.uuid4().hex[:8]}"
    ml.create_asset(name, columns)
    ml.create_feature("Subject", name, metadata=columns)
    record = ml.feature_record_class("Subject", name)
    with begin() as exe:
        exe.asset_file_path(name, "left.txt").write_bytes(b"left")
        exe.asset_file_path(name, "given.txt", metadata={"Plate": 7}).write_bytes(b"given")
        changed = exe.asset_file_path(name, "changed.txt", metadata={"Plate": 7})
        changed.write_bytes(b"changed")
        changed.metadata = {"Site": "there"}
        exe.add_features([record(Subject=subjects[0]), record(Subject=subjects[1], Plate=7)])
    exe.upload_execution_outputs(retry_delay=0)
    found = {asset: record.metadata for asset, record in made(ml, exe).items()}
    left = {"Site": "here", "Words": [], "Plate": 1}
    assert found == {"left.txt": left, "given.txt": left | {"Plate": 7}, "changed.txt": left | {"Site": "there"}}
    values = {str(value.Subject): value.Plate for value in ml.feature_values("Subject", name)}
    assert values == {subjects[0]: 1, subjects[1]: 7}
    assert ml.verify_execution(exe.execution_rid).same
