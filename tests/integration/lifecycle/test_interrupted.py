"""Executions that are left on purpose, at every border between phases and in the code: what becomes of them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLAttemptError
from deriva_ml_prefect.journal.executions import Entry, list_executions, status_history, unsent_steps
from deriva_ml_prefect.journal.store import close_journals, open_journal
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases.begin import Request, begin_execution
from deriva_ml_prefect.phases.close import close_execution
from deriva_ml_prefect.phases.context import Context, entry_of
from deriva_ml_prefect.phases.download import download_inputs
from deriva_ml_prefect.phases.flush import flush_features
from deriva_ml_prefect.phases.interrupt import (
    ExecutionCancelled,
    ExecutionDisowned,
    ExecutionSuspended,
    Interruption,
    tell_of_pause,
)
from deriva_ml_prefect.phases.lifecycle import Call, conduct
from deriva_ml_prefect.phases.recover import note_end
from deriva_ml_prefect.phases.run import run_user_code
from deriva_ml_prefect.phases.send import UploadOptions
from deriva_ml_prefect.phases.stage import stage_outputs
from deriva_ml_prefect.phases.upload import upload_assets
from deriva_ml_prefect.values.status import ExecutionStatus, Outcome

S = ExecutionStatus
AT_ONCE = UploadOptions(retry_delay=0, max_retries=0)
Phase = Callable[..., Any]


@pytest.fixture
def request_for(ml: DerivaML, workflow: Workflow) -> Callable[..., Request]:
    def make(**values: Any) -> Request:
        return Request(ml.address, ExecutionSpec(workflow=workflow), **values)

    return make


class Code:
    """User code that counts how often it is called, and may be interrupted the first time."""

    def __init__(self, ml: DerivaML, first: Interruption | None = None) -> None:
        self.ml = ml
        self.first = first
        self.rids: list[str] = []

    def __call__(self, context: Context) -> str:
        self.rids.append(context.rid)
        exe = Execution(self.ml, context)
        exe.asset_file_path("Image", f"{context.rid}-{len(self.rids)}.png").write_bytes(b"%d" % len(self.rids))
        if self.first is not None and len(self.rids) == 1:
            raise self.first
        return "the result"


def leaving(why: Interruption, *, before: Phase | None = None, after: Phase | None = None) -> Call:
    """A way of calling phases that is left at one border."""

    def call(phase: Phase, /, *args: Any) -> Any:
        if phase is before:
            raise why
        result = phase(*args)
        if phase is after:
            raise why
        return result

    return call


def interrupted(ml: DerivaML, request: Request, code: Code, call: Call | None = None) -> tuple[str, str | None]:
    """Conduct what is interrupted; status and message in the catalog afterwards."""
    begun: list[str] = []

    def noting(phase: Phase, /, *args: Any) -> Any:
        result = call(phase, *args) if call else phase(*args)
        if phase is begin_execution:
            begun.append(result.rid)
        return result

    with pytest.raises(Interruption):
        conduct(request, code, call=noting, options=AT_ONCE)
    record = ml.lookup_execution(begun[0])
    return str(record.status), record.status_detail


BORDERS: list[tuple[dict[str, Phase], S, int]] = [
    ({"before": download_inputs}, S.Created, 0),
    ({"before": run_user_code}, S.Created, 0),
    ({"after": run_user_code}, S.Stopped, 1),
    ({"before": stage_outputs}, S.Pending_Upload, 1),
    ({"before": upload_assets}, S.Pending_Upload, 1),
    ({"before": flush_features}, S.Pending_Upload, 1),
    ({"before": close_execution}, S.Pending_Upload, 1),
]
NAMES = [f"{where} {phase.__name__}" for border, *_ in BORDERS for where, phase in border.items()]


@pytest.mark.parametrize(("border", "left", "calls"), BORDERS, ids=NAMES)
def test_suspended_goes_on_where_it_stands(
    ml: DerivaML, request_for: Callable[..., Request], border: dict[str, Phase], left: S, calls: int
) -> None:
    code = Code(ml)
    call = leaving(ExecutionSuspended("the run was suspended"), **border)
    status, detail = interrupted(ml, request_for(flow_run_id="run-1"), code, call)
    assert status == left
    assert (detail or "").startswith("suspended at ")
    assert (detail or "").endswith(": the run was suspended")
    assert len(code.rids) == calls
    assert ml.find_interrupted() == []

    done = conduct(request_for(flow_run_id="run-1", attempt=2), code, options=AT_ONCE)
    assert code.rids == [done.context.rid]
    assert ml.lookup_execution(done.context.rid).status is S.Uploaded


def test_suspended_code_is_called_again_in_its_execution(ml: DerivaML, request_for: Callable[..., Request]) -> None:
    code = Code(ml, ExecutionSuspended("the run was suspended"))
    status, detail = interrupted(ml, request_for(flow_run_id="run-1"), code)
    assert status == S.Running
    assert (detail or "").startswith("suspended at ")

    done = conduct(request_for(flow_run_id="run-1", attempt=2), code, options=AT_ONCE)
    rid = done.context.rid
    assert code.rids == [rid, rid]
    entry = entry_of(done.context)
    assert (entry.status, entry.outcome) == (S.Uploaded, Outcome.completed)
    details = [step.detail for step in status_history(open_journal(done.context.workspace), rid)]
    assert "Its code runs again, after it was suspended" in details
    # what it had staged before is there as well
    names = {asset.filename for asset in ml.list_assets("Image")}
    assert {f"{rid}-1.png", f"{rid}-2.png"} <= names


@pytest.mark.parametrize(("border", "left", "calls"), BORDERS, ids=NAMES)
def test_cancelled_is_given_up_before_the_upload_and_failed_in_it(
    ml: DerivaML, request_for: Callable[..., Request], border: dict[str, Phase], left: S, calls: int
) -> None:
    code = Code(ml)
    call = leaving(ExecutionCancelled("the run was cancelled"), **border)
    status, detail = interrupted(ml, request_for(flow_run_id="run-1"), code, call)
    again = request_for(flow_run_id="run-1", attempt=2)
    if left is S.Pending_Upload:
        assert (status, detail) == (S.Failed, "cancelled during upload: the run was cancelled")
        done = conduct(again, code, options=AT_ONCE)
        assert ml.lookup_execution(done.context.rid).status is S.Uploaded
        assert code.rids == [done.context.rid]
    else:
        assert (status, detail) == (S.Aborted, "cancelled: the run was cancelled")
        with pytest.raises(DerivaMLAttemptError, match="was given up"):
            conduct(again, code, options=AT_ONCE)
        assert len(code.rids) == calls


def test_cancelled_code_was_killed(ml: DerivaML, request_for: Callable[..., Request]) -> None:
    code = Code(ml, ExecutionCancelled("the run was cancelled"))
    status, _ = interrupted(ml, request_for(flow_run_id="run-1"), code)
    assert status == S.Aborted
    (rid,) = code.rids
    local = ml.summarize_execution(rid).local
    assert local is not None
    assert (local.user_code, local.outcome) == ("started", "killed")


@pytest.mark.parametrize(("border", "left", "calls"), BORDERS, ids=NAMES)
def test_set_to_failed_by_somebody_else_keeps_what_was_computed(
    ml: DerivaML, request_for: Callable[..., Request], border: dict[str, Phase], left: S, calls: int
) -> None:
    code = Code(ml)
    call = leaving(ExecutionDisowned("somebody set it to Failed"), **border)
    status, detail = interrupted(ml, request_for(flow_run_id="run-1"), code, call)
    assert status == (S.Failed if left is S.Pending_Upload else left)
    assert detail == "somebody set it to Failed"
    done = conduct(request_for(flow_run_id="run-1", attempt=2), code, options=AT_ONCE)
    assert code.rids == [done.context.rid]
    assert ml.lookup_execution(done.context.rid).status is S.Uploaded


def test_a_pause_is_told_and_then_what_was_said_before(ml: DerivaML, request_for: Callable[..., Request]) -> None:
    told: list[str | None] = []

    def code(context: Context) -> None:
        exe = Execution(ml, context)
        exe.update_status("Running", "Epoch 3 of 10")
        for paused in (True, True, False, False):
            tell_of_pause(context, paused=paused, how="resume the flow run")
            told.append(ml.lookup_execution(context.rid).status_detail)

    conduct(request_for(), code, options=AT_ONCE)
    assert told[0] == told[1]
    assert (told[0] or "").startswith("paused at ")
    assert (told[0] or "").endswith(": resume the flow run")
    assert told[2:] == ["Epoch 3 of 10", "Epoch 3 of 10"]


@contextmanager
def catalog_away(home: Path) -> Iterator[None]:
    """The embedded DERIVA answers nothing."""
    pid = int(json.loads((home / "embedded" / "server.json").read_text())["pid"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catalogs that are opened from here on are given up soon."""
    monkeypatch.setenv("DERIVA_ML_TIMEOUT", "2")
    monkeypatch.setenv("DERIVA_ML_RETRIES", "0")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("ended", ["crashed", "cancelled"])
def test_what_a_hook_could_not_tell_is_told_by_the_next_look(
    ml: DerivaML,
    home: Path,
    request_for: Callable[..., Request],
    fork: Callable[..., Any],
    ended: str,
) -> None:
    request = request_for(flow_run_id="run-1")

    def die() -> None:
        conduct(request, lambda context: os.kill(os.getpid(), signal.SIGKILL), options=AT_ONCE)

    assert fork(die).wait() == -signal.SIGKILL
    close_journals()
    with catalog_away(home):
        note_end(ml.address, "run-1", ended=ended, message="Flow run run-1 ended")
        entry = _local(ml)
        assert len(unsent_steps(open_journal(load_settings().workspace(ml.address)), entry.rid)) == 1
    # a request that was given up may still be answered by a server that was only slow; the look does not rely on it

    left = ml.find_interrupted()
    assert unsent_steps(open_journal(load_settings().workspace(ml.address)), entry.rid) == []
    record = ml.lookup_execution(entry.rid)
    if ended == "crashed":
        assert [item.rid for item in left] == [entry.rid]
        assert record.status is S.Running
        assert (record.status_detail or "").startswith("owner lost at ")
    else:
        assert left == []
        assert (record.status, record.status_detail) == (S.Aborted, "Flow run run-1 ended")


def _local(ml: DerivaML) -> Entry:
    """The execution that this test's workspace knows."""
    (entry,) = list_executions(open_journal(load_settings().workspace(ml.address)))
    return entry


def _only(ml: DerivaML) -> Any:
    """What the catalog says of it."""
    return ml.lookup_execution(_local(ml).rid)


def test_a_signal_whose_reason_was_not_known_was_a_cancel(ml: DerivaML, request_for: Callable[..., Request]) -> None:
    """The process was ended before it could learn that its run was cancelled; the hook knows."""

    class TerminationSignal(BaseException):
        """As Prefect's: this room does not know Prefect."""

    def code(context: Context) -> None:
        raise TerminationSignal(15)

    with pytest.raises(TerminationSignal):
        conduct(request_for(flow_run_id="run-1"), code, options=AT_ONCE)
    assert _only(ml).status is S.Failed
    note_end(ml.address, "run-1", ended="cancelled", message="Flow run run-1 Cancelled")
    assert (_only(ml).status, _only(ml).status_detail) == (S.Aborted, "Flow run run-1 Cancelled")


def test_an_error_of_the_code_stays_when_its_run_is_cancelled(
    ml: DerivaML, request_for: Callable[..., Request]
) -> None:
    def code(context: Context) -> None:
        raise ValueError("the loss is not finite")

    with pytest.raises(ValueError, match="not finite"):
        conduct(request_for(flow_run_id="run-1"), code, options=AT_ONCE)
    note_end(ml.address, "run-1", ended="cancelled", message="Flow run run-1 Cancelled")
    assert _only(ml).status_detail == "ValueError: the loss is not finite"
