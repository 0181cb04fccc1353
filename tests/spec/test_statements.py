"""Statements of the chapter that neither its examples nor the tests of the rooms show."""

from __future__ import annotations

import inspect
import json
import logging
import os
import sqlite3
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect import ExecutionConfiguration
from deriva_ml_prefect.catalog.rows import get_rows, update_rows
from deriva_ml_prefect.config.asset import AssetSpec
from deriva_ml_prefect.config.dataset import DatasetSpec
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import (
    DerivaMLChecksumError,
    DerivaMLUploadError,
    DerivaMLValidationError,
    DerivaMLWorkflowError,
    InvalidTransitionError,
)
from deriva_ml_prefect.journal.executions import status_history
from deriva_ml_prefect.journal.manifest import read_manifest
from deriva_ml_prefect.ml.asset_file import AssetFilePath
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases import deliver
from deriva_ml_prefect.phases.context import journal_of
from deriva_ml_prefect.phases.send import UploadOptions
from deriva_ml_prefect.values.names import ExecMetadataType, MLAsset
from deriva_ml_prefect.values.progress import UploadProgress
from deriva_ml_prefect.values.status import ExecutionStatus

Begin = Callable[..., Execution]
S = ExecutionStatus


def files(ml: DerivaML, exe: Execution) -> dict[str, Any]:
    return {str(a.filename): a for a in ml.summarize_execution(exe.execution_rid).output_assets}


def history(exe: Execution) -> list[ExecutionStatus]:
    return [step.status for step in status_history(journal_of(exe.context), exe.execution_rid)]


@pytest.mark.spec("config.workflow-late", "config.workflow-missing", "config.workflow-in-call")
def test_workflow_is_demanded_when_the_execution_is_created(ml: DerivaML, workflow: Workflow) -> None:
    config = ExecutionConfiguration(description="no workflow")
    assert config.workflow is None
    with pytest.raises(DerivaMLWorkflowError, match="workflow="):
        ml.create_execution(config)
    exe = ml.create_execution(config, workflow=workflow)
    assert exe.status is S.Created
    assert ml.lookup_execution(exe.execution_rid).workflow_rid == workflow.rid


@pytest.mark.spec("config.assets", "config.coercion")
def test_assets_in_both_forms() -> None:
    config = ExecutionConfiguration(assets=["2-GHI", AssetSpec(rid="2-GHJ", cache=True)])
    assert [a.rid for a in config.assets] == ["2-GHI", "2-GHJ"]
    assert all(isinstance(a, AssetSpec) for a in config.assets)
    assert [a.cache for a in config.assets] == [False, True]


@pytest.mark.spec("config.coercion")
def test_assets_added_to_the_list_count_too(eye: DerivaML) -> None:
    config = ExecutionConfiguration(workflow=eye.create_workflow("Statements", "Training"), assets=["2-GHI"])
    config.assets.append("1-IMG1")
    config.datasets.append("1-DEF@2.1.0")  # type: ignore[arg-type]
    exe = eye.create_execution(config)
    assert [a.rid for a in exe.configuration.asset_specs()] == ["2-GHI", "1-IMG1"]
    assert [(d.rid, d.version) for d in exe.datasets] == [("1-DEF", "2.1.0")]
    config.assets.append("no rid")
    with pytest.raises(DerivaMLValidationError, match="is not a RID"):
        eye.create_execution(config)
    with pytest.raises(DerivaMLValidationError, match="was given dict"):
        eye.create_execution({"assets": ["2-GHI"]})  # type: ignore[arg-type]


@pytest.mark.spec("config.choices", "config.description")
def test_choices_are_recorded(ml: DerivaML, workflow: Workflow, tmp_path: Path) -> None:
    config = ExecutionConfiguration(workflow=workflow, description="**bold**", config_choices={"model_config": "quick"})
    exe = ml.create_execution(config)
    assert exe.configuration.config_choices == {"model_config": "quick"}
    asset = files(ml, exe)["configuration.json"]
    document = json.loads(exe.download_asset(asset.rid, tmp_path, update_catalog=False).read_text())
    assert document["config_choices"] == {"model_config": "quick"}
    assert ml.lookup_execution(exe.execution_rid).description == "**bold**"


@pytest.mark.spec("dataset.materialize", "dataset.metadata-only", "dataset.rid")
def test_tables_alone_or_with_files(eye: DerivaML) -> None:
    assert DatasetSpec(rid="1-DEF").materialize is True
    with pytest.raises(ValueError, match="rid"):
        DatasetSpec()  # type: ignore[call-arg]
    bare = eye.download_dataset_bag(DatasetSpec(rid="1-DEF", materialize=False))
    rows = bare.list_dataset_members()["Image"]
    assert sorted(row["RID"] for row in rows) == ["1-IMG1", "1-IMG2"]
    assert not [path for path in (bare.path / "data").rglob("*.bin") if path.is_file()]
    whole = eye.download_dataset_bag(DatasetSpec(rid="1-DEF"))
    assert {p.name for p in (whole.path / "data" / "assets").rglob("*.bin")} == {"1-IMG1.bin", "1-IMG2.bin"}


@pytest.mark.spec("asset.cache", "run.asset-paths", "run.download-asset")
def test_cached_asset_is_fetched_once(ml: DerivaML, begin: Begin) -> None:
    with begin() as maker:
        maker.asset_file_path("Image", "weights.png").write_bytes(b"weights" * 1000)
    (made,) = maker.upload_execution_outputs()["Image"]
    asked: list[str] = []
    client = ml._catalog.client
    opened = client._open_stream

    def counted(path: str, *args: Any) -> Any:
        asked.append(path)
        return opened(path, *args)

    client._open_stream = counted  # type: ignore[method-assign]
    try:
        first, second = (begin(assets=[AssetSpec(rid=str(made.asset_rid), cache=True)]) for _ in range(2))
        assert len([path for path in asked if "/hatrac/" in path]) == 1
        begin(assets=[str(made.asset_rid)])
        assert len([path for path in asked if "/hatrac/" in path]) == 2
    finally:
        client._open_stream = opened  # type: ignore[method-assign]
    for exe in (first, second):
        (path,) = exe.asset_paths["Image"]
        assert isinstance(path, AssetFilePath)
        assert path.read_bytes() == b"weights" * 1000
        assert made.asset_rid in [a.rid for a in ml.summarize_execution(exe.execution_rid).input_assets]
    other = begin()
    assert other.download_asset(str(made.asset_rid)).read_bytes() == b"weights" * 1000
    assert [a.rid for a in ml.summarize_execution(other.execution_rid).input_assets] == [made.asset_rid]


@pytest.mark.spec("config.before-run", "config.refused-before")
def test_inputs_are_there_and_checked_before_the_code_starts(eye: DerivaML, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = eye.create_workflow("Statements", "Training")
    spec = DatasetSpec(rid="1-DEF", version="2.1.0")
    exe = eye.create_execution(ExecutionSpec(workflow=workflow, datasets=[spec], assets=["2-GHI"]))
    assert exe.status is S.Created

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the catalog was asked")

    with monkeypatch.context() as patch:
        patch.setattr(eye._catalog.client, "request", refuse)
        patch.setattr(eye._catalog.client, "_open_stream", refuse)
        assert exe.asset_paths["Model"][0].read_bytes() == b"2-GHI" * 100
        rows = exe.download_dataset_bag(exe.datasets[0]).list_dataset_members()["Image"]
        assert all(Path(row["Filename"]).read_bytes() == row["RID"].encode() * 100 for row in rows)
    exe.abort()

    # one that is not what its row says: nothing of the user's has run, and the row says why
    ran: list[str] = []
    (row,) = get_rows(eye._catalog, "entity/eye:Model/RID=2-GHI")
    update_rows(eye._catalog, ("eye", "Model"), [{"RID": "2-GHI", "MD5": "0" * 32}])
    try:
        begun = ExecutionSpec(workflow=workflow, assets=["2-GHI"])
        with pytest.raises(DerivaMLChecksumError), eye.create_execution(begun):
            ran.append("code")
    finally:
        update_rows(eye._catalog, ("eye", "Model"), [{"RID": "2-GHI", "MD5": row["MD5"]}])
    assert ran == []
    failed = eye.find_executions(limit=1)[0]
    assert failed.status is S.Created
    assert (failed.status_detail or "").startswith("Download failed: ")


@pytest.mark.spec("features.accumulate")
def test_values_of_many_calls_are_sent_in_one_request(
    ml: DerivaML, subjects: tuple[str, ...], begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = ml.feature_record_class("Subject", "Score")
    with begin() as exe:
        for number, rid in enumerate(subjects):
            exe.add_features([score(Subject=rid, Score=number)])
    sent: list[str] = []
    client = ml._catalog.client
    request = client.request

    def noted(method: str, path: str, *args: Any, **values: Any) -> Any:
        sent.append(f"{method} {path}")
        return request(method, path, *args, **values)

    monkeypatch.setattr(client, "request", noted)
    exe.upload_execution_outputs()
    assert len([each for each in sent if each.startswith("POST") and "Execution_Subject_Score" in each]) == 1
    assert len(ml.feature_values("Subject", "Score", execution_rid=exe.execution_rid)) == len(subjects)


@pytest.mark.spec("run.working-dir", "files.registered-only", "pitfall.bypass")
def test_only_registered_files_are_uploaded(ml: DerivaML, begin: Begin) -> None:
    with begin() as exe:
        (exe.working_dir / "scratch.bin").write_bytes(b"scratch")
        (exe.working_dir / "Execution_Metadata").mkdir()
        (exe.working_dir / "Execution_Metadata" / "my-metrics.json").write_text("{}")
        exe.asset_file_path("Image", "registered.png").write_bytes(b"registered")
    assert list(exe.upload_execution_outputs()) == ["Image"]
    found = files(ml, exe)
    assert "registered.png" in found
    assert not {"scratch.bin", "my-metrics.json"} & set(found)


@pytest.mark.spec("files.folder-name", "files.symlink")
def test_name_of_the_current_folder_is_linked_and_said_once(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here.png").write_bytes(b"here before")
    exe = begin()
    with caplog.at_level(logging.WARNING, "deriva_ml_prefect"):
        path = exe.asset_file_path("Image", "here.png")
        exe.asset_file_path("Image", "here.png")
    assert path.is_symlink()
    assert path.read_bytes() == b"here before"
    assert len([r for r in caplog.records if str(tmp_path / "here.png") in r.getMessage()]) == 1


@pytest.mark.spec("files.metrics-never-linked")
def test_metrics_of_the_current_folder_are_left_alone(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("metrics.jsonl").write_text("old\n")
    path = begin().metrics_file()
    assert not path.exists()
    path.write_text("new\n")
    assert Path("metrics.jsonl").read_text() == "old\n"


@pytest.mark.spec("files.manifest", "crash.fsync", "features.sqlite", "files.new")
def test_everything_staged_is_on_disk(ml: DerivaML, subjects: tuple[str, ...], begin: Begin) -> None:
    record = ml.feature_record_class("Subject", "Diagnosis")
    exe = begin()
    path = exe.asset_file_path("Image", "new.png")
    assert isinstance(path, Path)
    assert not path.exists()
    for rid in subjects[:3]:
        assert exe.add_features([record(Subject=rid, Grade="Mild")]) == 1
    assert (exe.context.folder / "asset-manifest.json").exists()
    assert read_manifest(exe.context.folder)["assets"]["Image/new.png"]["status"] == "pending"
    journal = journal_of(exe.context)
    assert journal.connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    with sqlite3.connect(journal.workspace / "journal.db") as connection:
        rows = connection.execute(
            "SELECT status, count(*) FROM execution_state__feature_records WHERE execution_rid = ? GROUP BY status",
            (exe.execution_rid,),
        ).fetchall()
    assert rows == [("Pending", 3)]


@pytest.mark.spec("metrics.sugar", "metrics.name", "metrics.any-text")
def test_metrics_file_is_sugar(ml: DerivaML, begin: Begin) -> None:
    content = b"epoch,loss\n\xff\xfe not text\n"
    found = []
    for short in (True, False):
        with begin() as exe:
            path = (
                exe.metrics_file()
                if short
                else exe.asset_file_path(
                    MLAsset.execution_metadata, "metrics.jsonl", asset_types=ExecMetadataType.metrics_file.value
                )
            )
            path.write_bytes(content)
        exe.upload_execution_outputs()
        asset = files(ml, exe)["metrics.jsonl"]
        found.append((asset.asset_table, asset.filename, asset.asset_types, asset.length, asset.md5, asset.description))
    assert found[0] == found[1]
    assert found[0][3] == len(content)


@pytest.mark.spec("upload.timeout", "upload.chunk-size", "upload.max-retries", "upload.retry-delay")
def test_defaults_of_the_upload() -> None:
    options = UploadOptions()
    assert options.timeout == (600, 600)
    assert options.chunk_size == 50 * 1024**2
    assert (options.max_retries, options.retry_delay) == (3, 5.0)
    parameters = inspect.signature(Execution.upload_execution_outputs).parameters
    assert (parameters["max_retries"].default, parameters["retry_delay"].default) == (3, 5.0)


@pytest.mark.spec("upload.retries", "upload.doubling", "upload.order", "edge.Pending_Upload-Failed", "status.retry",
                  "edge.Failed-Pending_Upload", "crash.skip-uploaded")  # fmt: skip
def test_retries_of_an_upload(
    ml: DerivaML, subjects: tuple[str, ...], begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deriva_ml_prefect.exceptions import DerivaMLOfflineError

    sent: list[str] = []
    pauses: list[float] = []
    original = deliver.send

    def send(context: Any, planned: Any, *rest: Any) -> Any:
        sent.append(planned.effect.key)
        if planned.effect.key == "bytes/Image/bad.png":
            raise DerivaMLOfflineError("no answer")
        return original(context, planned, *rest)

    score = ml.feature_record_class("Subject", "Score")
    with begin() as exe:
        exe.asset_file_path("Image", "good.png").write_bytes(b"good")
        exe.asset_file_path("Image", "bad.png").write_bytes(b"bad")
        exe.add_features([score(Subject=subjects[0], Score=0.5)])
    with monkeypatch.context() as patch:
        patch.setattr(deliver, "send", send)
        patch.setattr(deliver.time, "sleep", pauses.append)
        with pytest.raises(DerivaMLUploadError, match=r"bad\.png"):
            exe.upload_execution_outputs(max_retries=2, retry_delay=10.0)
    assert sent.count("bytes/Image/bad.png") == 3
    assert sent.count("bytes/Image/good.png") == 1
    assert [pause for pause in pauses if pause >= 10] == [10.0, 20.0]
    assert not [key for key in sent if key.startswith("features/")]
    assert ml.feature_values("Subject", "Score", execution_rid=exe.execution_rid) == []
    assert ml.lookup_execution(exe.execution_rid).status is S.Failed
    sent.clear()
    with monkeypatch.context() as patch:
        patch.setattr(deliver, "send", lambda c, p, *rest: (sent.append(p.effect.key), original(c, p, *rest))[1])
        exe.upload_execution_outputs()
    assert "bytes/Image/good.png" not in sent
    assert sent.index("bytes/Image/bad.png") < next(i for i, key in enumerate(sent) if key.startswith("features/"))
    assert history(exe)[-4:] == [S.Pending_Upload, S.Failed, S.Pending_Upload, S.Uploaded]
    assert len(ml.feature_values("Subject", "Score", execution_rid=exe.execution_rid)) == 1


@pytest.mark.spec("upload.timeout-pair", "upload.chunks", "upload.progress", "upload.return")
def test_chunks_and_timeouts_go_down_to_the_client(begin: Begin) -> None:
    told: list[UploadProgress] = []
    asked: list[tuple[str, Any]] = []
    with begin() as exe:
        # bytes that no other test has uploaded: an object that is there is not sent again
        exe.asset_file_path("Image", "large.png").write_bytes(os.urandom(10_000))
    client = exe.ml._catalog.client
    pool = client._connections()
    send = pool.urlopen

    def sent(method: str, url: str, **named: Any) -> Any:
        asked.append((f"{method} {url}", named["timeout"]))
        return send(method, url, **named)

    pool.urlopen = sent  # type: ignore[method-assign,assignment]
    try:
        uploaded = exe.upload_execution_outputs(timeout=(7, 1234), chunk_size=4096, progress_callback=told.append)
    finally:
        pool.urlopen = send  # type: ignore[method-assign]
    chunks = [timeout for what, timeout in asked if what.startswith("PUT") and ";upload/" in what]
    assert len(chunks) == 3
    assert all((timeout.connect_timeout, timeout.read_timeout) == (7, 1234) for timeout in chunks)
    assert all(isinstance(item, UploadProgress) for item in told)
    assert told[-1].bytes_completed == told[-1].bytes_total
    assert {table: [path.file_name for path in paths] for table, paths in uploaded.items()} == {"Image": ["large.png"]}
    assert all(isinstance(path, AssetFilePath) for paths in uploaded.values() for path in paths)


@pytest.mark.spec("upload.timing", "model.times", "status.Running", "status.Stopped", "run.exit")
def test_times_are_those_of_the_computation(ml: DerivaML, begin: Begin) -> None:
    with begin() as exe:
        time.sleep(0.05)
    time.sleep(0.3)
    exe.upload_execution_outputs()
    record = ml.summarize_execution(exe.execution_rid).run_record
    assert record is not None
    began, ended = (datetime.fromisoformat(record[name]) for name in ("started", "stopped"))
    assert 0.05 <= (ended - began).total_seconds() < 0.3
    assert 0.05 <= record["durations_seconds"]["execution"] < 0.3


@pytest.mark.spec("upload.inspect")
def test_outputs_are_looked_at_before_they_are_committed(ml: DerivaML, subjects: tuple[str, ...], begin: Begin) -> None:
    score = ml.feature_record_class("Subject", "Score")
    with begin() as exe:
        exe.asset_file_path("Image", "look.png").write_bytes(b"look")
        exe.add_features([score(Subject=subjects[0], Score=1.0)])
    staged = exe.staged()
    assert [(p.asset_table, p.file_name, p.read_bytes()) for p in staged.files] == [("Image", "look.png", b"look")]
    assert staged.features == {"Subject.Score": 1}
    assert "look.png" not in files(ml, exe)
    exe.upload_execution_outputs()
    assert exe.staged().files == ()


@pytest.mark.spec("status.Created", "status.Pending_Upload", "status.enforced", "status.no-Created-Stopped")
def test_calls_that_would_take_an_illegal_edge(ml: DerivaML, begin: Begin) -> None:
    exe = begin()
    assert ml.lookup_execution(exe.execution_rid).status is S.Created
    with pytest.raises(InvalidTransitionError, match="Stopped"):
        exe.execution_stop()
    with pytest.raises(InvalidTransitionError, match="has not run"):
        exe.upload_execution_outputs()
    assert ml.lookup_execution(exe.execution_rid).status is S.Created
    seen: list[ExecutionStatus] = []
    with exe:
        exe.asset_file_path("Image", "seen.png").write_bytes(b"seen")
    exe.upload_execution_outputs(progress_callback=lambda _: seen.append(ml.lookup_execution(exe.execution_rid).status))
    assert set(seen) == {S.Pending_Upload}
    given_up = begin()
    given_up.abort()
    with pytest.raises(InvalidTransitionError, match="Aborted"):
        given_up.upload_execution_outputs()


@pytest.mark.spec("crash.a")
def test_scenario_a(ml: DerivaML, subjects: tuple[str, ...], begin: Begin) -> None:
    score = ml.feature_record_class("Subject", "Score")
    exe = begin()
    with pytest.raises(MemoryError), exe:  # noqa: PT012 (the code under test is a block)
        exe.add_features([score(Subject=subjects[0], Score=0.25)])
        raise MemoryError("too large")
    again = ml.resume_execution(exe.execution_rid)
    assert again.status is S.Failed
    again.upload_execution_outputs()
    assert history(again)[-3:] == [S.Failed, S.Pending_Upload, S.Uploaded]
    assert [v.Score for v in ml.feature_values("Subject", "Score", execution_rid=exe.execution_rid)] == [0.25]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A committed script in a repository with a remote."""
    file = tmp_path / "code" / "train.py"
    file.parent.mkdir()
    file.write_text("def train(): ...\n")
    for command in (
        ["init", "-q"],
        ["remote", "add", "origin", "https://git.example.org/lab/code.git"],
        ["add", "."],
        ["-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-q", "-m", "first"],
    ):
        subprocess.run(["git", *command], cwd=file.parent, check=True)
    return file


def function_of(file: Path) -> Any:
    names: dict[str, Any] = {}
    exec(compile(file.read_text(), str(file), "exec"), names)
    return names["train"]


@pytest.mark.spec("pitfall.add-workflow", "pitfall.distinct")
def test_workflows_by_checksum(ml: DerivaML, script: Path) -> None:
    # the file is this test's alone, so that other runs have no row of it
    script.write_text(f"def train(): ...\n# {script}\n")
    one, two = (ml.create_workflow("Train", "Training", "again", function=function_of(script)) for _ in range(2))
    assert ml.add_workflow(one) == ml.add_workflow(two)
    exe = ml.create_execution(ExecutionSpec(workflow=two))
    assert ml.lookup_execution(exe.execution_rid).workflow_rid == one.rid
    other = ml.create_workflow("Train", "Training", "distinct", function=function_of(script))
    other.url, other.checksum = f"https://git.example.org/lab/other/{script}", f"other {script}"
    assert ml.add_workflow(other) != one.rid


@pytest.mark.spec("pitfall.dirty", "pitfall.allow-dirty", "pitfall.last-commit")
def test_uncommitted_changes(
    ml: DerivaML, script: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=script.parent, capture_output=True, text=True, check=True
    ).stdout.strip()
    script.write_text("def train(): ...\n# changed\n")
    monkeypatch.delenv("DERIVA_ML_ALLOW_DIRTY", raising=False)
    with caplog.at_level(logging.WARNING, "deriva_ml_prefect"):
        workflow = ml.create_workflow("Train", "Training", function=function_of(script))
    assert [r for r in caplog.records if "uncommitted changes (train.py)" in r.getMessage()]
    assert workflow.url == f"https://git.example.org/lab/code/blob/{head}/train.py"
    caplog.clear()
    monkeypatch.setenv("DERIVA_ML_ALLOW_DIRTY", "true")
    with caplog.at_level(logging.WARNING, "deriva_ml_prefect"):
        ml.create_workflow("Train", "Training", function=function_of(script))
    assert not caplog.records


@pytest.mark.spec("edge.Created-Aborted", "edge.Stopped-Aborted", "edge.Failed-Aborted", "status.Aborted")
def test_abort_from_each_status_that_allows_it(ml: DerivaML, begin: Begin) -> None:
    created, stopped, failed = begin(), begin(), begin()
    with stopped:
        pass
    with pytest.raises(ZeroDivisionError), failed:
        _ = 1 / 0
    for exe in (created, stopped, failed):
        exe.abort("not wanted")
        record = ml.lookup_execution(exe.execution_rid)
        assert (record.status, record.status_detail) == (S.Aborted, "not wanted")
        with pytest.raises(InvalidTransitionError):
            exe.update_status(S.Running)
