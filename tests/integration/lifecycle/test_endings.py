"""What a run leaves behind is told: missing uploads, unregistered files, code that no commit has."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLUploadError
from deriva_ml_prefect.ml.creation import create_ml_catalog
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases.remind import tell_of_missing_uploads
from deriva_ml_prefect.values.progress import UploadProgress

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


def test_what_is_left_of_an_upload_is_told(begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    tell_of_missing_uploads()
    torn, late = begin(), begin()
    with torn:
        torn.asset_file_path("Image", "torn.png").write_bytes(b"torn")
        torn.asset_file_path("Image", "never.png")
    with pytest.raises(DerivaMLUploadError):
        torn.upload_execution_outputs()
    with late:
        late.upload_execution_outputs()
        late.asset_file_path("Image", "late.png").write_bytes(b"late")
    caplog.clear()
    tell_of_missing_uploads()
    told = {rid: m for m in caplog.messages for rid in (torn.rid, late.rid) if f"Execution {rid} ended" in m}
    assert "its upload did not: 1 file waits" in told[torn.rid]
    assert "1 file that it got after its upload waits" in told[late.rid]
    assert all("deriva-ml-prefect resume" in message for message in told.values())


CLOSED = """
import io, logging, sys
from deriva_ml_prefect import DerivaML
from deriva_ml_prefect.config.execution import ExecutionSpec

class Refusing(logging.Handler):
    def emit(self, record):
        raise OSError("nobody listens")

stream = io.StringIO()
closed = logging.StreamHandler(stream)
handlers = {"stream": [closed], "refusing": [Refusing()], "both": [Refusing(), closed]}
if sys.argv[2] == "prefect":
    from prefect.logging.handlers import APILogHandler, PrefectConsoleHandler
    handlers["prefect"] = [PrefectConsoleHandler(stream), APILogHandler()]
for handler in handlers[sys.argv[2]]:
    logging.getLogger("deriva_ml_prefect").addHandler(handler)
ml = DerivaML("embedded", sys.argv[1])
with ml.create_execution(ExecutionSpec(workflow=ml.create_workflow("Endings", "Training"))) as exe:
    pass
stream.close()
"""


@pytest.mark.parametrize("how", ["stream", "refusing", "both", "prefect"])
def test_notice_at_exit_never_ends_in_a_traceback(ml: DerivaML, tmp_path: Path, how: str) -> None:
    script = tmp_path / "train.py"
    script.write_text(CLOSED)
    _, told = run(script, ml.catalog_id, how)
    assert "Traceback" not in told
    assert "Logging error" not in told
    assert told.count("nothing of it was uploaded") == 1


def test_folder_of_a_dry_run_is_gone_when_the_process_ends(
    ml: DerivaML, home: Path, workflow: Workflow, tmp_path: Path
) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    kept = ml.create_execution(ExecutionSpec(workflow=workflow), dry_run=True).context.workspace
    run(script, ml.catalog_id, "dry")
    assert list((home / "dry-runs").iterdir()) == [kept]


def test_folders_that_dead_dry_runs_left_are_removed_after_a_day(
    ml: DerivaML, home: Path, workflow: Workflow, fork: Callable[..., Any]
) -> None:
    spec = ExecutionSpec(workflow=workflow)
    live = ml.create_execution(spec, dry_run=True).context.workspace

    def dies() -> None:
        (home / "left").write_text(
            str(DerivaML("embedded", ml.catalog_id).create_execution(spec, dry_run=True).context.workspace)
        )

    assert fork(dies).wait() == 0
    left = Path((home / "left").read_text())
    assert left.is_dir()
    ml.create_execution(spec, dry_run=True)
    assert left.is_dir()
    for folder in (live, left):
        os.utime(folder, (0, 0))
    ml.create_execution(spec, dry_run=True)
    assert not left.exists()
    assert live.is_dir()


def test_unregistered_files_are_named(begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    with begin() as exe:
        for number in range(7):
            (exe.working_dir / f"result-{number}.csv").write_text("1")
        (exe.working_dir / "model.png").write_bytes(b"model")
        exe.asset_file_path("Image", exe.working_dir / "model.png")
    (told,) = [message for message in caplog.messages if "not registered" in message]
    assert "7 files" in told
    assert "result-0.csv" in told
    assert "(and 2 more)" in told
    assert "model.png" not in told


def test_files_beside_registered_ones_outlive_the_upload(begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    with begin() as exe:
        registered = exe.asset_file_path("Image", "model.png")
        registered.write_bytes(exe.execution_rid.encode())
        strays = [registered.with_name(name) for name in ("model.png.index", ".model.png", "model.png.tmp")]
        strays.append(exe.context.staged / "top.txt")
        strays.append(exe.context.staged / "Image" / "shards" / "0.bin")
        strays[-1].parent.mkdir()
        for stray in strays:
            stray.write_text("in no catalog")
        # of a process that was killed in the middle of a write
        registered.with_name(".model.png.tmp").write_text("torn")
    exe.upload_execution_outputs()
    (told,) = [message for message in caplog.messages if "never registered" in message]
    assert "without 5 files" in told
    beside = "'Image/.model.png', 'Image/model.png.index', 'Image/model.png.tmp', 'Image/shards/0.bin', 'top.txt'"
    assert beside in told
    assert [stray.read_text() for stray in strays] == ["in no catalog"] * 5
    assert not registered.exists()
    exe.asset_file_path("Image", strays[0]).resolve()
    exe.upload_execution_outputs()
    assert {asset.filename for asset in exe.ml.lookup_execution(exe.rid).list_assets("Output")} >= {"model.png.index"}


def test_what_was_written_after_its_bytes_had_gone_outlives_the_upload(
    begin: Begin, caplog: pytest.LogCaptureFixture
) -> None:
    """A thread of a logger, or a process that nobody waited for, goes on writing while the upload runs."""
    with begin() as exe:
        log, whole = exe.asset_file_path("Image", "late.log"), exe.asset_file_path("Image", "whole.png")
        log.write_text(f"begun by {exe.execution_rid}")
        whole.write_bytes(exe.execution_rid.encode())
    late = f"begun by {exe.execution_rid}, and ended"

    def written_late(progress: UploadProgress) -> None:
        if progress.file_name.startswith("deriva-ml-run"):
            log.write_text(late)

    exe.upload_execution_outputs(progress_callback=written_late)
    assert (log.read_text(), whole.exists()) == (late, False)
    (told,) = [message for message in caplog.messages if "never registered" in message]
    assert "without 1 file" in told
    assert "changed since it was uploaded: 'Image/late.log'" in told
    exe.asset_file_path("Image", log).resolve()
    exe.upload_execution_outputs()
    assert not log.exists()
    found = [asset for asset in exe.ml.lookup_execution(exe.rid).list_assets("Output") if asset.filename == "late.log"]
    assert sorted(asset.length for asset in found) == [len(late) - len(", and ended"), len(late)]


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
