"""Folders that somebody deletes while a run is at work: it is told what happened, and nobody takes it for dead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.catalog import executions
from deriva_ml_prefect.catalog.connection import catalog_for
from deriva_ml_prefect.exceptions import DerivaMLNotFoundError, DerivaMLOwnershipError
from deriva_ml_prefect.journal import ownership
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases import heartbeat
from deriva_ml_prefect.values.liveness import Liveness
from deriva_ml_prefect.values.status import ExecutionStatus

Begin = Callable[..., Execution]
Fork = Callable[[Callable[[], None]], Any]
WaitFor = Callable[[Callable[[], Any]], Any]


@pytest.fixture(autouse=True)
def _released(ml: DerivaML) -> Iterator[None]:
    yield
    for folder in list(heartbeat._pulses):
        ownership.release(folder)


def modified(exe: Execution) -> str:
    row = executions.read_execution(catalog_for(exe.context.address), exe.execution_rid)
    assert row is not None
    return row.modified


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_folder_that_is_deleted_is_named_and_the_run_lives_on(
    begin: Begin, ml: DerivaML, quick: float, fork: Fork, wait_for: WaitFor, caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:  # fmt: skip
    exe = begin()
    exe.execution_start()
    # at once: it is made again by the next sign of life, in the middle of a deletion too
    exe.context.folder.rename(tmp_path / "gone")
    before = modified(exe)
    wait_for(lambda: modified(exe) > before)
    wait_for(lambda: ml.lookup_execution(exe.rid).liveness is Liveness.alive)

    def another() -> None:
        with pytest.raises(DerivaMLOwnershipError, match="which is alive"):
            ml.resume_execution(exe.rid)

    assert fork(another).wait() == 0
    warnings = [line for line in told(caplog) if "was deleted" in line]
    assert len(warnings) == 1
    assert str(exe.context.folder) in warnings[0]
    assert "taken over" not in caplog.text
    assert "FileNotFoundError" not in caplog.text
    exe.asset_file_path("Image", "after.png").write_bytes(b"after")
    exe.execution_stop()
    exe.upload_execution_outputs()
    assert exe.status is ExecutionStatus.Uploaded


def test_note_of_the_owner_that_is_deleted_comes_back(begin: Begin, ml: DerivaML) -> None:
    """Without signs of life, too: at the owner's next write."""
    exe = begin()
    exe.execution_start()
    before = ownership.owner_of(exe.context.folder)
    (exe.context.folder / ownership.NOTE_NAME).unlink()
    exe.update_status(ExecutionStatus.Running, "still here")
    assert ownership.owner_of(exe.context.folder) == before
    assert ml.lookup_execution(exe.rid).liveness is Liveness.alive


def test_workspace_that_is_deleted_is_no_takeover(
    begin: Begin, quick: float, wait_for: WaitFor, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    exe = begin()
    exe.execution_start()
    before = modified(exe)
    wait_for(lambda: modified(exe) > before)
    exe.context.workspace.rename(tmp_path / "gone")
    for attempt in (
        lambda: exe.update_status("Running", "still here"),
        lambda: exe.asset_file_path("Image", "after.png"),
        exe.execution_stop,
    ):
        with pytest.raises(DerivaMLNotFoundError, match=r"journal\.db .*deleted or replaced while it ran"):
            attempt()
    wait_for(lambda: "deleted or replaced" in caplog.text)
    # its process is alive, whatever became of its folders
    before = modified(exe)
    wait_for(lambda: modified(exe) > before)
    assert "taken over" not in caplog.text
    assert len([line for line in told(caplog) if "deleted or replaced" in line]) == 1
