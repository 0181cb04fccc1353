"""The phases around the user's code, with and without repetition by a flow run."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLAttemptError, DerivaMLUploadError, InvalidTransitionError
from deriva_ml_prefect.journal.executions import read_execution
from deriva_ml_prefect.journal.store import close_journals, open_journal
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases import download, recover
from deriva_ml_prefect.phases.begin import Request
from deriva_ml_prefect.phases.context import Context
from deriva_ml_prefect.phases.lifecycle import PHASES, conduct
from deriva_ml_prefect.phases.send import UploadOptions
from deriva_ml_prefect.values.status import ExecutionStatus

S = ExecutionStatus
Away = Callable[[], AbstractContextManager[None]]
AT_ONCE = UploadOptions(retry_delay=0)


@pytest.fixture
def request_for(ml: DerivaML, workflow: Workflow) -> Callable[..., Request]:
    def make(**values: Any) -> Request:
        return Request(ml.address, ExecutionSpec(workflow=workflow), **values)

    return make


class Code:
    """User code that fails as often as it is told, and counts."""

    def __init__(self, ml: DerivaML, failures: int = 0, grade: str | None = None, staging: Away = nullcontext) -> None:
        self.ml = ml
        self.failures = failures
        self.grade = grade
        self.staging = staging
        self.rids: list[str] = []

    def __call__(self, context: Context) -> str:
        self.rids.append(context.rid)
        exe = Execution(self.ml, context)
        exe.asset_file_path("Image", f"{len(self.rids)}.png").write_bytes(b"%d" % len(self.rids))
        if self.grade:
            record = self.ml.feature_record_class("Subject", "Diagnosis")
            subject = self.ml.pathBuilder().schemas["lab"].tables["Subject"].entities().fetch(limit=1)[0]["RID"]
            with self.staging():
                exe.add_features([record(Subject=subject, Grade=self.grade)])
        if len(self.rids) <= self.failures:
            raise RuntimeError(f"failure {len(self.rids)}")
        return "the result"


def test_all_phases_in_order(ml: DerivaML, request_for: Callable[..., Request]) -> None:
    called: list[str] = []

    def call(phase: Callable[..., Any], /, *args: Any) -> Any:
        called.append(phase.__name__)
        return phase(*args)

    done = conduct(request_for(), Code(ml), call=call)
    assert done.result == "the result"
    assert called == [phase.__name__ for phase in PHASES]
    assert ml.lookup_execution(done.context.rid).status is S.Uploaded


def test_finished_code_never_runs_again(ml: DerivaML, request_for: Callable[..., Request], away: Away) -> None:
    # a term that is missing is found at the upload, since the catalog is away when the value is staged
    code = Code(ml, grade="Terrible", staging=away)
    for _ in range(2):
        with pytest.raises(DerivaMLUploadError):
            conduct(request_for(flow_run_id="run-1"), code, options=AT_ONCE)
    assert len(code.rids) == 1
    assert ml.lookup_execution(code.rids[0]).status is S.Failed
    ml.add_term("Grade", "Terrible", "Worse than severe")
    done = conduct(request_for(flow_run_id="run-1", attempt=2), code, options=AT_ONCE)
    assert (done.result, done.context.rid) == (None, code.rids[0])
    assert len(code.rids) == 1
    assert ml.lookup_execution(code.rids[0]).status is S.Uploaded
    again = conduct(request_for(flow_run_id="run-1", attempt=3), code, options=AT_ONCE)
    assert again.context.rid == code.rids[0]
    assert len(code.rids) == 1


def test_failed_code_runs_again_as_a_new_execution(ml: DerivaML, request_for: Callable[..., Request]) -> None:
    code = Code(ml, failures=1)
    with pytest.raises(RuntimeError, match="failure 1"):
        conduct(request_for(flow_run_id="run-2"), code)
    done = conduct(request_for(flow_run_id="run-2", attempt=2), code)
    old, new = code.rids
    assert old != new
    assert done.context.rid == new
    assert ml.lookup_execution(old).status is S.Failed
    assert ml.lookup_execution(old).status_detail == "RuntimeError: failure 1"
    assert ml.lookup_execution(new).status is S.Uploaded
    journal = open_journal(ml.working_dir)
    entries = [read_execution(journal, rid) for rid in (old, new)]
    assert entries[0] is not None
    assert entries[1] is not None
    assert (entries[0].superseded_by, entries[1].supersedes, entries[1].attempt) == (new, old, 2)


def test_killed_code_is_superseded(ml: DerivaML, request_for: Callable[..., Request], fork: Any) -> None:
    def child() -> None:
        conduct(request_for(flow_run_id="run-3"), lambda context: os._exit(9))

    assert fork(child).wait() == 9
    code = Code(ml)
    done = conduct(request_for(flow_run_id="run-3", attempt=2), code)
    (old,) = [record for record in ml.find_executions() if (record.status_detail or "").endswith(done.context.rid)]
    assert (old.status, old.status_detail) == (S.Aborted, f"superseded by {done.context.rid}")
    assert ml.lookup_execution(done.context.rid).status is S.Uploaded


def test_execution_that_was_given_up_is_not_taken_up(ml: DerivaML, request_for: Callable[..., Request]) -> None:
    def code(context: Context) -> None:
        Execution(ml, context).abort("wrong data")

    with pytest.raises(InvalidTransitionError, match="Aborted"):
        conduct(request_for(flow_run_id="run-4"), code)
    with pytest.raises(DerivaMLAttemptError, match="wrong data"):
        conduct(request_for(flow_run_id="run-4", attempt=2), Code(ml))


def test_lost_journal_is_no_reason_to_run_again(
    ml: DerivaML, request_for: Callable[..., Request], home: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine, or a container without a volume, starts the flow run again."""
    code = Code(ml, failures=1)
    with pytest.raises(RuntimeError):
        conduct(request_for(flow_run_id="run-5"), code)
    close_journals()
    other = tmp_path / "other-home"
    other.mkdir()
    (other / "embedded").symlink_to(home / "embedded")
    monkeypatch.setenv("DERIVA_ML_HOME", str(other))
    with pytest.raises(DerivaMLAttemptError, match=code.rids[0]):
        conduct(request_for(flow_run_id="run-5", attempt=2), code)
    assert len(code.rids) == 1


def test_exit_with_zero_ends_well(ml: DerivaML, request_for: Callable[..., Request]) -> None:
    def code(context: Context) -> None:
        raise SystemExit(0)

    with pytest.raises(SystemExit):
        conduct(request_for(flow_run_id="run-6"), code)
    done = conduct(request_for(flow_run_id="run-6", attempt=2), code)
    assert ml.lookup_execution(done.context.rid).status is S.Uploaded


def test_hooks_tell_of_a_dead_owner_and_change_no_status(
    ml: DerivaML, request_for: Callable[..., Request], fork: Any
) -> None:
    def child() -> None:
        conduct(request_for(flow_run_id="run-7"), lambda context: os._exit(9))

    fork(child).wait()
    (lost,) = recover.find_interrupted(ml.address)
    recover.note_end(ml.address, "run-7", ended="crashed", message="the flow run crashed")
    record = ml.lookup_execution(lost.rid)
    assert record.status is S.Running
    assert record.status_detail is not None
    assert record.status_detail.startswith("owner lost at ")
    assert record.status_detail.endswith(f"resume with: deriva-ml-prefect resume {lost.rid}")
    recover.note_end(ml.address, "run-7", ended="crashed", message="the flow run crashed")
    assert ml.lookup_execution(lost.rid).status_detail == record.status_detail
    recover.note_end(ml.address, "run-7", ended="cancelled", message="cancelled by the user")
    assert ml.lookup_execution(lost.rid).status is S.Aborted
    recover.note_end(ml.address, "no such run", ended="crashed", message="")


def test_inputs(ml: DerivaML, workflow: Workflow, request_for: Callable[..., Request], fork: Any) -> None:
    """Single assets are downloaded and linked; an execution that died before that gets them when it is resumed."""
    made = conduct(request_for(), Code(ml))
    (image,) = [a for a in ml.summarize_execution(made.context.rid).output_assets if a.asset_table == "Image"]
    spec = ExecutionSpec(workflow=workflow, assets=[{"rid": image.rid, "cache": True}], description="reads")

    def child() -> None:
        download.fetch_asset = lambda *args, **values: os._exit(9)  # type: ignore[assignment]
        ml.create_execution(spec)

    assert fork(child).wait() == 9
    (lost,) = [item.rid for item in recover.find_interrupted(ml.address) if item.status is S.Created]
    for exe in (ml.resume_execution(lost), ml.create_execution(spec)):
        (path,) = exe.asset_paths["Image"]
        assert path.read_bytes() == b"1"
        assert path.asset_rid == image.rid
        with exe:
            pass
        exe.upload_execution_outputs()
        summary = ml.summarize_execution(exe.execution_rid)
        assert [asset.rid for asset in summary.input_assets] == [image.rid]
        assert summary.run_record is not None
        assert [item["rid"] for item in summary.run_record["inputs"]] == [image.rid]
