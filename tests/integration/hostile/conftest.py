"""The two ways in which hostile input may end: refused by name with nothing written, or carried exactly."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.catalog.objects import download_object
from deriva_ml_prefect.catalog.rows import get_rows, snaptime
from deriva_ml_prefect.catalog.urls import table_name
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLException
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.values.records import AssetRecord
from deriva_ml_prefect.values.status import ExecutionStatus

Begin = Callable[..., Execution]
Refused = Callable[..., AbstractContextManager[Any]]
Made = Callable[[Execution], dict[str, tuple[AssetRecord, bytes]]]


@pytest.fixture
def workflow(ml: DerivaML) -> Workflow:
    made = ml.create_workflow("Hostile input", "Training", "Runs of the tests")
    return made.model_copy(update={"url": "https://example.org/hostile.py", "git_root": None})


@pytest.fixture
def begin(ml: DerivaML, workflow: Workflow) -> Begin:
    """Create an execution; keywords go to its configuration."""

    def create(**values: Any) -> Execution:
        return ml.create_execution(ExecutionSpec(workflow=workflow, **values))

    return create


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty, inside a folder of the test's own."""
    folder = tmp_path / "outer" / "sources"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def files_below(folder: Path) -> dict[str, tuple[int, int]]:
    """Kind and size of everything below a folder but its databases and locks, links not followed."""
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if relative.parts[0] == "embedded" or ".db" in path.name or path.suffix == ".lock":
            continue
        status = path.lstat()
        found[str(relative)] = (status.st_mode, status.st_size if path.is_file() else 0)
    return found


def journals_below(home: Path) -> dict[str, list[str]]:
    """Everything that the journals of a home folder hold."""
    found = {}
    for path in sorted(home.glob("workspaces/*/*/journal.db")):
        with closing(sqlite3.connect(path)) as journal:
            found[str(path)] = list(journal.iterdump())
    return found


def rows_at(ml: DerivaML, snapshot: str) -> dict[str, list[dict[str, Any]]]:
    """All rows of the catalog at a snapshot, without the time of their last change."""
    return {
        table.qualified: [
            {name: value for name, value in row.items() if name != "RMT"}
            for row in get_rows(ml._catalog, f"entity/{table_name(*table.ref)}@sort(RID)", snapshot=snapshot)
        ]
        for table in ml._catalog.schema.tables.values()
        if "RID" in table.columns
    }


@pytest.fixture
def world(ml: DerivaML, home: Path, tmp_path: Path) -> Callable[[], Any]:
    """Journal, staging folders and everything else of the test's folder, and the catalog's last change."""

    def look() -> Any:
        return journals_below(home), files_below(tmp_path), snaptime(ml._catalog)

    return look


@pytest.fixture
def refused(ml: DerivaML, world: Callable[[], Any]) -> Refused:
    """A block that must raise an error of this package, and leave journal, folders and catalog as they were."""

    @contextmanager
    def check(kind: Any = DerivaMLException, match: str | None = None) -> Iterator[Any]:
        before = world()
        with pytest.raises(DerivaMLException, match=match) as raised:
            yield raised
        assert isinstance(raised.value, kind), raised.value
        assert type(raised.value).__module__ == "deriva_ml_prefect.exceptions"
        journals, files, changed = world()
        assert journals == before[0]
        assert files == before[1]
        if changed != before[2]:
            # signs of life of another test's execution make a snapshot too; rows must be the same but for their times
            assert rows_at(ml, changed) == rows_at(ml, before[2])

    return check


@pytest.fixture
def made(ml: DerivaML, tmp_path: Path) -> Made:
    """The files that an execution made in the lab's tables: file name in the catalog → its record and bytes."""

    def read(exe: Execution) -> dict[str, tuple[AssetRecord, bytes]]:
        assert exe.status is ExecutionStatus.Uploaded
        found = {}
        for asset in ml.summarize_execution(exe.execution_rid).output_assets:
            if asset.asset_table == "Execution_Metadata":
                continue
            copy = tmp_path / f"copy-{asset.rid}"
            download_object(ml._catalog, asset.url, copy, md5_hex=asset.md5, length=asset.length)
            found[str(asset.filename)] = (asset, copy.read_bytes())
            copy.unlink()
        return found

    return read
