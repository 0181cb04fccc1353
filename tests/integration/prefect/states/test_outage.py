"""Prefect's server is killed while a run is at work: the execution does not fail, and nothing hangs or makes noise."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.prefect.states.stage import Stage, variables, whole_stage
from tests.prefect_process import background, prefect_process, wait_until

pytestmark = [pytest.mark.prefect, pytest.mark.slow, pytest.mark.workers]
NOISE = ("Traceback", "Error logging to API", "failed to process", "Unable to connect", "Still processing", "ERROR")


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage whose server the tests kill and start again."""
    with whole_stage(tmp_path_factory.mktemp("outage")) as up:
        yield up


def kill_server(stage: Stage) -> None:
    """SIGKILL, found by the port that it listens on."""
    listening = subprocess.run(
        ["ss", "-Hltnp", f"sport = :{stage.server.port}"], capture_output=True, text=True, check=True
    ).stdout
    (pid,) = {part.partition("pid=")[2].partition(",")[0] for part in listening.split("(") if "pid=" in part}
    os.kill(int(pid), signal.SIGKILL)
    wait_until(lambda: not _answers(stage), "the end of the server")


def _answers(stage: Stage) -> bool:
    try:
        return bool(stage.server.ask("/health"))
    except OSError:
        return False


def started(stage: Stage, pid: int) -> str:
    """The flow run of a script."""
    found = lambda: [path for path in stage.folder.glob("*.pid") if path.read_text() == str(pid)]  # noqa: E731
    return str(wait_until(found, "the script")[0].stem)


def quiet(told: str) -> bool:
    """Whether a log has nothing in it that frightens."""
    return not any(noise in told for noise in NOISE)


def test_everything_ends_well_without_the_server(away: Stage) -> None:
    """A script, a run of a worker, and a script whose code has not begun: the server dies, and does not come back."""
    log, early = away.folder / "script.log", away.folder / "early.log"
    with (
        away.worker(),
        background([sys.executable, "obedient.py", "wait"], away.environment, log, away.folder) as script,
        background([sys.executable, "early.py"], away.environment, early, _early(away)) as late_script,
    ):
        worked = away.start("wait")
        run_id = started(away, script.pid)
        rid, worked_rid = away.await_code(run_id), away.await_code(worked)
        wait_until(lambda: "DOWNLOADING" in early.read_text(), "the download")
        # Prefect sends log lines every two seconds
        time.sleep(4)
        kill_server(away)
        time.sleep(8)
        (away.folder / "early.go").touch()
        for each in (run_id, worked):
            away.let_go(each)
        began = time.monotonic()
        assert script.wait(120) == 0, log.read_text()
        seconds = time.monotonic() - began
        assert late_script.wait(120) == 0, early.read_text()
        pid = away.pid(worked)
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the end of the worker's run", 120)
    told = log.read_text()
    assert f"RESULT {rid}" in told
    assert quiet(told), told
    (line,) = [line for line in told.splitlines() if "WARNING" in line]
    assert "Prefect was not told that flow run" in line
    assert f"Execution {rid} is Uploaded" in line
    assert seconds < 45, told
    # the subflow of the code could not be made any more: the code ran without it
    told = early.read_text()
    assert "Traceback" not in told
    early_rid = told.split("RESULT ")[1].split()[0]
    assert {away.execution(each).status for each in (rid, worked_rid, early_rid)} == {"Uploaded"}
    assert away.begun(worked) == away.ended(worked) == [worked_rid]

    # the same server, back: it is told what it missed, once
    with prefect_process(away.server.home, away.server.port):
        missed = [run_id, worked, *away.flow_runs_of(early_rid)]
        assert {away.run(each)["state"]["type"] for each in missed} == {"RUNNING"}
        assert away.tell_missed_ends() == {}
        assert away.tell_missed_ends(quiet_seconds=0) == dict.fromkeys(missed, "Completed")
        assert away.tell_missed_ends(quiet_seconds=0) == {}
        assert f"execution {rid} is Uploaded" in away.run(run_id)["state"]["message"]
        assert away.code_runs(run_id)[0]["state"]["type"] == "COMPLETED"
        assert "Running" not in away.phases(run_id).values()


def test_everything_tells_a_server_that_is_back_before_its_end(away: Stage) -> None:
    log = away.folder / "script-back.log"
    with contextlib.ExitStack() as up:
        up.enter_context(prefect_process(away.server.home, away.server.port))
        up.enter_context(away.worker())
        script = up.enter_context(
            background([sys.executable, "obedient.py", "wait"], away.environment, log, away.folder)
        )
        worked = away.start("wait")
        run_id = started(away, script.pid)
        rid, worked_rid = away.await_code(run_id), away.await_code(worked)
        time.sleep(4)
        kill_server(away)
        time.sleep(5)
        up.enter_context(prefect_process(away.server.home, away.server.port))
        for each in (run_id, worked):
            away.let_go(each)
        assert script.wait(120) == 0, log.read_text()
        assert away.run(run_id)["state"]["type"] == "COMPLETED"
        assert away.await_end(worked)["state"]["type"] == "COMPLETED"
        assert wait_until(lambda: away.phases(run_id).get("close") == "Completed", "the tasks")
    told = log.read_text()
    assert quiet(told), told
    assert "WARNING" not in told
    assert {away.execution(each).status for each in (rid, worked_rid)} == {"Uploaded"}
    assert away.begun(worked) == away.ended(worked) == [worked_rid]


def _early(away: Stage) -> Path:
    """A script whose download takes as long as the test wants: it reads the file of another execution over a pipe."""
    (away.folder / "early.py").write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from deriva_ml_prefect import Execution, deriva_execution\n"
        "from deriva_ml_prefect.ml.deriva_ml import DerivaML\n"
        "class Slow(DerivaML):\n"
        "    def create_workflow(self, *given, **named):\n"
        "        made = super().create_workflow(*given, **named)\n"
        "        print('DOWNLOADING', flush=True)\n"
        "        while not Path('early.go').exists(): time.sleep(0.1)\n"
        "        return made\n"
        "@deriva_execution(catalog='embedded/lab', workflow_type='Training', name='early', ml_class=Slow)\n"
        "def train(execution: Execution) -> str:\n"
        "    return execution.execution_rid\n"
        "print('RESULT', train(), flush=True)\n"
    )
    return away.folder


def test_without_any_server(away: Stage) -> None:
    """Neither a plain context manager nor the function of a flow needs Prefect."""
    environment = {**away.environment, "PREFECT_API_URL": "http://127.0.0.1:9/api"}
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from obedient import train\n"
            "from deriva_ml_prefect import DerivaML, ExecutionConfiguration\n"
            "print('FLOW', train.fn())\n"
            "ml = DerivaML('embedded', 'lab')\n"
            "workflow = ml.create_workflow('Plain', 'Training', 'Without Prefect')\n"
            "with ml.create_execution(ExecutionConfiguration(workflow=workflow)) as execution:\n"
            "    execution.asset_file_path('Execution_Asset', 'plain.txt').write_text('plain')\n"
            "execution.upload_execution_outputs()\n"
            "print('PLAIN', execution.execution_rid)\n",
        ],
        env=environment,
        cwd=away.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rids = dict(line.split() for line in done.stdout.splitlines() if line.startswith(("FLOW", "PLAIN")))
    assert {away.execution(rid).status for rid in rids.values()} == {"Uploaded"}
    assert "Traceback" not in done.stderr


def test_with_a_temporary_server(away: Stage, tmp_path: Path) -> None:
    """What Prefect says at the exit of its own server is not made longer by ours."""
    environment = {
        name: value for name, value in away.environment.items() if name not in ("PREFECT_API_URL", "PREFECT_HOME")
    }
    changed = {
        **variables(away.home, away.folder),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_LEVEL": "ERROR",
    }
    done = subprocess.run(
        [sys.executable, "obedient.py", "train"],
        env={**environment, **changed},
        cwd=away.folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rid = done.stdout.split("RESULT ")[1].split()[0]
    assert away.execution(rid).status == "Uploaded"
    assert done.stderr == ""
