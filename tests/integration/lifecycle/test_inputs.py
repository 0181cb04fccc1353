"""Inputs that are here already: used again only while they are what the catalog says; one version of a dataset."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.catalog.rows import snaptime
from deriva_ml_prefect.config.asset import AssetSpec
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLValidationError
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases import kept_file

Begin = Callable[..., Execution]
BYTES = b"weights" * 1000


@pytest.fixture
def asset(begin: Begin) -> str:
    """RID of an asset."""
    with begin() as maker:
        maker.asset_file_path("Image", "kept.png").write_bytes(BYTES)
    (made,) = maker.upload_execution_outputs()["Image"]
    return str(made.asset_rid)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that were read to see whether they are intact."""
    found: list[Path] = []
    real = kept_file.hash_file

    def noted(path: Path) -> Any:
        found.append(path)
        return real(path)

    monkeypatch.setattr(kept_file, "hash_file", noted)
    return found


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records if "is damaged" in record.getMessage()]
    caplog.clear()
    return found


def damage(path: Path, content: bytes) -> None:
    """Write other bytes; the time of change moves as it does for a program that writes there."""
    path.write_bytes(content)
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1_000))


@pytest.mark.parametrize("content", [b"X" * len(BYTES), BYTES[:-1], b""])
def test_damaged_cache_entry_is_fetched_again(
    begin: Begin, asset: str, home: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    spec = AssetSpec(rid=asset, cache=True)
    caplog.set_level(logging.WARNING)
    begin(assets=[spec])
    (kept,) = (home / "cache" / "assets").glob(f"{asset}_*/*.png")
    damage(kept, content)
    (path,) = begin(assets=[spec]).asset_paths["Image"]
    assert path.read_bytes() == BYTES
    (line,) = warnings(caplog)
    assert asset in line
    assert str(kept) in line
    begin(assets=[spec])
    assert warnings(caplog) == []


def test_intact_file_is_hashed_only_after_it_was_touched(
    begin: Begin, asset: str, home: Path, hashed: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    spec = AssetSpec(rid=asset, cache=True)
    for _ in range(3):
        begin(assets=[spec])
    assert hashed == []
    (kept,) = (home / "cache" / "assets").glob(f"{asset}_*/*.png")
    os.utime(kept)
    for _ in range(2):
        begin(assets=[spec])
    assert hashed == [kept]
    # a note that cannot be read says nothing
    (note,) = (home / "cache" / "assets").glob(f"{asset}_*.checked")
    note.write_text("{")
    begin(assets=[spec])
    assert hashed == [kept, kept]
    assert warnings(caplog) == []


def test_file_of_an_earlier_attempt_is_looked_at(ml: DerivaML, begin: Begin, asset: str) -> None:
    exe = begin(assets=[asset])
    (path,) = exe.asset_paths["Image"]
    damage(Path(path), b"X" * len(BYTES))
    resumed = ml.resume_execution(exe.execution_rid)
    (path,) = resumed.asset_paths["Image"]
    assert path.read_bytes() == BYTES


def test_a_file_of_the_users_is_not_taken_for_the_asset(begin: Begin, asset: str, tmp_path: Path) -> None:
    exe = begin()
    mine = tmp_path / "kept.png"
    mine.write_bytes(b"my own notes")
    with pytest.raises(DerivaMLValidationError, match="is not asset"):
        exe.download_asset(asset, tmp_path)
    assert mine.read_bytes() == b"my own notes"
    mine.unlink()
    for _ in range(2):
        assert exe.download_asset(asset, tmp_path).read_bytes() == BYTES
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["kept.png"]


@pytest.mark.parametrize("dry_run", [False, True])
def test_one_version_of_a_dataset(ml: DerivaML, begin: Begin, workflow: Workflow, dry_run: bool) -> None:
    with begin() as maker:
        dataset = maker.create_dataset(["Training"], description="in versions")
    dataset.increment_dataset_version("minor", "a second version")
    current = str(dataset.current_version)
    before = snaptime(ml._catalog)
    two = ExecutionSpec(workflow=workflow, datasets=[f"{dataset.dataset_rid}@0.1.0", dataset.dataset_rid])
    with pytest.raises(DerivaMLValidationError, match=f"versions 0.1.0 and {current}"):
        ml.create_execution(two, dry_run=dry_run)
    assert snaptime(ml._catalog) == before
    same = ExecutionSpec(workflow=workflow, datasets=[f"{dataset.dataset_rid}@{current}", dataset.dataset_rid])
    exe = ml.create_execution(same, dry_run=dry_run)
    if not dry_run:
        (read,) = ml.lookup_execution(exe.execution_rid).input_datasets
        assert (read.rid, str(read.version)) == (dataset.dataset_rid, current)
