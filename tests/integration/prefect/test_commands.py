"""`deriva-ml-prefect` on an execution that a flow left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deriva_ml_prefect.decorators import deriva_execution
from deriva_ml_prefect.exceptions import DerivaMLUploadError
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.values.status import ExecutionStatus

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deriva_ml_prefect.cli.main", *arguments]
    return subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=60, check=False)


CRASHING = """
import os, sys
from deriva_ml_prefect import deriva_execution

@deriva_execution(catalog=sys.argv[1], name="is-killed")
def train(execution):
    execution.asset_file_path("Execution_Asset", "kept.txt").write_text("kept")
    print(execution.execution_rid, flush=True)
    os._exit(9)

train.fn()
"""


def test_killed_run_is_resumed_and_shown(ml: DerivaML, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(CRASHING)
    died = subprocess.run(
        [sys.executable, str(script), str(ml.address)], capture_output=True, text=True, timeout=60, check=False
    )
    assert died.returncode == 9, died.stderr
    rid = died.stdout.strip()
    assert ml.lookup_execution(rid).status is ExecutionStatus.Running

    done = call("resume", rid)
    said = f"Execution {rid} is Uploaded.\nIts code did not come to its end (killed): the last file"
    assert (done.returncode, done.stdout.startswith(said)) == (0, True), (done.stdout, done.stderr)
    again = call("resume", rid)
    assert (again.returncode, again.stdout) == (0, f"Execution {rid} is Uploaded: nothing left.\n"), again.stderr

    shown = call("show", rid)
    assert shown.returncode == 0, shown.stderr
    assert f"# Execution {rid}" in shown.stdout
    assert "**Outcome of the code:** killed" in shown.stdout
    assert "kept.txt" in shown.stdout


def test_resume_is_refused_while_the_owner_lives(ml: DerivaML) -> None:
    rids: list[str] = []

    @deriva_execution(catalog=str(ml.address), name="never-written")
    def train(execution: Execution) -> None:
        rids.append(execution.execution_rid)
        execution.asset_file_path("Execution_Asset", "never.txt")

    with pytest.raises(DerivaMLUploadError, match="never written"):
        train()
    done = call("resume", rids[0])
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"Execution {rids[0]} is owned by process {os.getpid()}" in line
