"""Alive, silent, dead or settled: on the machine by the lock, elsewhere by the signs that were promised."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.catalog import executions
from deriva_ml_prefect.catalog.connection import catalog_for
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLNotFoundError, DerivaMLOfflineError
from deriva_ml_prefect.journal.executions import mark_user_code
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.pages.execution_page import render_execution
from deriva_ml_prefect.phases import recover
from deriva_ml_prefect.phases.abort import abort
from deriva_ml_prefect.phases.advance import advance
from deriva_ml_prefect.phases.begin import Request, begin_execution
from deriva_ml_prefect.phases.context import journal_of, status_of
from deriva_ml_prefect.transfer.client import HttpClient
from deriva_ml_prefect.values.liveness import Liveness
from deriva_ml_prefect.values.status import ExecutionStatus, Outcome

Begin = Callable[..., Execution]
WaitFor = Callable[[Callable[[], Any]], Any]
L = Liveness


@pytest.fixture
def elsewhere(ml: DerivaML, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], DerivaML]:
    """The catalog, seen from a machine whose home knows none of the executions; its own clock is a day off."""

    def look() -> DerivaML:
        other = tmp_path / "other home"
        other.mkdir(exist_ok=True)
        embedded = Path(os.environ["DERIVA_ML_HOME"]) / "embedded"
        if not (other / "embedded").exists():
            (other / "embedded").symlink_to(embedded.resolve())
        monkeypatch.setenv("DERIVA_ML_HOME", str(other))
        return DerivaML("embedded", ml.catalog_id)

    return look


@dataclass(frozen=True)
class Killed:
    rid: str
    at: datetime
    """A moment after it."""


@pytest.fixture
def kill_running(begin: Begin, fork: Callable[..., Any], tmp_path: Path, wait_for: WaitFor) -> Callable[..., Killed]:
    """Begin a run in another process, and kill that while it is Running; `before` comes between the two there."""

    def kill(before: Callable[[], object] = lambda: None) -> Killed:
        ready = tmp_path / "ready"

        def child() -> None:
            exe = begin()
            before()
            exe.execution_start()
            ready.write_text(exe.execution_rid)
            signal.pause()

        process = fork(child)
        rid = wait_for(lambda: ready.exists() and ready.read_text())
        process.kill()
        killed = Killed(rid, datetime.now(UTC))
        time.sleep(0.3)
        return killed

    return kill


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """What the server's clock says is moved on: its answers are that much younger than the rows."""
    original = HttpClient.server_time

    def moved(client: HttpClient) -> Any:
        present = original(client)
        assert present is not None
        return present + timedelta(seconds=seconds)

    monkeypatch.setattr(HttpClient, "server_time", moved)


def test_killed_run_is_dead_at_once_on_its_machine(
    begin: Begin, ml: DerivaML, fork: Callable[..., Any], tmp_path: Path, wait_for: WaitFor
) -> None:
    ready = tmp_path / "ready"

    def child() -> None:
        exe = begin()
        exe.execution_start()
        ready.write_text(exe.execution_rid)
        signal.pause()

    process = fork(child)
    rid = wait_for(lambda: ready.exists() and ready.read_text())
    assert ml.lookup_execution(rid).liveness is L.alive
    process.kill()
    found = ml.lookup_execution(rid)
    assert found.liveness is L.dead
    assert found.last_sign_of_life is not None
    assert [each.liveness for each in ml.find_executions(status="Running") if each.rid == rid] == [L.dead]
    page = render_execution(ml.summarize_execution(rid))
    assert f"- **Its process is:** dead (last sign of life at {found.last_sign_of_life[:10]}" in page


def test_looking_at_a_dead_run_is_no_sign_of_life_of_it(ml: DerivaML, kill_running: Callable[..., Killed]) -> None:
    """Whoever finds that the owner is gone writes so into the row: that moves RMT."""
    killed = kill_running()
    assert recover.note_lost_owner(ml.address, killed.rid)
    found = ml.lookup_execution(killed.rid)
    assert "owner lost at" in (found.status_detail or "")
    assert found.liveness is L.dead
    assert datetime.fromisoformat(found.last_sign_of_life or "") < killed.at
    exe = ml.resume_execution(killed.rid)
    assert datetime.fromisoformat(ml.lookup_execution(killed.rid).last_sign_of_life or "") > killed.at
    exe.abort()


def test_nor_is_telling_the_catalog_of_it_what_it_was_not_told(
    ml: DerivaML, kill_running: Callable[..., Killed], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise DerivaMLOfflineError("away")

    killed = kill_running(lambda: monkeypatch.setattr("deriva_ml_prefect.phases.advance.send_steps", away))
    assert [item.rid for item in recover.note_interrupted(ml.address)] == [killed.rid]
    found = ml.lookup_execution(killed.rid)
    assert (found.status, found.liveness) == ("Running", L.dead)
    assert datetime.fromisoformat(found.last_sign_of_life or "") < killed.at


def test_nor_is_a_request_to_go_on_with_it_that_is_refused(ml: DerivaML, kill_running: Callable[..., Killed]) -> None:
    killed = kill_running()
    workflow = ml.create_workflow("Ownership", "Training")
    with pytest.raises(DerivaMLNotFoundError):
        ml.create_execution(ExecutionSpec(workflow=workflow, assets=["1-NONE"]), continues=killed.rid)
    found = ml.lookup_execution(killed.rid)
    assert (found.status, found.liveness) == ("Running", L.dead)
    assert datetime.fromisoformat(found.last_sign_of_life or "") < killed.at


@pytest.mark.parametrize("take_over", [recover.resume, abort])
def test_nor_is_taking_it_over_while_the_catalog_is_away(
    take_over: Callable[..., Any],
    ml: DerivaML,
    kill_running: Callable[..., Killed],
    fork: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is nobody's then, and another process may take it."""

    def away(*_: Any, **__: Any) -> None:
        raise DerivaMLOfflineError("away")

    killed = kill_running()
    with monkeypatch.context() as patch:
        patch.setattr(HttpClient, "request", away)
        with pytest.raises(DerivaMLOfflineError):
            take_over(ml.address, killed.rid)
    found = ml.lookup_execution(killed.rid)
    assert (found.status, found.liveness) == ("Running", L.dead)
    assert datetime.fromisoformat(found.last_sign_of_life or "") < killed.at
    assert fork(lambda: ml.resume_execution(killed.rid) and None).wait() == 0


def test_a_run_that_was_taken_up_again_has_signs_of_its_own(
    workflow: Workflow, ml: DerivaML, fork: Callable[..., Any], tmp_path: Path, wait_for: WaitFor
) -> None:
    """By a retry of its flow run; and its process is killed once more."""
    request = Request(ml.address, ExecutionSpec(workflow=workflow), flow_run_id=str(uuid.uuid4()))

    def child(ready: Path) -> None:
        context = begin_execution(request)
        if status_of(context) is ExecutionStatus.Created:
            mark_user_code(journal_of(context), context.rid, "finished", Outcome.completed)
            for status in (ExecutionStatus.Running, ExecutionStatus.Stopped, ExecutionStatus.Pending_Upload):
                advance(context, status)
        ready.write_text(context.rid)
        signal.pause()

    killed = []
    for number in range(2):
        ready = tmp_path / f"ready {number}"
        process = fork(lambda ready=ready: child(ready))
        rid = wait_for(lambda ready=ready: ready.exists() and ready.read_text())
        process.kill()
        killed.append(datetime.now(UTC))
        time.sleep(0.3)
        recover.note_lost_owner(ml.address, rid)
    found = ml.lookup_execution(rid)
    assert (found.status, found.liveness) == ("Pending_Upload", L.dead)
    assert killed[0] < datetime.fromisoformat(found.last_sign_of_life or "") < killed[1]


def test_settled_needs_no_process(begin: Begin, ml: DerivaML) -> None:
    exe = begin()
    with exe:
        pass
    exe.upload_execution_outputs()
    assert ml.lookup_execution(exe.rid).liveness is L.settled


def test_elsewhere_three_promised_signs_tell(
    begin: Begin, elsewhere: Callable[[], DerivaML], monkeypatch: pytest.MonkeyPatch
) -> None:
    exe = begin()
    exe.execution_start()
    there = elsewhere()
    assert there.lookup_execution(exe.rid).liveness is L.alive
    later(monkeypatch, 170)
    assert there.lookup_execution(exe.rid).liveness is L.alive
    later(monkeypatch, 15)
    found = there.lookup_execution(exe.rid)
    assert (found.liveness, found.last_sign_of_life) == (L.dead, found.modified)
    assert executions.give_sign(catalog_for(there.address), exe.rid, "Running")
    later(monkeypatch, -185)
    assert there.lookup_execution(exe.rid).liveness is L.alive


def test_run_that_promised_nothing_is_never_called_dead(
    begin: Begin, elsewhere: Callable[[], DerivaML], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERIVA_ML_HEARTBEAT", "0")
    exe = begin()
    exe.execution_start()
    there = elsewhere()
    later(monkeypatch, 86_400)
    assert there.lookup_execution(exe.rid).liveness is L.silent


def test_clock_of_the_reader_does_not_count(
    begin: Begin, elsewhere: Callable[[], DerivaML], monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    exe = begin()
    exe.execution_start()
    there = elsewhere()
    original = time.time
    monkeypatch.setattr(time, "time", lambda: original() + 86_400)
    assert there.lookup_execution(exe.rid).liveness is L.alive
    present = catalog_for(there.address).client.server_time()
    assert present is not None
    assert abs(present.timestamp() - original()) < 30
