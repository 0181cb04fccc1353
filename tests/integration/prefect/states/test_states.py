"""The table of docs/state-machine.md, "What Prefect says", row by row: real server, pool, worker, and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from tests.integration.prefect.states.stage import MORTAL, POOL, Stage
from tests.prefect_process import background, wait_until

pytestmark = [pytest.mark.prefect, pytest.mark.slow, pytest.mark.workers]
PHASES = {"download", "run", "stage", "upload", "flush", "close"}


def at(state: dict[str, str]) -> datetime:
    return datetime.fromisoformat(state["timestamp"].replace("Z", "+00:00"))


@pytest.mark.state("flow pending", "flow running", "flow completed")
@pytest.mark.state("phase pending", "phase running", "phase completed")
@pytest.mark.state("subflow pending", "subflow running", "subflow completed")
def test_a_run_from_its_beginning_to_its_end(stage: Stage) -> None:
    run_id = stage.start("wait", deployment=POOL)
    assert stage.executions_of(run_id) == []
    rid = stage.await_code(run_id)
    assert stage.execution(rid).status == "Running"
    assert stage.run(run_id)["state"]["type"] == "RUNNING"
    (code,) = stage.code_runs(run_id)
    assert code["state"]["type"] == "RUNNING"
    assert wait_until(lambda: stage.phases(run_id).get("run") == "Running", "the task of the code")
    stage.let_go(run_id)
    assert stage.await_end(run_id)["state"]["type"] == "COMPLETED"

    assert stage.execution(rid).status == "Uploaded"
    assert stage.begun(run_id) == stage.ended(run_id) == [rid]
    wait_until(lambda: set(stage.phases(run_id).values()) == {"Completed"}, "the ends of the tasks")
    assert set(stage.phases(run_id)) >= PHASES
    task_runs = stage.server.ask("/task_runs/filter", {"task_runs": {"flow_run_id": {"any_": [run_id]}}})
    assert len(task_runs) <= 7, [each["name"] for each in task_runs]
    assert stage.code_runs(run_id)[0]["state"]["type"] == "COMPLETED"

    # when each of them was pending, the execution was what it was before
    came = {status: datetime.fromisoformat(when) for status, when in stage.history(rid)}
    assert list(came) == ["Created", "Running", "Stopped", "Pending_Upload", "Uploaded"]
    states = {state["name"]: state for state in reversed(stage.flow_states(run_id))}
    assert at(states["Pending"]) < came["Created"]
    for phase, before, after in (
        ("download", "Created", "Running"),
        ("run", "Created", "Running"),
        ("stage", "Pending_Upload", "Uploaded"),
        ("close", "Pending_Upload", "Uploaded"),
    ):
        pending, running, *_ = stage.phase_states(run_id, phase)
        assert (pending["name"], running["name"]) == ("Pending", "Running")
        assert came[before] <= at(pending) <= at(running) <= came[after]
    pending = stage.flow_states(code["id"])[0]
    assert pending["type"] == "PENDING"
    assert came["Running"] <= at(pending) <= came["Stopped"]


@pytest.mark.state("flow failed", "phase failed", "subflow failed", "flow retrying")
def test_code_that_raises_and_its_retry(stage: Stage) -> None:
    run_id = stage.start("raise-and-wait")
    assert stage.await_end(run_id)["state"]["type"] == "FAILED"
    first = stage.begun(run_id)[0]
    assert (stage.execution(first).status, stage.execution(first).detail) == (
        "Failed",
        "ValueError: the loss is not finite",
    )
    assert stage.code_runs(run_id)[0]["state"]["type"] == "FAILED"
    wait_until(lambda: stage.phases(run_id)["run"] == "Failed", "the task of the code")

    # scheduled again, and not yet taken: the execution is what it was
    stage.set_state(run_id, "SCHEDULED", "AwaitingRetry", scheduled_time="2100-01-01T00:00:00Z")
    assert stage.execution(first).status == "Failed"
    stage.retry(run_id)
    second = stage.await_code(run_id, 2)
    assert second != first
    assert (stage.execution(first).status, stage.execution(second).status) == ("Failed", "Running")
    stage.let_go(run_id)
    assert stage.await_end(run_id, after=1)["state"]["type"] == "COMPLETED"
    assert stage.execution(second).status == "Uploaded"
    assert stage.execution(first).status == "Failed"


@pytest.mark.state("subflow retrying")
def test_repetitions_of_the_code_stay_in_one_execution(stage: Stage) -> None:
    run_id = stage.start("raise-and-wait", flow="insistent")
    rid = stage.await_code(run_id)
    (code,) = stage.code_runs(run_id)
    stage.await_state(code["id"], "AwaitingRetry")
    assert stage.execution(rid).status == "Running"
    assert stage.await_code(run_id, 2) == rid
    seen = stage.execution(rid)
    assert (seen.status, seen.detail) == ("Running", "Attempt 2")
    stage.let_go(run_id)
    assert stage.await_end(run_id)["state"]["type"] == "COMPLETED"
    assert stage.execution(rid).status == "Uploaded"


@pytest.mark.state("phase retrying")
def test_a_phase_that_waits_for_the_catalog(stage: Stage) -> None:
    run_id = stage.start("wait")
    rid = stage.await_code(run_id)
    stage.signal_catalog(signal.SIGSTOP)
    try:
        stage.let_go(run_id)
        wait_until(lambda: "AwaitingRetry" in stage.phases(run_id).values(), "a phase that is tried again", 120)
        assert stage.local_status(rid) == "Pending_Upload"
    finally:
        stage.signal_catalog(signal.SIGCONT)
    assert stage.await_end(run_id)["state"]["type"] == "COMPLETED"
    assert stage.execution(rid).status == "Uploaded"
    assert stage.begun(run_id) == [rid]


@pytest.mark.state("flow paused", "phase paused")
def test_a_paused_run_waits_before_its_upload(stage: Stage) -> None:
    run_id = stage.start("wait")
    rid = stage.await_code(run_id)
    stage.pause(run_id)
    assert stage.await_detail(rid, "paused at").status == "Running"
    stage.let_go(run_id)
    wait_until(lambda: stage.phases(run_id).get("run") == "Completed", "the end of the code, which goes on")
    seen = stage.await_detail(rid, "paused at")
    assert seen.status == "Stopped"
    assert "resume the flow run in Prefect" in (seen.detail or "")
    assert "stage" not in stage.phases(run_id)
    stage.resume(run_id)
    assert stage.await_end(run_id)["state"]["type"] == "COMPLETED"
    assert stage.execution(rid).status == "Uploaded"
    assert stage.begun(run_id) == [rid]


@pytest.mark.state("subflow paused")
def test_code_that_pauses_itself(stage: Stage) -> None:
    run_id = stage.start("pause")
    rid = stage.await_code(run_id)
    (code,) = stage.code_runs(run_id)
    stage.await_state(code["id"], "Paused")
    assert stage.await_detail(rid, "paused at").status == "Running"
    stage.resume(code["id"])
    assert stage.await_end(run_id)["state"]["type"] == "COMPLETED"
    assert stage.execution(rid).status == "Uploaded"
    assert stage.begun(run_id) == [rid]


@pytest.mark.state("flow suspended", "phase suspended")
def test_a_suspended_run_goes_on_with_what_is_left(stage: Stage) -> None:
    run_id = stage.start("wait")
    rid = stage.await_code(run_id)
    stage.suspend(run_id)
    stage.let_go(run_id)
    seen = stage.await_detail(rid, "suspended at")
    assert seen.status == "Stopped"
    assert stage.run(run_id)["state"]["name"] == "Suspended"
    assert stage.ended(run_id) == [rid]
    phases = stage.phases(run_id)
    assert (phases["run"], "upload" in phases) == ("Completed", False)
    assert stage.code_runs(run_id)[0]["state"]["type"] == "COMPLETED"
    stage.resume(run_id)
    assert stage.await_end(run_id)["state"]["type"] == "COMPLETED"
    assert stage.execution(rid).status == "Uploaded"
    assert stage.begun(run_id) == [rid]


@pytest.mark.state("subflow suspended")
def test_code_that_suspends_its_run_is_called_again(stage: Stage) -> None:
    run_id = stage.start("suspend")
    rid = stage.await_code(run_id)
    seen = stage.await_detail(rid, "suspended at")
    assert seen.status == "Running"
    assert stage.run(run_id)["state"]["name"] == "Suspended"
    # neither a look nor a nightly flow takes it for dead
    assert (
        stage.python(
            "import json; from deriva_ml_prefect import DerivaML\n"
            f"print(json.dumps({rid!r} in [e.rid for e in DerivaML('embedded', 'lab').find_interrupted()]))"
        )
        is False
    )
    stage.resume(run_id)
    assert stage.await_end(run_id)["state"]["type"] == "COMPLETED"
    assert stage.begun(run_id) == [rid, rid]
    assert stage.execution(rid).status == "Uploaded"


def test_what_prefect_does_not_suspend_says_what_to_call(stage: Stage) -> None:
    run_id = stage.start("suspend-wrongly")
    assert stage.await_end(run_id)["state"]["type"] == "FAILED"
    assert "root_flow_run_id" in (stage.execution(stage.begun(run_id)[0]).detail or "")


@pytest.mark.state("flow cancelling", "flow cancelled", "phase cancelling", "subflow cancelling", "subflow cancelled")
def test_cancelled_before_the_upload(stage: Stage) -> None:
    run_id = stage.start("wait", deployment=POOL)
    rid = stage.await_code(run_id)
    stage.cancel(run_id)
    # it is left as it is until the signal, or the next phase, reaches the code
    assert stage.execution(rid).status in ("Running", "Aborted")
    assert stage.await_end(run_id)["state"]["type"] == "CANCELLED"
    seen = wait_until(
        lambda: found if (found := stage.execution(rid)).status == "Aborted" else None, "the execution, given up", 60
    )
    assert "cancelled" in (seen.detail or "")
    assert stage.code_runs(run_id)[0]["state"]["type"] == "CANCELLED"
    assert wait_until(lambda: stage.phases(run_id)["run"] == "Crashed", "the task of the code")

    stage.retry(run_id)
    again = stage.await_end(run_id, after=1)
    assert again["state"]["type"] == "FAILED"
    assert "was given up" in again["state"]["message"]
    assert stage.begun(run_id) == [rid]


@pytest.mark.state("phase cancelled")
def test_cancelled_in_the_upload(stage: Stage) -> None:
    run_id = stage.start("large", deployment=POOL)
    rid = stage.await_code(run_id)
    stage.let_go(run_id)
    wait_until(lambda: stage.local_status(rid) == "Pending_Upload", "the upload")
    stage.signal_catalog(signal.SIGSTOP)
    try:
        stage.cancel(run_id)
        stage.await_state(run_id, "Cancelling", "Cancelled")
    finally:
        stage.signal_catalog(signal.SIGCONT)
    assert stage.await_end(run_id)["state"]["type"] == "CANCELLED"
    seen = stage.await_detail(rid, "cancelled during upload")
    assert seen.status == "Failed"
    stage.retry(run_id)
    assert stage.await_end(run_id, after=1)["state"]["type"] == "COMPLETED"
    assert stage.execution(rid).status == "Uploaded"
    assert stage.begun(run_id) == [rid]


@pytest.mark.state("flow cancelling", "flow cancelled")
def test_a_script_that_is_cancelled_ends_before_its_upload(stage: Stage) -> None:
    command = [sys.executable, "obedient.py", "wait"]
    with background(command, stage.environment, stage.folder / "script.log", stage.folder) as script:
        started = lambda: [path for path in stage.folder.glob("*.pid") if path.read_text() == str(script.pid)]  # noqa: E731
        run_id = wait_until(started, "the script")[0].stem
        rid = stage.await_code(run_id)
        stage.cancel(run_id)
        stage.let_go(run_id)
        assert script.wait(120) == 1
    assert stage.execution(rid).status == "Aborted"
    assert stage.run(run_id)["state"]["type"] == "CANCELLED"
    assert "CancelledRun" in (stage.folder / "script.log").read_text()


@pytest.mark.state("subflow cancelling", "subflow cancelled")
def test_the_code_alone_is_cancelled(stage: Stage) -> None:
    run_id = stage.start("wait")
    rid = stage.await_code(run_id)
    (code,) = stage.code_runs(run_id)
    stage.cancel(code["id"])
    stage.let_go(run_id)
    assert stage.await_end(run_id)["state"]["type"] == "CANCELLED"
    assert stage.execution(rid).status == "Aborted"
    assert stage.ended(run_id) == [rid]


@pytest.mark.state("flow failed")
def test_a_run_that_is_set_to_failed_goes_no_further(stage: Stage) -> None:
    run_id = stage.start("wait")
    rid = stage.await_code(run_id)
    stage.set_state(run_id, "FAILED", "Failed")
    stage.let_go(run_id)
    seen = stage.await_detail(rid, "flow run")
    assert seen.status == "Stopped"
    assert f"resume {rid}" in (seen.detail or "")
    assert stage.run(run_id)["state"]["type"] == "FAILED"
    stage.retry(run_id)
    assert stage.await_end(run_id, after=1)["state"]["type"] == "COMPLETED"
    assert stage.execution(rid).status == "Uploaded"
    assert stage.begun(run_id) == [rid]


@pytest.mark.state("flow crashed")
def test_a_run_that_a_machine_takes_for_crashed_goes_on(stage: Stage) -> None:
    run_id = stage.start("wait")
    rid = stage.await_code(run_id)
    stage.set_state(run_id, "CRASHED", "Crashed")
    stage.let_go(run_id)
    wait_until(lambda: stage.run(run_id)["state"]["type"] == "COMPLETED", "the end of the run")
    assert stage.execution(rid).status == "Uploaded"


@pytest.mark.state("flow crashed", "phase crashed", "subflow crashed")
@pytest.mark.parametrize("act", ["SIGTERM", "exit-3"])
def test_a_process_that_can_still_say_how_it_ends(stage: Stage, act: str) -> None:
    run_id = stage.start("exit-3" if act == "exit-3" else "wait", deployment=POOL)
    rid = stage.await_code(run_id)
    if act == "SIGTERM":
        os.kill(stage.pid(run_id), signal.SIGTERM)
    assert stage.await_end(run_id)["state"]["type"] == "CRASHED"
    seen = stage.execution(rid)
    assert seen.status == "Failed"
    assert (seen.detail or "").startswith("TerminationSignal" if act == "SIGTERM" else "SystemExit: 3")
    assert stage.code_runs(run_id)[0]["state"]["type"] == "CRASHED"
    assert wait_until(lambda: stage.phases(run_id)["run"] == "Crashed", "the task of the code")


@pytest.mark.state("flow crashed", "phase crashed", "subflow crashed")
def test_a_process_that_is_killed(stage: Stage) -> None:
    run_id = stage.start("kill", deployment=POOL)
    rid = stage.await_code(run_id)
    assert stage.await_end(run_id)["state"]["type"] == "CRASHED"
    seen = stage.await_detail(rid, "owner lost at")
    assert seen.status == "Running"
    assert f"resume {rid}" in (seen.detail or "")
    wait_until(lambda: stage.code_runs(run_id)[0]["state"]["type"] == "CRASHED", "the run of the code")
    wait_until(lambda: stage.phases(run_id)["run"] == "Crashed", "the task of the code")

    stage.await_report(run_id)
    stage.retry(run_id)
    assert stage.await_end(run_id, after=1)["state"]["type"] == "COMPLETED"
    stage.check_superseded(run_id, rid)


@pytest.mark.state("flow completed", "flow crashed", "flow retrying")
def test_workers_that_are_killed(stage: Stage) -> None:
    """kill -9 of a worker: its run lives on; where the run is killed as well, the next one of this machine tells it."""
    with stage.worker(MORTAL) as worker:
        lives, dies = (stage.start("wait", deployment=MORTAL) for _ in range(2))
        rid, lost = stage.await_code(lives), stage.await_code(dies)
        worker.kill()
        worker.wait()
    os.kill(stage.pid(dies), signal.SIGKILL)
    late = stage.start("train", deployment=MORTAL)
    # what it prints, and its log lines, are read by nobody
    stage.let_go(lives)
    assert stage.await_end(lives)["state"]["type"] == "COMPLETED"
    assert stage.execution(rid).status == "Uploaded"
    assert stage.begun(lives) == stage.ended(lives) == [rid]
    assert stage.run(dies)["state"]["type"] == "RUNNING"
    assert stage.begun(late) == []

    with stage.worker(MORTAL):
        assert stage.await_end(late)["state"]["type"] == "COMPLETED"
        told = stage.await_state(dies, "Crashed")["state"]["message"]
        assert f"execution {lost} is Running" in told
        wait_until(lambda: stage.code_runs(dies)[0]["state"]["type"] == "CRASHED", "the run of the code")
        assert stage.execution(lost).status == "Running"
        # a new worker does not begin it again by itself
        assert stage.begun(dies) == [lost]
        stage.let_go(dies)
        stage.retry(dies)
        assert stage.await_end(dies, after=1)["state"]["type"] == "COMPLETED"
    stage.check_superseded(dies, lost)


@pytest.mark.state("flow retrying")
def test_a_run_whose_deployment_has_changed_since(stage: Stage) -> None:
    """It failed in its upload; code and parameters are other ones when it is retried: what is left is done."""
    run_id = stage.start("no-report", deployment=POOL)
    assert stage.await_end(run_id)["state"]["type"] == "FAILED"
    (rid,) = stage.begun(run_id)
    assert stage.execution(rid).status == "Failed"

    with (stage.folder / "obedient.py").open("a") as stream:
        stream.write("# another version of the code\n")
    command = ("--no-prompt", "deploy", "obedient.py:train", "-n", POOL, "-p", POOL, "--version", "2")
    stage.prefect(*command, "--param", "act=raise")
    Path((stage.folder / f"{run_id}.report").read_text()).write_text("now it is there")
    stage.retry(run_id)
    assert stage.await_end(run_id, after=1)["state"]["type"] == "COMPLETED"
    assert stage.begun(run_id) == stage.ended(run_id) == [rid]
    assert stage.execution(rid).status == "Uploaded"


@pytest.mark.state("subflow completed")
def test_code_that_exits_without_an_error_is_complete(stage: Stage) -> None:
    run_id = stage.start("exit-0")
    assert stage.await_end(run_id)["state"]["type"] == "COMPLETED"
    assert stage.execution(stage.begun(run_id)[0]).status == "Uploaded"
    assert stage.code_runs(run_id)[0]["state"]["type"] == "COMPLETED"


@pytest.mark.state("subflow failed")
def test_code_that_raises_generator_exit_has_failed(stage: Stage) -> None:
    run_id = stage.start("generator-exit")
    assert stage.await_end(run_id)["state"]["type"] == "FAILED"
    seen = stage.execution(stage.begun(run_id)[0])
    assert seen.status == "Failed"
    assert "GeneratorExit" in (seen.detail or "")


def test_a_completed_run_that_is_retried_does_nothing_twice(stage: Stage) -> None:
    run_id = stage.start("train")
    assert stage.await_end(run_id)["state"]["type"] == "COMPLETED"
    (rid,) = stage.begun(run_id)
    before = stage.history(rid)
    stage.retry(run_id)
    assert stage.await_end(run_id, after=1)["state"]["type"] == "COMPLETED"
    assert stage.begun(run_id) == [rid]
    assert stage.history(rid) == before


@pytest.mark.state("flow suspended")
def test_a_script_is_not_suspended_since_nobody_could_start_it_again(stage: Stage) -> None:
    command = [sys.executable, "obedient.py", "wait"]
    log = stage.folder / "unsuspended.log"
    with log.open("w") as stream:
        script = subprocess.Popen(command, env=stage.environment, cwd=stage.folder, stdout=stream, stderr=stream)
        started = lambda: [path for path in stage.folder.glob("*.pid") if path.read_text() == str(script.pid)]  # noqa: E731
        run_id = wait_until(started, "the script")[0].stem
        rid = stage.await_code(run_id)
        stage.suspend(run_id)
        stage.let_go(run_id)
        assert script.wait(120) == 0, log.read_text()
    assert stage.execution(rid).status == "Uploaded"
    assert stage.run(run_id)["state"]["type"] == "COMPLETED"
    assert "so it is not suspended" in log.read_text()


@pytest.mark.parametrize("how", ["killed", "cancelled"])
def test_what_a_hook_could_not_tell_is_told_by_the_next_look(stage: Stage, how: str) -> None:
    """The catalog is away while the hook runs: it gives up in time, and its write waits in the journal."""
    run_id = stage.start("wait", deployment=POOL)
    rid = stage.await_code(run_id)
    stage.signal_catalog(signal.SIGSTOP)
    try:
        if how == "killed":
            os.kill(stage.pid(run_id), signal.SIGKILL)
            stage.await_state(run_id, "Crashed")
        else:
            stage.cancel(run_id)
            stage.await_state(run_id, "Cancelled")
        wait_until(lambda: stage.detail_here(rid).startswith(("owner lost", "cancelled")), "the journal")
        assert stage.unsent(rid) == 1
    finally:
        stage.signal_catalog(signal.SIGCONT)
    # a request that nobody waits for any more may still be done by the catalog, and processes
    # of Prefect that were held up come to their end, and may still tell it themselves
    stage.python("from deriva_ml_prefect import DerivaML\nDerivaML('embedded', 'lab').find_interrupted(); print(1)")
    seen = stage.await_detail(rid, "owner lost" if how == "killed" else "cancelled")
    assert seen.status == ("Running" if how == "killed" else "Aborted")
