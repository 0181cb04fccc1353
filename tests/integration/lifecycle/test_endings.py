"""What a run leaves behind is told: missing uploads, unregistered files, code that no commit has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.ml.creation import create_ml_catalog
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases.remind import tell_of_missing_uploads

Begin = Callable[..., Execution]

SCRIPT = """
import sys
from deriva_ml_prefect import DerivaML
from deriva_ml_prefect.config.execution import ExecutionSpec

ml = DerivaML("embedded", sys.argv[1])
workflow = ml.create_workflow("Endings", "Training")
with ml.create_execution(ExecutionSpec(workflow=workflow), dry_run=sys.argv[2] == "dry") as exe:
    pass
print(exe.execution_rid)
if sys.argv[2] == "upload":
    exe.upload_execution_outputs()
"""


def run(script: Path, *arguments: str) -> tuple[str, str]:
    command = [sys.executable, str(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    return done.stdout.strip(), done.stderr


@pytest.mark.parametrize("how", ["forget", "upload", "dry"])
def test_missing_upload_is_told_at_exit(ml: DerivaML, tmp_path: Path, how: str) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    rid, told = run(script, ml.catalog_id, how)
    assert told.count("nothing of it was uploaded") == (1 if how == "forget" else 0)
    if how == "forget":
        assert f"deriva-ml-prefect resume {rid}" in told


def test_failed_run_is_told_of_if_it_staged_something(begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    tell_of_missing_uploads()
    caplog.clear()
    for staged in (False, True):
        exe = begin()
        if staged:
            exe.asset_file_path("Image", "partial.png").write_bytes(b"partial")
        with pytest.raises(RuntimeError, match="lost"), exe:
            raise RuntimeError("lost")
    tell_of_missing_uploads()
    tell_of_missing_uploads()
    told = [message for message in caplog.messages if "nothing of it was uploaded" in message]
    assert len(told) == 1
    assert exe.execution_rid in told[0]


def test_unregistered_files_are_named(begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    with begin() as exe:
        for number in range(7):
            (exe.working_dir / f"result-{number}.csv").write_text("1")
        (exe.working_dir / "model.png").write_bytes(b"model")
        exe.asset_file_path("Image", exe.working_dir / "model.png")
    (told,) = [message for message in caplog.messages if "not registered" in message]
    assert "7 files" in told
    assert "result-0.csv" in told
    assert "and 2 more" in told
    assert "model.png" not in told


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def diff_of(ml: DerivaML, rid: str) -> str | None:
    for asset in ml.summarize_execution(rid).output_assets:
        if asset.filename == "uncommitted.diff":
            with ml.resume_execution(rid) as exe:
                return exe.download_asset(asset.rid, update_catalog=False).read_text()
    return None


def test_uncommitted_code_is_kept(ml: DerivaML, tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    script = folder / "train.py"
    script.write_text("rate = 1\n")
    (folder / "data.csv").write_text("1\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    described = Workflow(
        name="Diff", workflow_type=["Training"], url=script.as_uri(), checksum="a" * 40, git_root=str(folder)
    )

    def begun() -> str:
        return ml.create_execution(ExecutionSpec(workflow=described)).execution_rid

    assert diff_of(ml, begun()) is None
    script.write_text("rate = 2\npassword = 'open-Sesame-77'\n")
    (folder / "data.csv").write_text("2\n" * 300_000)
    (folder / "blob.bin").write_bytes(b"\0" * 10)
    text = diff_of(ml, begun())
    assert text is not None
    assert "-rate = 1\n+rate = 2\n" in text
    assert "open-Sesame-77" not in text
    assert "data.csv" in text
    assert "blob.bin" in text
    assert len(text) < 2000
    git(folder, "rm", "-q", "--cached", "train.py")
    git(folder, "checkout", "-q", "data.csv")
    git(folder, "commit", "-qm", "second")
    text = diff_of(ml, begun())
    assert text is not None
    assert "+rate = 2" in text


def test_workflow_is_looked_up_anew_in_another_catalog(ml: DerivaML, workflow: Workflow) -> None:
    ml.create_execution(ExecutionSpec(workflow=workflow))
    other = DerivaML("embedded", str(create_ml_catalog("embedded", "other").catalog_id))
    made = other.create_execution(ExecutionSpec(workflow=workflow))
    row: Any = other.lookup_workflow(str(made.workflow_rid))
    assert row.checksum == workflow.checksum
    assert ml.create_execution(ExecutionSpec(workflow=workflow)).workflow_rid in {r.rid for r in ml.find_workflows()}
