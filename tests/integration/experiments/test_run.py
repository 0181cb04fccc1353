"""`deriva-ml-run` on a small project, against the embedded DERIVA."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

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


def test_dry_run_writes_nothing(ml: DerivaML, run: Run) -> None:
    before = len(ml.find_executions())
    done = run("dry_run=true", "model_config.fail=true")
    assert done.returncode == 0, done.stderr
    assert rids_of(done) == []
    assert len(ml.find_executions()) == before


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
