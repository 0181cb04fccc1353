"""`deriva-ml-run` on a small project, against the embedded DERIVA."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path

from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.questions.execution_summary import summarize_execution
from deriva_ml_prefect.values.status import ExecutionStatus

Run = Callable[..., subprocess.CompletedProcess[str]]


def rids_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    return re.findall(r"Execution (\S+) in embedded/\S+ is Uploaded", done.stdout + done.stderr)


def test_run_is_one_uploaded_execution(ml: DerivaML, run: Run) -> None:
    done = run()
    assert done.returncode == 0, done.stderr
    (rid,) = rids_of(done)
    summary = summarize_execution(ml.address, rid)
    assert summary.execution.status is ExecutionStatus.Uploaded
    assert summary.execution.description == "Fit a line"
    assert summary.workflow is not None
    assert (summary.workflow.url or "").endswith("models/line.py")
    made = {asset.filename: asset.asset_types for asset in summary.output_assets}
    assert made["line.txt"] == ("Model_File",)
    assert made["metrics.jsonl"] == ("Metrics_File",)
    assert sorted(name.rpartition("-")[2] for name, types in made.items() if name and types == ("Hydra_Config",)) == [
        "config.yaml",
        "hydra.yaml",
        "overrides.yaml",
    ]


def test_overrides_and_preset(ml: DerivaML, run: Run) -> None:
    done = run("+experiment=line_quick", "model_config.slope=3", "description=steeper")
    assert done.returncode == 0, done.stderr
    (rid,) = rids_of(done)
    summary = summarize_execution(ml.address, rid)
    assert summary.execution.description == "steeper"
    (metrics,) = [asset for asset in summary.output_assets if asset.filename == "metrics.jsonl"]
    assert metrics.length == len('{"epoch": 0, "slope": 3.0}\n')


def test_secrets_in_overrides_are_not_uploaded(ml: DerivaML, run: Run, tmp_path: Path) -> None:
    # drawn, since the diff of this very file may be uploaded
    token, password = f"ghp_{secrets.token_hex(18)}", f"correct-{secrets.token_hex(6)}"
    done = run(f"model_config.label={token}", f"model_config.password={password}", f"description=with {token}")
    assert done.returncode == 0, done.stderr
    (rid,) = rids_of(done)
    assert token not in ml.lookup_execution(rid).description
    uploaded = ml.lookup_execution(rid).list_assets("Output")
    assert len([asset for asset in uploaded if "Hydra_Config" in asset.asset_types]) == 3
    for asset in uploaded:
        text = asset.download(tmp_path).read_text()
        assert token not in text
        assert password not in text
        assert "<secret:hmac:" in text or "Hydra_Config" not in asset.asset_types
    home = Path(os.environ["DERIVA_ML_HOME"])
    for path in (path for path in home.rglob("*") if path.is_file()):
        assert token.encode() not in path.read_bytes(), path
        assert password.encode() not in path.read_bytes(), path


def test_folder_that_is_named_after_overrides(ml: DerivaML, run: Run) -> None:
    """Its name is part of the names of Hydra's files in the catalog: without secrets, and not too long."""
    password = f"correct-{secrets.token_hex(6)}"
    done = run(
        "--multirun",
        f"model_config.password={password},other-{password}",
        "hydra.sweep.subdir=${hydra.job.override_dirname}",
    )
    assert done.returncode == 0, done.stderr
    long = run(f"hydra.run.dir=outputs/{'d' * 250}")
    assert long.returncode == 0, long.stderr
    names = []
    for rid in (*rids_of(done), *rids_of(long)):
        made = ml.lookup_execution(rid).list_assets("Output")
        names += [str(asset.filename) for asset in made if "Hydra_Config" in asset.asset_types]
    assert len(set(names)) == 9
    # not even a part of it, where a long name is cut
    assert all("correct-" not in name and len(name) < 200 for name in names)


def test_dry_run_writes_nothing(ml: DerivaML, run: Run) -> None:
    before = len(ml.find_executions())
    done = run("dry_run=true", "model_config.fail=true")
    assert done.returncode == 0, done.stderr
    assert rids_of(done) == []
    assert len(ml.find_executions()) == before


def test_an_upload_that_cannot_be_is_refused_before_the_model_runs(ml: DerivaML, run: Run) -> None:
    before = {record.rid for record in ml.find_executions()}
    done = run("upload_chunk_size=0", "model_config.show=true")
    assert done.returncode == 1
    assert "chunk_size is 0" in done.stderr
    assert "the label has" not in done.stdout
    assert {record.rid for record in ml.find_executions()} == before


def test_error_of_the_model_is_its_own(ml: DerivaML, run: Run) -> None:
    done = run("model_config.fail=true")
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("ValueError: the line is not straight")
    assert ml.find_executions(limit=1)[0].status is ExecutionStatus.Failed


def test_sweep_runs_each_job(ml: DerivaML, run: Run) -> None:
    done = run("+multirun=slopes")
    assert done.returncode == 0, done.stderr
    first, second = rids_of(done)
    records = [ml.lookup_execution(rid) for rid in (first, second)]
    assert {record.description for record in records} == {"It's a sweep:\nslopes 1 and 2, a=b"}
    assert records[0].workflow_rid == records[1].workflow_rid


def test_info_lists_groups_and_names(run: Run) -> None:
    done = run("--info")
    assert done.returncode == 0, done.stderr
    assert "  quick - two epochs" in done.stdout.splitlines()
    assert "  deriva_model - Fit a line" in done.stdout.splitlines()
    assert "  slopes - It's a sweep:" in done.stdout.splitlines()


def test_wrong_names_are_one_line(run: Run) -> None:
    for arguments, text in (
        (["--config-name", "nope"], "No configuration is named 'nope'. Known: deriva_base, deriva_model"),
        (["+multirun=nope"], "There is no sweep 'nope'. Known: slopes"),
    ):
        done = run(*arguments)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert text in line
