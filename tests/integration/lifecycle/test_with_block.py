"""The with block: how code ends, and what status, outcome and message follow from it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deriva_ml_prefect.exceptions import (
    DerivaMLAttemptError,
    DerivaMLExecutionError,
    DerivaMLReadOnlyError,
    InvalidTransitionError,
)
from deriva_ml_prefect.journal.executions import read_execution, status_history
from deriva_ml_prefect.ml.current import current_execution
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases.context import journal_of
from deriva_ml_prefect.values.status import ExecutionStatus, Outcome

Begin = Callable[..., Execution]
S = ExecutionStatus


def outcome(exe: Execution) -> Outcome:
    entry = read_execution(journal_of(exe.context), exe.execution_rid)
    assert entry is not None
    return entry.outcome


def in_catalog(ml: DerivaML, exe: Execution) -> tuple[ExecutionStatus, str | None]:
    record = ml.lookup_execution(exe.execution_rid)
    return record.status, record.status_detail


@pytest.mark.spec(
    "run.created",
    "run.enter",
    "run.exit",
    "run.rid",
    "run.upload",
    "status.Uploaded",
    "edge.Created-Running",
    "edge.Running-Stopped",
    "edge.Stopped-Pending_Upload",
    "edge.Pending_Upload-Uploaded",
)
def test_clean_end(ml: DerivaML, begin: Begin) -> None:
    exe = begin(description="a clean run")
    assert in_catalog(ml, exe) == (S.Created, None)
    with exe as inside:
        assert inside is exe
        assert current_execution() is exe
        assert in_catalog(ml, exe)[0] is S.Running
    assert in_catalog(ml, exe)[0] is S.Stopped
    assert exe.status is S.Stopped
    assert outcome(exe) is Outcome.completed
    with pytest.raises(DerivaMLExecutionError):
        current_execution()
    assert exe.upload_execution_outputs() == {}
    assert in_catalog(ml, exe)[0] is S.Uploaded
    record = ml.lookup_execution(exe.execution_rid)
    assert record.description == "a clean run"
    assert set(record.durations) == {"execution", "upload"}
    history = [step.status for step in status_history(journal_of(exe.context), exe.execution_rid)]
    assert history == [S.Created, S.Running, S.Stopped, S.Pending_Upload, S.Uploaded]


@pytest.mark.spec("run.exit-error", "run.reraise", "status.Failed", "edge.Running-Failed")
@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (ValueError("no learning rate"), "ValueError: no learning rate"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (SystemExit(3), "SystemExit: 3"),
        (SystemExit("bad data"), "SystemExit: bad data"),
    ],
)
def test_error_is_failed_and_raised(ml: DerivaML, begin: Begin, error: BaseException, detail: str) -> None:
    exe = begin()
    with pytest.raises(type(error)) as caught, exe:
        raise error
    assert caught.value is error
    assert exe.status is S.Failed
    assert in_catalog(ml, exe) == (S.Failed, detail)
    assert outcome(exe) is Outcome.failed


@pytest.mark.parametrize("code", [0, None])
def test_exit_with_zero_is_a_clean_end(ml: DerivaML, begin: Begin, code: int | None) -> None:
    exe = begin()
    with pytest.raises(SystemExit), exe:
        raise SystemExit(code)
    assert in_catalog(ml, exe)[0] is S.Stopped
    assert outcome(exe) is Outcome.completed


def test_long_message_is_cut(ml: DerivaML, begin: Begin) -> None:
    exe = begin()
    with pytest.raises(ValueError, match="xxx"), exe:
        raise ValueError("x" * 100_000)
    detail = in_catalog(ml, exe)[1]
    assert detail is not None
    assert len(detail) == 4000


@pytest.mark.spec("progress.columns", "progress.same-status")
def test_message_under_the_same_status(ml: DerivaML, begin: Begin) -> None:
    exe = begin()
    with exe:
        for epoch in range(3):
            exe.update_status(S.Running, f"Epoch {epoch + 1}/3 — loss=0.5")
            assert in_catalog(ml, exe) == (S.Running, f"Epoch {epoch + 1}/3 — loss=0.5")
        exe.update_status("Running", "by its name")
        assert in_catalog(ml, exe) == (S.Running, "by its name")
    assert exe.status is S.Stopped


def test_code_runs_once(begin: Begin) -> None:
    exe = begin()
    with exe:
        pass
    with pytest.raises(DerivaMLAttemptError, match=exe.execution_rid), exe:
        pytest.fail("the code ran a second time")
    assert exe.status is S.Stopped


@pytest.mark.spec("status.Running", "status.Stopped")
def test_start_and_stop_without_a_block(ml: DerivaML, begin: Begin) -> None:
    exe = begin()
    with pytest.raises(InvalidTransitionError, match="has not run"):
        exe.upload_execution_outputs()
    assert exe.status is S.Created
    exe.execution_start()
    assert in_catalog(ml, exe)[0] is S.Running
    exe.execution_stop()
    assert in_catalog(ml, exe)[0] is S.Stopped
    exe.upload_execution_outputs()
    assert in_catalog(ml, exe)[0] is S.Uploaded


def test_upload_inside_the_block(ml: DerivaML, begin: Begin) -> None:
    with begin() as exe:
        exe.asset_file_path("Image", "inside.png").write_bytes(b"inside")
        exe.upload_execution_outputs()
    assert in_catalog(ml, exe)[0] is S.Uploaded


@pytest.mark.spec("status.Aborted", "edge.Running-Aborted")
def test_abort(ml: DerivaML, begin: Begin) -> None:
    with begin() as exe:
        exe.abort("wrong data")
    assert in_catalog(ml, exe) == (S.Aborted, "wrong data")
    with pytest.raises(InvalidTransitionError, match="Aborted"):
        exe.upload_execution_outputs()
    with pytest.raises(DerivaMLReadOnlyError, match="Aborted"):
        exe.asset_file_path("Image", "late.png")
    with pytest.raises(InvalidTransitionError):
        exe.update_status(S.Running)


@pytest.mark.spec("upload.explicit", "upload.inspect")
def test_upload_is_never_done_by_the_block(ml: DerivaML, begin: Begin) -> None:
    with begin() as exe:
        exe.asset_file_path("Image", "waiting.png").write_bytes(b"waiting")
    assert [path.file_name for path in exe.staged().files] == ["waiting.png"]
    assert not [asset for asset in ml.list_assets("Image") if asset.filename == "waiting.png"]
