"""Every Python example of the chapter, with its own imports from `deriva_ml`."""

from __future__ import annotations

import os
import pickle
import re
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deriva_ml_prefect.journal.executions import list_executions, status_history
from deriva_ml_prefect.journal.store import open_journal
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases.context import journal_of
from deriva_ml_prefect.values.status import ExecutionStatus

ROOT = Path(__file__).parents[2]
EXAMPLES = dict(
    re.findall(r"^## (\w+)\n\n```python\n(.*?)^```$", (Path(__file__).parent / "examples.md").read_text(), re.M | re.S)
)
Names = dict[str, Any]
S = ExecutionStatus


class Chapter:
    """Runs examples one after the other in one namespace."""

    def __init__(self, names: Names, folder: Path) -> None:
        self.names = names
        self.folder = folder

    def run(self, *examples: str) -> Names:
        for name in examples:
            file = self.folder / f"{name}.py"
            file.write_text(EXAMPLES[name])
            exec(compile(EXAMPLES[name], str(file), "exec"), self.names)
        return self.names


@pytest.fixture
def chapter(eye: DerivaML, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chapter:
    """What the examples leave undefined."""
    monkeypatch.syspath_prepend(str(ROOT / "compat"))
    folder = tmp_path / "chapter"
    folder.mkdir()
    monkeypatch.chdir(folder)
    model = SimpleNamespace(state_dict=lambda: {"weights": [1.0, 2.0]})
    losses = iter(x / 16 for x in range(16, 0, -1))
    names: Names = {
        "ml": eye,
        "model": model,
        "torch": SimpleNamespace(save=lambda state, path: Path(path).write_bytes(pickle.dumps(state))),
        "train": lambda images: model,
        "build_model": lambda: model,
        "build_optimizer": lambda model: None,
        "train_loader": None,
        "val_loader": None,
        "train_one_epoch": lambda model, optimizer, loader: next(losses),
        "evaluate": lambda model, loader: next(losses),
        "train_epoch": lambda model, data: next(losses),
        "load_data": list,
        "num_epochs": 3,
        "subject_rid": "1-SBJ",
    }
    return Chapter(names, folder)


def outputs(ml: DerivaML, exe: Execution) -> dict[str, Any]:
    return {str(a.filename): a for a in ml.summarize_execution(exe.execution_rid).output_assets}


@pytest.mark.spec(
    "config.example", "config.create-workflow", "config.pydantic", "config.description", "dataset.version"
)
def test_configuration(chapter: Chapter) -> None:
    from pydantic import BaseModel

    config = chapter.run("config")["config"]
    assert isinstance(config, BaseModel)
    assert config.workflow is chapter.names["workflow"] or config.workflow == chapter.names["workflow"]
    assert config.workflow.workflow_type == ["Training"]
    assert config.description == "Training run — learning rate 0.001"
    assert [(d.rid, d.version, d.materialize) for d in config.datasets] == [
        ("1-ABC", None, True),
        ("1-DEF", "2.1.0", True),
    ]
    assert [a.rid for a in config.assets] == ["2-GHI"]


@pytest.mark.spec(
    "run.example",
    "run.bag",
    "run.datasets",
    "run.asset-paths",
    "model.links",
    "model.trace",
    "config.before-run",
    "config.version-recorded",
    "dataset.version",
    "dataset.version-pinned",
    "dataset.materialize",
)
def test_run(chapter: Chapter, eye: DerivaML, capsys: pytest.CaptureFixture[str]) -> None:
    names = chapter.run("config", "run")
    exe = names["exe"]
    assert f"Execution RID: {exe.execution_rid}" in capsys.readouterr().out
    assert sorted(row["RID"] for row in names["images"]) == ["1-IMG1", "1-IMG2"]
    assert all(Path(row["Filename"]).read_bytes() == row["RID"].encode() * 100 for row in names["images"])
    record = eye.lookup_execution(exe.execution_rid)
    assert record.status is S.Uploaded
    assert outputs(eye, exe)["best_model.pt"].asset_table == "Model"
    assert [spec.rid for spec in exe.datasets] == ["1-ABC", "1-DEF"]
    for spec, version in zip(exe.datasets, ("1.0.0", "2.1.0"), strict=True):
        assert str(exe.download_dataset_bag(spec).current_version) == version
    (path,) = exe.asset_paths["Model"]
    assert path.read_bytes() == b"2-GHI" * 100
    summary = eye.summarize_execution(exe.execution_rid)
    assert summary.run_record is not None
    recorded = {i["rid"]: i.get("version") for i in summary.run_record["inputs"]}
    assert recorded == {"1-ABC": "1.0.0", "1-DEF": "2.1.0", "2-GHI": None}
    assert [asset.rid for asset in summary.input_assets] == ["2-GHI"]
    assert record.workflow_rid is not None
    code = eye.lookup_workflow(record.workflow_rid)
    assert code.checksum
    assert code.url
    linked = eye.pathBuilder().schemas["deriva-ml"].tables["Dataset_Execution"].entities().fetch()
    assert {row["Dataset"] for row in linked if row["Execution"] == exe.execution_rid} == {"1-ABC", "1-DEF"}


@pytest.fixture
def files_of_tmp(chapter: Chapter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that the example finds: two in /tmp, two in the current folder."""
    for name in ("processed.png", "temp_scan.png"):
        file = chapter.folder / name
        file.write_bytes(name.encode())
        EXAMPLES["files"] = EXAMPLES["files"].replace(f"/tmp/{name}", str(file))
    for name in ("mask.png", "scan.jpg"):
        (chapter.folder / name).write_bytes(name.encode())


@pytest.mark.spec("files.example", "files.copy", "files.symlink", "files.rename", "files.set-metadata")
def test_files(chapter: Chapter, files_of_tmp: None, eye: DerivaML) -> None:
    names = chapter.run("config", "files")
    found = outputs(eye, names["exe"])
    assert {"classifier.pt", "processed.png", "scan_001.png", "mask.png", "scan.jpg"} <= set(found)
    assert "temp_scan.png" not in found
    assert set(found["mask.png"].asset_types) == {"Segmentation_Mask", "Derived"}
    assert found["scan.jpg"].description == "Preprocessed fundus image"
    metadata = {k: v for k, v in found["scan.jpg"].metadata.items() if v is not None}
    assert metadata == {"Subject": "1-SBJ", "Acquisition_Date": "2026-01-15", "Acquisition_Time": "14:30:00"}


@pytest.mark.spec("features.example", "features.record-class", "features.count", "features.only-way")
def test_features(chapter: Chapter, eye: DerivaML, capsys: pytest.CaptureFixture[str]) -> None:
    names = chapter.run("config", "features")
    assert "Staged 2 records" in capsys.readouterr().out
    rows = eye.feature_values("Image", "Glaucoma_Grade", execution_rid=names["exe"].execution_rid)
    assert {row.Image: row.Glaucoma_Grade for row in rows} == {"1-IMG1": "Mild", "1-IMG2": "Severe"}


@pytest.mark.spec("metrics.example", "metrics.readback", "metrics.uploaded", "files.metadata-table")
def test_metrics_and_their_way_back(chapter: Chapter, eye: DerivaML) -> None:
    exe = chapter.run("config", "metrics")["exe"]
    asset = outputs(eye, exe)["metrics.jsonl"]
    assert (asset.asset_table, asset.asset_types) == ("Execution_Metadata", ("Metrics_File",))
    dataset = exe.create_dataset(["Training"], version="0.9.0", description="with metrics")
    dataset.add_dataset_members({"Image": ["1-IMG1"]})
    assert str(dataset.increment_dataset_version("major")) == "1.0.0"
    chapter.names["dataset"] = dataset
    records = chapter.run("readback")["records"]
    assert [(r["execution_rid"], r["epoch"]) for r in records] == [(exe.execution_rid, i) for i in range(3)]
    assert records[0]["train_loss"] == 1.0
    assert records[0]["val_loss"] == 15 / 16


@pytest.mark.spec("upload.example", "upload.tuned", "status.no-op")
def test_uploads(chapter: Chapter, eye: DerivaML) -> None:
    exe = chapter.run("config", "upload")["exe"]
    assert [step.status for step in status_history(journal_of(exe.context), exe.execution_rid)] == [
        S.Created,
        S.Running,
        S.Stopped,
        S.Pending_Upload,
        S.Uploaded,
    ]
    exe.asset_file_path("Model", "further.pt").write_bytes(b"further")
    chapter.run("tuned", "tuned")
    assert {"best_model.pt", "further.pt"} <= set(outputs(eye, exe))
    assert exe.status is S.Uploaded


@pytest.mark.spec("progress.example", "progress.columns")
def test_progress(chapter: Chapter, eye: DerivaML) -> None:
    names = chapter.run("config", "progress")
    exe = names["exe"]
    assert "model_final.pt" in outputs(eye, exe)
    told = [step.detail for step in status_history(journal_of(exe.context), exe.execution_rid) if step.detail]
    assert told[0] == "Loading dataset..."
    assert told[1] == "Epoch 1/3 — loss=1.0000"
    assert told[4] == "Saving checkpoint..."


def crash(chapter: Chapter, eye: DerivaML, fork: Callable[..., Any]) -> str:
    """The run of the example in a process that is killed as soon as its features are staged; its RID."""
    chapter.run("config")
    record = eye.feature_record_class("Image", "Glaucoma_Grade")
    chapter.names["build_feature_records"] = lambda: [record(Image="1-IMG1", Glaucoma_Grade="Mild")]

    def child() -> None:
        stage = Execution.add_features

        def staged_and_killed(exe: Execution, records: Any) -> int:
            stage(exe, records)
            exe.asset_file_path("Model", "half.pt").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
            return 0

        Execution.add_features = staged_and_killed  # type: ignore[assignment]
        chapter.run("crash")

    assert fork(child).wait() == -signal.SIGKILL
    (entry,) = list_executions(open_journal(eye.working_dir))
    chapter.names["rid"] = entry.rid
    return entry.rid


@pytest.mark.spec(
    "crash.example",
    "crash.example-advance",
    "crash.resume",
    "crash.no-rerun",
    "crash.b",
    "crash.no-op",
    "crash.honest",
    "features.survive",
    "edge.Running-Pending_Upload",
)
@pytest.mark.parametrize("way", ["resume", "advance"])
def test_crash(chapter: Chapter, eye: DerivaML, fork: Callable[..., Any], way: str) -> None:
    rid = crash(chapter, eye, fork)
    before = eye.lookup_execution(rid)
    assert before.status is S.Running
    resumed = eye.resume_execution(rid)
    assert resumed.status is S.Running
    assert eye.lookup_execution(rid).modified == before.modified
    assert [step.status for step in status_history(journal_of(resumed.context), rid)] == [S.Created, S.Running]
    assert eye.feature_values("Image", "Glaucoma_Grade", execution_rid=rid) == []
    chapter.names["ExecutionStatus"] = S
    exe = chapter.run(way)["exe"]
    assert eye.lookup_execution(rid).status is S.Uploaded
    assert [v.Glaucoma_Grade for v in eye.feature_values("Image", "Glaucoma_Grade", execution_rid=rid)] == ["Mild"]
    assert "half.pt" in outputs(eye, exe)
    history = [step.status for step in status_history(journal_of(exe.context), rid)]
    assert S.Failed not in history
    assert S.Stopped not in history
