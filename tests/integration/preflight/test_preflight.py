"""Looking ahead: what would stop a run is found before anything is written, and said with what to do next."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.bags import space
from deriva_ml_prefect.bags.measure import measure_bag
from deriva_ml_prefect.catalog import connection, datasets, session
from deriva_ml_prefect.catalog.connection import Catalog, open_catalog
from deriva_ml_prefect.catalog.rows import get_rows
from deriva_ml_prefect.config.asset import AssetSpec
from deriva_ml_prefect.config.dataset import DatasetSpec
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.embedded.authn import add_token
from deriva_ml_prefect.exceptions import (
    DerivaMLAuthenticationError,
    DerivaMLConfigurationError,
    DerivaMLInvalidTerm,
    DerivaMLOfflineError,
)
from deriva_ml_prefect.ml.creation import create_ml_catalog
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.pages.preflight_page import render_preflight
from deriva_ml_prefect.phases import preflight
from deriva_ml_prefect.transfer.client import HttpClient
from deriva_ml_prefect.values.preflight import Preflight, Verdict


@pytest.fixture
def workflow(ml: DerivaML, tmp_path: Path) -> Workflow:
    made = ml.create_workflow("Looked ahead", "Training")
    return made.model_copy(update={"url": "https://example.org/ahead.py", "checksum": tmp_path.name, "git_root": None})


@pytest.fixture
def dataset(ml: DerivaML, workflow: Workflow, tmp_path: Path) -> str:
    """A dataset of three images of 1,000 bytes."""
    ml.add_dataset_element_type("Image")
    with ml.create_execution(workflow=workflow) as exe:
        for number in range(3):
            exe.asset_file_path("Image", f"{tmp_path.name}-{number}.png").write_bytes(bytes([number]) * 1000)
    images = [path.asset_rid for path in exe.upload_execution_outputs()["Image"]]
    made = exe.create_dataset(description="Three images")
    made.add_dataset_members({"Image": [rid for rid in images if rid]})
    return made.dataset_rid


def texts(report: Preflight, name: str) -> list[str]:
    return [check.text for check in report.checks if check.name == name]


def test_all_is_well(ml: DerivaML, workflow: Workflow, dataset: str, home: Path) -> None:
    asset = ml.list_assets("Image")[0].asset_rid
    spec = ExecutionSpec(datasets=[dataset], assets=[asset])
    report = ml.preflight(spec, workflow=workflow)
    assert report.ok, report.failed
    assert {check.name for check in report.checks} == {"login", "schema", "rights", "terms", "inputs", "disk"}
    assert "logged in as" in texts(report, "login")[0]
    one, other = report.downloads
    assert (one.rid, one.cached_bytes) == (dataset, 0)
    assert one.bytes >= 3000
    assert other.files == 1
    assert report.bytes_to_fetch == one.bytes + other.bytes
    # nothing was downloaded or written
    assert not (home / "cache" / "bags").exists() or not any(p.is_dir() for p in (home / "cache" / "bags").iterdir())
    lines = list(render_preflight(report))
    assert lines[-1] == f"Nothing stands in the way of a run in {ml.address}."
    assert lines[-2].startswith("To be downloaded: ")


def test_what_is_measured_is_what_is_fetched_and_the_cache_is_counted(
    ml: DerivaML, workflow: Workflow, dataset: str
) -> None:
    record = datasets.resolve_version(ml._catalog, dataset, None)
    before = measure_bag(ml._catalog, record)
    bag = ml.download_dataset_bag(DatasetSpec(rid=dataset))
    after = measure_bag(ml._catalog, record)
    assert (before.files, before.bytes) == (after.files, after.bytes)
    assert (after.cached_files, after.cached_bytes) == (after.files, after.bytes)
    one = next(path for path in Path(bag.path).rglob("*.png"))
    one.unlink()
    assert measure_bag(ml._catalog, record).cached_files == after.files - 1
    assert ml.preflight(ExecutionSpec(datasets=[dataset]), workflow=workflow).bytes_to_fetch == 1000
    bare = measure_bag(ml._catalog, record, materialize=False)
    assert (bare.files, bare.bytes) == (0, 0)


def test_cached_asset_is_counted(ml: DerivaML, workflow: Workflow, dataset: str) -> None:
    rid = ml.list_assets("Image")[-1].asset_rid
    spec = ExecutionSpec(assets=[AssetSpec(rid=rid, cache=True)])
    assert ml.preflight(spec, workflow=workflow).downloads[0].cached_files == 0
    ml.create_execution(spec, workflow=workflow, dry_run=True)
    assert ml.preflight(spec, workflow=workflow).bytes_to_fetch == 0


def test_everything_that_is_wrong_is_named_at_once(ml: DerivaML, workflow: Workflow, subjects: tuple[str, ...]) -> None:
    wrong = workflow.model_copy(update={"workflow_type": ["Alchemy"]})
    spec = ExecutionSpec(datasets=["1-ZZZZ"], assets=[subjects[0]])
    report = ml.preflight(spec, workflow=wrong)
    failed = {check.name: check.text for check in report.failed}
    assert "has no term Alchemy; it has: " in failed["terms"]
    assert [text for text in texts(report, "inputs") if "1-ZZZZ" in text]
    assert [text for text in texts(report, "inputs") if "is no asset table" in text]
    assert len(report.failed) == 3
    assert list(render_preflight(report))[-1].endswith("3 of 10 checks failed.")
    with pytest.raises(DerivaMLConfigurationError, match="Alchemy"):
        preflight.require_ready(report)
    assert "there is none" in texts(ml.preflight(ExecutionSpec()), "workflow")[0]


@pytest.fixture
def stranger(ml: DerivaML, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DerivaML]:
    """The catalog as somebody sees it who may read and not write."""
    catalog = ml._catalog
    names = ("select", "enumerate")
    before = {name: catalog.client.request("GET", catalog.path(f"acl/{name}")).json() for name in names}
    for name in names:
        catalog.client.request("PUT", catalog.path(f"acl/{name}"), json=["*"], expect=(200, 204))
    token = add_token(home / "embedded", "stranger")
    connection._open.clear()
    yield DerivaML("embedded", ml.catalog_id, credential={"bearer-token": token})
    connection._open.clear()
    for name in names:
        catalog.client.request("PUT", catalog.path(f"acl/{name}"), json=before[name], expect=(200, 204))


def test_missing_rights_are_found_before_anything_is_written(
    stranger: DerivaML, workflow: Workflow, home: Path
) -> None:
    report = stranger.preflight(ExecutionSpec(), workflow=workflow)
    (rights,) = report.failed
    assert rights.name == "rights"
    assert "insert into deriva-ml:Execution, insert into deriva-ml:Execution_Metadata" in rights.text
    before = len(get_rows(stranger._catalog, "entity/deriva-ml:Execution"))
    with pytest.raises(DerivaMLAuthenticationError, match="may not insert into deriva-ml:Execution"):
        stranger.create_execution(workflow=workflow)
    assert len(get_rows(stranger._catalog, "entity/deriva-ml:Execution")) == before
    with pytest.raises(DerivaMLConfigurationError, match=r"would not succeed\. rights: The account may not"):
        stranger.create_execution(workflow=workflow, dry_run=True)


def test_no_login(ml: DerivaML, workflow: Workflow) -> None:
    catalog = open_catalog(ml.address, credential={"bearer-token": "not a token"})
    check = preflight._check_login(catalog)
    assert check.verdict is Verdict.failed


def lasting(monkeypatch: pytest.MonkeyPatch, seconds: float) -> list[Catalog]:
    """Let every login end in so many seconds; catalogs that were asked."""
    asked: list[Catalog] = []
    really = session.read_session

    def read(catalog: Catalog) -> session.Session:
        asked.append(catalog)
        return session.Session(really(catalog).identity, seconds)

    monkeypatch.setattr(preflight, "read_session", read)
    return asked


def test_a_login_that_ends_soon_is_told_at_each_start_once(
    ml: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = lasting(monkeypatch, 1500)
    preflight._asked.clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            ml.create_execution(workflow=workflow)
    told = [record.getMessage() for record in caplog.records if "ends in 25 min" in record.getMessage()]
    assert len(told) == len(asked) == 1
    assert "Log in again before a long run" in told[0]
    assert ml.preflight(ExecutionSpec(), workflow=workflow).ok


def test_a_start_asks_for_the_login_alone_and_seldom(
    ml: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    ml.create_execution(workflow=workflow)
    asked: list[str] = []
    send = HttpClient.request

    def count(self: HttpClient, method: str, path: str, **values: Any) -> Any:
        asked.append(f"{method} {path}")
        return send(self, method, path, **values)

    monkeypatch.setattr(HttpClient, "request", count)
    preflight.check_start(ml._catalog, with_datasets=True)
    assert asked == []
    preflight._asked.clear()
    preflight.check_start(ml._catalog, with_datasets=True)
    assert asked == ["GET /authn/session"]


def full(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    found = shutil.disk_usage("/")
    monkeypatch.setattr(space.shutil, "disk_usage", lambda _: found._replace(free=free))


def test_full_disk(ml: DerivaML, workflow: Workflow, dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    full(monkeypatch, 1000)
    report = ml.preflight(ExecutionSpec(datasets=[dataset]), workflow=workflow)
    (disk,) = report.failed
    assert "has 1.0 kB left" in disk.text
    assert "deriva-ml-prefect gc" in disk.text
    with pytest.raises(DerivaMLConfigurationError, match=r"has 1\.0 kB left"):
        ml.create_execution(workflow=workflow)
    full(monkeypatch, 100 << 20)
    assert texts(ml.preflight(ExecutionSpec(), workflow=workflow), "disk")[0].endswith("little for outputs")


def test_bag_that_does_not_fit_is_not_begun(
    ml: DerivaML, dataset: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full(monkeypatch, 2999)
    with pytest.raises(DerivaMLConfigurationError, match=r"Dataset .* needs 3.\d kB, and the disk of .* has 3.0 kB"):
        ml.download_dataset_bag(DatasetSpec(rid=dataset))
    assert not list((home / "cache").rglob("*.png"))
    monkeypatch.undo()


def test_schema_that_lacks_tables(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = create_ml_catalog("embedded", "bare")
    ml = DerivaML("embedded", str(made.catalog_id))
    ml._catalog.client.request("DELETE", ml._catalog.path("schema/deriva-ml/table/Dataset_Execution"), expect=(204,))
    ml._catalog.refresh()
    report = ml.preflight(ExecutionSpec())
    assert [check.name for check in report.failed] == ["schema"]
    assert "deriva-ml lacks Dataset_Execution" in report.failed[0].text


def test_catalog_that_is_away(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("DERIVA_ML_RETRIES", "0")
    with pytest.raises(DerivaMLOfflineError):
        DerivaML("localhost:1", "1").preflight(ExecutionSpec())


def test_dry_run_tells(ml: DerivaML, workflow: Workflow, dataset: str, caplog: pytest.LogCaptureFixture) -> None:
    """Also where the package's own lines are wanted from WARNING up, as they are unless somebody says otherwise."""
    logging.getLogger("deriva_ml_prefect").setLevel(logging.WARNING)
    with caplog.at_level(logging.INFO):
        ml.create_execution(datasets=[DatasetSpec(rid=dataset)], workflow=workflow, dry_run=True)
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("Preflight, ")]
    assert any(f"inputs: dataset {dataset} in version" in text for text in told)
    assert any("disk" in text for text in told)


def test_dry_run_tells_everything_that_is_wrong_and_raises_the_first(
    ml: DerivaML, workflow: Workflow, subjects: tuple[str, ...], home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = workflow.model_copy(update={"workflow_type": ["Alchemy"]})
    with pytest.raises(DerivaMLInvalidTerm, match="Alchemy"):
        ml.create_execution(datasets=["1-ZZZZ"], assets=[subjects[0]], workflow=wrong, dry_run=True)
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    for part in ("terms: Workflow_Type has no term Alchemy", "dataset 1-ZZZZ", f"asset {subjects[0]}"):
        assert any(part in text for text in told), told
    assert not (home / "dry-runs").exists()


PROJECT = Path(__file__).parents[1] / "experiments" / "project"


def test_deriva_ml_run_looks_ahead_and_runs_nothing(ml: DerivaML, home: Path, tmp_path: Path) -> None:
    shutil.copytree(PROJECT, tmp_path / "project")
    command = [sys.executable, "-m", "deriva_ml_prefect.cli.run", "--host", "embedded", "--catalog", ml.catalog_id]

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *more],
            cwd=tmp_path / "project",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    before = len(ml.find_executions())
    done = run("--preflight")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("Nothing stands in the way of a run")
    wrong = run("--preflight", "datasets=[1-ZZZZ]")
    assert wrong.returncode == 1
    dry = run("dry_run=true")
    assert dry.returncode == 0, dry.stderr
    for told in ("Preflight, login: logged in", "Preflight, disk: "):
        assert told in dry.stdout, dry.stdout
    assert len(ml.find_executions()) == before
