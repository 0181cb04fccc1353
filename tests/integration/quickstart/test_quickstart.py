"""The quickstart as a user runs it: a process of its own, run twice, killed in training, killed in the upload."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deriva_ml_prefect.catalog.connection import catalog_for
from deriva_ml_prefect.questions.execution_summary import ExecutionSummary, summarize_execution
from deriva_ml_prefect.values.address import Address
from tests.conftest import end_embedded
from tests.prefect_process import end_temporary_servers

pytestmark = [pytest.mark.prefect, pytest.mark.slow]

ROOT = Path(__file__).parents[3]
FLOW = ROOT / "flows" / "train_digits.py"
EPOCHS = 6


@dataclass(frozen=True)
class Place:
    """An empty home with everything the quickstart leaves in it."""

    home: Path
    environment: dict[str, str]
    first: str
    """What the first run printed."""

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(FLOW), "--epochs", str(EPOCHS), *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self.environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "deriva_ml_prefect.cli.main", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=False)

    def journal(self, question: str) -> list[tuple[str, ...]]:
        path = self.home / "workspaces" / "embedded" / "digits" / "journal.db"
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            return connection.execute(question).fetchall()

    def summary(self, rid: str) -> ExecutionSummary:
        return summarize_execution(Address("embedded", "digits"), rid)

    def server(self) -> int:
        return int(json.loads((self.home / "embedded" / "server.json").read_text())["pid"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, prefect_api: dict[str, str]) -> Iterator[Place]:
    """The first run starts a Prefect server for itself; the others use that of the test run, which takes less time."""
    home = tmp_path_factory.mktemp("quickstart")
    changed = {
        "DERIVA_ML_HOME": str(home),
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "DO_NOT_TRACK": "1",
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "DERIVA_ML_"))}
    place = Place(home, kept | changed, "")
    first = place.begin()
    output, _ = first.communicate(timeout=180)
    assert first.returncode == 0, output
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERIVA_ML_HOME", str(home))
        yield Place(home, place.environment | prefect_api | {"PREFECT_LOGGING_LEVEL": "INFO"}, output)
        end_embedded(home)
    end_temporary_servers(home)


def value(output: str, name: str) -> str:
    found = re.search(rf"^{name} +(\S+)", output, re.M)
    assert found, output
    return found.group(1)


def wait_for(process: subprocess.Popen[str], text: str) -> str:
    """The first line with `text` that the process prints."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"{text!r} was never printed")


def metrics_lines(summary: ExecutionSummary) -> int:
    (metrics,) = [asset for asset in summary.output_assets if asset.filename == "metrics.jsonl"]
    return len(catalog_for(summary.address).client.request("GET", metrics.url).content.splitlines())


def test_first_run_and_second_run(place: Place) -> None:
    rid = value(place.first, "Execution").rstrip(",")
    assert f"deriva-ml-prefect show {rid}" in place.first
    assert not re.search("ERROR|Traceback", place.first), place.first
    summary = place.summary(rid)
    assert summary.execution.status == "Uploaded"
    assert summary.outcome == "completed"
    assert summary.features == {"Image.Predicted": 500}
    assert float(value(place.first, "Accuracy")) > 0.8
    tables = {asset.asset_table for asset in summary.output_assets}
    assert tables == {"Model", "Figure", "Execution_Metadata"}
    assert metrics_lines(summary) == EPOCHS

    process = place.begin()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    again = value(output, "Execution").rstrip(",")
    assert again != rid
    assert value(output, "Workflow") == value(place.first, "Workflow")
    assert value(output, "Dataset") == value(place.first, "Dataset")
    (row,) = place.journal(f"SELECT facts FROM execution_state__inputs WHERE execution_rid = '{again}'")
    assert json.loads(row[0])["from_cache"] is True

    shown = place.command("show", again)
    assert shown.returncode == 0, shown.stderr
    assert "**Status:** Uploaded" in shown.stdout


@pytest.mark.workers
def test_killed_in_the_training(place: Place) -> None:
    process = place.begin("--pause", "5")
    rid = wait_for(process, "Should it be broken off").split()[1]
    process.send_signal(signal.SIGKILL)
    process.wait()

    shown = place.command("show", rid).stdout
    assert "owner lost" in shown
    assert f"deriva-ml-prefect resume {rid}" in shown
    assert place.summary(rid).execution.status == "Running"

    resumed = place.command("resume", rid)
    assert resumed.returncode == 0, resumed.stderr
    summary = place.summary(rid)
    assert summary.execution.status == "Uploaded"
    assert summary.outcome == "killed"
    assert summary.features == {}


@pytest.mark.workers
def test_killed_in_the_upload(place: Place) -> None:
    process = place.begin()
    line = wait_for(process, "Should it be broken off")
    rid, command = line.split()[1], line.strip().rpartition(": ")[2].split()
    question = f"SELECT 1 FROM execution_state__executions WHERE rid = '{rid}' AND status = 'Pending_Upload'"
    deadline = time.monotonic() + 60
    while not place.journal(question):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    # the server answers no more, so the upload cannot end before the kill
    os.kill(place.server(), signal.SIGSTOP)
    process.send_signal(signal.SIGKILL)
    process.wait()
    os.kill(place.server(), signal.SIGCONT)

    before = place.summary(rid)
    # the journal was told first; whether the catalog was depends on the moment
    assert before.execution.status in ("Stopped", "Pending_Upload")
    assert command == ["deriva-ml-prefect", "resume", rid]
    resumed = place.command(*command[1:])
    assert resumed.returncode == 0, resumed.stderr
    after = place.summary(rid)
    assert after.execution.status == "Uploaded"
    assert after.outcome == "completed"
    assert after.features == {"Image.Predicted": 500}
    assert metrics_lines(after) == EPOCHS
    runs = place.journal(f"SELECT count(*) FROM execution_state__status_history WHERE execution_rid = '{rid}'"
                         " AND status = 'Running' AND detail IS NULL")  # fmt: skip
    assert runs == [(1,)]


def test_wrong_argument(place: Place) -> None:
    process = place.begin("--epochs", "many")
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "invalid int value" in output


def test_same_experiment_by_deriva_ml_run(place: Place) -> None:
    command = [sys.executable, "-m", "deriva_ml_prefect.cli.run", "--config-dir", str(ROOT / "flows" / "configs")]

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*command, *arguments],
            cwd=place.home,
            env=place.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "  quick - 3 epochs" in run("--info").splitlines()
    rid = re.findall(r"Execution (\S+) in embedded/digits is Uploaded", run("model_config=quick"))[0]
    summary = place.summary(rid)
    assert metrics_lines(summary) == 3
    assert summary.workflow is not None
    assert summary.workflow.rid == value(place.first, "Workflow")
    before = len(place.journal("SELECT rid FROM execution_state__executions"))
    assert "is Uploaded" not in run("dry_run=true")
    assert len(place.journal("SELECT rid FROM execution_state__executions")) == before
