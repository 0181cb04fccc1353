"""Files that stay where they are: rows, and datasets nested like the folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deriva_ml_prefect.catalog.files import FileSpec
from deriva_ml_prefect.exceptions import DerivaMLInvalidTerm, DerivaMLNotFoundError, DerivaMLValidationError
from deriva_ml_prefect.ml.dataset import Dataset
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution

Run = Callable[..., Execution]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "scans 1"
    for name in ("top.txt", "a/one.txt", "a/two#.txt", "a/deep/er/three.txt"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{tmp_path} {name}")
    return root


def test_another_description_on_the_same_day_is_told(
    ml: DerivaML, run: Run, tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = tree / "top.txt"
    run(lambda exe: exe.add_files(FileSpec.create_filespecs(one, "as found")))
    assert not [m for m in caplog.messages if "told of already" in m]
    run(lambda exe: exe.add_files(FileSpec.create_filespecs(one, "as corrected")))
    (told,) = [m for m in caplog.messages if "told of already" in m]
    assert "top.txt" in told
    assert "Description" in told


def test_folders_become_datasets(ml: DerivaML, run: Run, tree: Path) -> None:
    made: list[Dataset] = []

    def add(exe: Execution) -> None:
        for _ in range(2):
            specs = FileSpec.create_filespecs(tree, "as found", file_types=["Derived"])
            made.append(exe.add_files(specs, dataset_types=["Training"], description="a tree", root_name="scans"))

    exe = run(add)
    root = made[0]
    assert made[1].dataset_rid == root.dataset_rid
    assert set(root.dataset_types) == {"File", "Directory", "Training"}
    assert (root.source_directory, root.is_directory, root.is_source_root) == ("scans", True, True)
    assert str(root.current_version) == "0.1.0"
    (a,) = root.list_dataset_children()
    assert (a.source_directory, a.is_source_root, a.description) == ("a", False, "a tree")
    assert [each.source_directory for each in root.list_dataset_children(recurse=True)] == ["a", "a/deep", "a/deep/er"]
    (top,) = root.list_dataset_members()["File"]
    assert top["Filename"] is None
    assert top["URL"].startswith("tag://")
    assert top["URL"].endswith("/scans%201/top.txt")
    at_version = root.list_dataset_members(recurse=True, version="0.1.0")["File"]
    assert sorted(row["URL"].rpartition("/")[2] for row in at_version) == [
        "one.txt", "three.txt", "top.txt", "two%23.txt",
    ]  # fmt: skip
    outputs = [asset for asset in ml.lookup_execution(exe.rid).output_assets if asset.asset_table == "File"]
    assert len(outputs) == 4
    assert {(asset.description, *asset.asset_types) for asset in outputs} == {("as found", "Derived", "File")}


def test_refused_before_anything_is_written(run: Run, tree: Path) -> None:
    def add(exe: Execution) -> None:
        with pytest.raises(DerivaMLInvalidTerm):
            exe.add_files(FileSpec.create_filespecs(tree), dataset_types="Nonsense")
        with pytest.raises(DerivaMLInvalidTerm):
            exe.add_files(FileSpec.create_filespecs(tree, file_types=["Nonsense"]))
        with pytest.raises(DerivaMLValidationError, match="no files"):
            exe.add_files([])
        with pytest.raises(DerivaMLNotFoundError):
            exe.add_files(FileSpec.create_filespecs(tree / "absent"))
        assert not exe.ml.list_assets("File") or str(tree) not in str([a.url for a in exe.ml.list_assets("File")])

    run(add)
