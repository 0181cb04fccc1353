"""One embedded DERIVA for the test run, a catalog with tables of a small lab in it, and fresh homes that share it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.catalog.rows import get_rows
from deriva_ml_prefect.catalog.urls import table_name
from deriva_ml_prefect.journal import ownership
from deriva_ml_prefect.journal.store import close_journals
from deriva_ml_prefect.ml.creation import create_ml_catalog
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from tests import scheduling
from tests.prefect_process import shared_database


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=scheduling.place)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> scheduling.Grouped:
    return scheduling.Grouped(config, log)


@dataclass(frozen=True)
class Lab:
    """A catalog with tables to work on; its tests share it and add rows, so they look only at rows of their own."""

    home: Path
    catalog_id: str
    subjects: tuple[str, ...]
    """RIDs of 40 rows of table Subject."""


@dataclass(frozen=True)
class Child:
    """A forked child process of a test."""

    pid: int

    def wait(self, seconds: float = 60.0) -> int:
        """Its exit status; minus the signal's number if one ended it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        self.kill()
        raise AssertionError(f"child {self.pid} did not end within {seconds} s")

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def end_embedded(home: Path) -> None:
    """End the embedded DERIVA of a home folder by the process id that it left there."""
    path = home / "embedded" / "server.json"
    if path.exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(json.loads(path.read_text())["pid"]), signal.SIGTERM)


@pytest.fixture(scope="session", autouse=True)
def _no_real_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A test that names no home gets an empty one, and no catalog from the surroundings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERIVA_ML_HOME", str(tmp_path_factory.mktemp("no-home")))
        patch.setenv("DERIVA_ML_ALLOW_DIRTY", "true")
        for name in ("DERIVA_ML_HOST", "DERIVA_ML_CATALOG"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of the API of a running Prefect server; flows in this process use it while the fixture lives."""
    names = {
        "PREFECT_HOME": str(tmp_path_factory.mktemp("prefect-home")),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "DO_NOT_TRACK": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in names.items():
            patch.setenv(name, value)
        from prefect.settings import PREFECT_API_URL
        from prefect.testing import utilities

        # the folder that the harness makes for its database is one in which there is a database
        folder = tmp_path_factory.mktemp("prefect-database")
        patch.setattr(utilities, "mkdtemp", lambda: str(folder))
        with contextlib.ExitStack() as started:
            with shared_database(folder / "prefect-test.db"):
                started.enter_context(utilities.prefect_test_harness(server_startup_timeout=90))
            yield str(PREFECT_API_URL.value())


@pytest.fixture(scope="session")
def prefect_api(prefect_server: str) -> dict[str, str]:
    """Variables with which another process uses the running Prefect server."""
    shared = {
        name: value for name, value in os.environ.items() if name.startswith("PREFECT_") or name == "DO_NOT_TRACK"
    }
    return {**shared, "PREFECT_API_URL": prefect_server}


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The catalog that tests share, in an embedded DERIVA that the first of them starts."""
    home = tmp_path_factory.mktemp("deriva-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERIVA_ML_HOME", str(home))
        try:
            catalog_id = str(create_ml_catalog("embedded", "lab").catalog_id)
            yield Lab(home, catalog_id, make_lab_tables(DerivaML("embedded", catalog_id)))
        finally:
            close_journals()
            end_embedded(home)


def make_lab_tables(ml: DerivaML) -> tuple[str, ...]:
    """Tables Subject, Image, Scan, Mask and Grade, three features of Subject; RIDs of its rows."""
    from deriva.core.ermrest_model import Column, Table, builtin_types

    columns = [Column.define("Name", builtin_types.text, nullok=False)]
    ml.model.schemas["lab"].create_table(Table.define("Subject", columns, comment="Persons"))
    ml.refresh_schema()
    ml.create_vocabulary("Grade", "How bad it is")
    for name in ("Mild", "Severe"):
        ml.add_term("Grade", name, f"{name} grade")
    number: Any = {"name": "Exposure", "type": "int4", "nullok": True}
    camera: Any = {"name": "Camera", "type": "text", "nullok": True}
    site: Any = {"name": "Site", "type": "text", "nullok": False}
    ml.create_asset("Image", [_column(camera), _column(number)], comment="Pictures")
    ml.create_asset("Scan", [_column(site)], comment="Pictures that need a site")
    ml.create_asset("Mask", comment="Masks of pictures")
    ml.add_term("Asset_Type", "Derived", "Made from another file")
    ml.create_feature("Subject", "Diagnosis", terms=["Grade"])
    ml.create_feature("Subject", "Score", metadata=[_column({"name": "Score", "type": "float8", "nullok": True})])
    ml.create_feature("Subject", "Outline", assets=["Mask"])
    rows = ml.pathBuilder().schemas["lab"].tables["Subject"].insert([{"Name": f"S{i}"} for i in range(40)])
    return tuple(row["RID"] for row in rows)


def _column(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "type": {"typename": values["type"]}, "default": None, "comment": None}


@pytest.fixture
def home(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of the test's own, with an empty workspace; its embedded DERIVA is the shared one."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "embedded").symlink_to(lab.home / "embedded")
    monkeypatch.setenv("DERIVA_ML_HOME", str(folder))
    yield folder
    # an execution that a test left open would go on giving signs of life, in the catalog that the next test looks at
    for left in folder.glob("workspaces/*/*/executions/*"):
        ownership.release(left)
    close_journals()


@pytest.fixture
def ml(lab: Lab, home: Path) -> DerivaML:
    """The lab's catalog, opened with a home of the test's own."""
    return DerivaML("embedded", lab.catalog_id)


@pytest.fixture
def subjects(lab: Lab) -> tuple[str, ...]:
    """RIDs of the rows of table Subject."""
    return lab.subjects


@pytest.fixture
def rows_of(ml: DerivaML) -> Callable[[Execution], dict[str, list[dict[str, Any]]]]:
    """All rows of an execution: by table, without times, sorted by RID; tables without any are left out."""

    def read(exe: Execution) -> dict[str, list[dict[str, Any]]]:
        catalog = ml._catalog
        found = {"Execution": get_rows(catalog, f"entity/deriva-ml:Execution/RID={exe.execution_rid}")}
        for table in catalog.schema.tables.values():
            if table.schema not in ("lab", "deriva-ml") or "Execution" not in table.columns:
                continue
            if table.name == "Execution_Execution":
                continue
            path = f"{table_name(table.schema, table.name)}/Execution={exe.execution_rid}"
            found[table.name] = get_rows(catalog, f"entity/{path}")
            if not table.name.endswith("_Execution"):
                continue
            asset = table.name.removesuffix("_Execution")
            target = table_name("lab" if table.schema == "lab" else "deriva-ml", asset)
            found[asset] = get_rows(catalog, f"entity/{path}/{target}")
            kinds = table_name(table.schema, f"{asset}_Asset_Type")
            if f"{asset}_Asset_Type" in {other.name for other in catalog.schema.tables.values()}:
                found[f"{asset}_Asset_Type"] = get_rows(catalog, f"entity/{path}/{target}/{kinds}")
        untimed = {"RMT", "RMB", "Status_Detail", "Execution_Duration", "Upload_Duration", "Download_Duration"}
        return {
            name: sorted(
                ({k: v for k, v in row.items() if k not in untimed} for row in rows), key=lambda r: str(r["RID"])
            )
            for name, rows in found.items()
            if rows
        }

    return read


@pytest.fixture
def fork() -> Iterator[Callable[[Callable[[], None]], Child]]:
    """Run a function in a forked child of this process, which exits with 0 after it and with 70 after an error."""
    children: list[Child] = []

    def start(body: Callable[[], None]) -> Child:
        pid = os.fork()
        if pid == 0:
            status = 70
            try:
                body()
                status = 0
            # whatever ended the child is shown, and never reaches the parent's test run
            except BaseException:  # noqa: BLE001
                traceback.print_exc()
            finally:
                os._exit(status)
        children.append(Child(pid))
        return children[-1]

    yield start
    for child in children:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            child.kill()
