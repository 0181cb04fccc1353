"""`flows/bring_up.sh`, from nothing: server, work pool, worker, blocks and deployments, and what runs on them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import end_embedded

ROOT = Path(__file__).parents[3]

STORY = """
import json, os, subprocess, sys, time, urllib.request

from deriva_ml_prefect import DerivaML, ExecutionConfiguration

API = os.environ["PREFECT_API_URL"]


def ask(path, body):
    request = urllib.request.Request(API + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request))


def wait_for(deployment, chosen):
    flow, _, name = deployment.partition("/")
    (found,) = ask("/deployments/filter", {"flows": {"name": {"any_": [flow]}}})
    assert found["name"] == name
    for _ in range(240):
        runs = ask("/flow_runs/filter", {"deployments": {"id": {"any_": [found["id"]]}}})
        for run in runs:
            if chosen(run) and run["state"]["type"] in ("COMPLETED", "FAILED", "CRASHED"):
                return run
        time.sleep(0.5)
    raise SystemExit(f"{deployment} was not run: {[r['state'] for r in runs]}")


ml = DerivaML("embedded", "digits")
ml.add_term("Workflow_Type", "Analysis", "compute", exists_ok=True)

# a script that leaves its upload for the night
script = '''
from deriva_ml_prefect import DerivaML, ExecutionConfiguration
ml = DerivaML("embedded", "digits")
workflow = ml.create_workflow("Late", "Analysis", "Uploads later")
with ml.create_execution(ExecutionConfiguration(workflow=workflow)) as execution:
    execution.asset_file_path("Execution_Asset", "late.txt").write_text("staged")
print(execution.execution_rid)
'''
late = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.strip()

# one that dies in its code
killed = subprocess.run([sys.executable, "-c", '''
import os, signal
from deriva_ml_prefect import DerivaML, ExecutionConfiguration
ml = DerivaML("embedded", "digits")
workflow = ml.create_workflow("Killed", "Analysis", "Is killed")
with ml.create_execution(ExecutionConfiguration(workflow=workflow)) as execution:
    execution.asset_file_path("Execution_Asset", "half.txt").write_text("half")
    print(execution.execution_rid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
'''], capture_output=True, text=True).stdout.strip()
assert killed and str(ml.lookup_execution(killed).status) == "Running"

subprocess.run(["prefect", "deployment", "schedule", "create", "upload-staged/nightly", "--interval", "10"], check=True)
subprocess.run(["prefect", "deployment", "run", "train-digits/process", "--param", "epochs=2"], check=True)
subprocess.run(["prefect", "deployment", "run", "take-over-runs/quarter-hourly"], check=True)

nightly = wait_for("upload-staged/nightly", lambda run: run["auto_scheduled"])
taken = wait_for("take-over-runs/quarter-hourly", lambda run: not run["auto_scheduled"])
trained = wait_for("train-digits/process", lambda run: True)
subprocess.run(["prefect", "deployment", "run", "evaluate-digits/process"], check=True)
evaluated = wait_for("evaluate-digits/process", lambda run: True)
subprocess.run(["prefect", "deployment", "run", "sweep-digits/process", "--param", "epochs=1"], check=True)
swept = wait_for("sweep-digits/process", lambda run: True)


def execution_of(run):
    (rid,) = [tag.partition(":")[2] for tag in run["tags"] if tag.startswith("execution:")]
    return ml.lookup_execution(rid)


def inputs(execution):
    return sorted(asset.asset_table for asset in execution.input_assets)


print(json.dumps({
    "nightly": nightly["state"]["type"],
    "late": str(ml.lookup_execution(late).status),
    "taken": taken["state"]["type"],
    "killed": str(ml.lookup_execution(killed).status),
    "trained": trained["state"]["type"],
    "training": str(execution_of(trained).status),
    "evaluation": str(execution_of(evaluated).status),
    "sweep": [str(part.status) for part in execution_of(swept).list_execution_children()],
    "reads": inputs(execution_of(evaluated)),
}))
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.slow
@pytest.mark.prefect
@pytest.mark.workers
def test_from_nothing_to_a_scheduled_run_of_the_worker(tmp_path: Path) -> None:
    home = tmp_path / "deriva"
    changed = {
        "DERIVA_ML_HOME": str(home),
        "DERIVA_ML_ALLOW_DIRTY": "true",
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
        "PREFECT_SERVER_SERVICES_SCHEDULER_DEPLOYMENT_BATCH_SIZE": "10",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PORT": str(free_port()),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "DERIVA_ML_"))}
    story = tmp_path / "story.py"
    story.write_text(STORY)
    try:
        done = subprocess.run(
            [str(ROOT / "flows" / "bring_up.sh"), sys.executable, str(story)],
            env=kept | changed,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
    finally:
        end_embedded(home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == (
        '{"nightly": "COMPLETED", "late": "Uploaded", "taken": "COMPLETED", "killed": "Uploaded", '
        '"trained": "COMPLETED", "training": "Uploaded", "evaluation": "Uploaded", '
        '"sweep": ["Uploaded", "Uploaded", "Uploaded", "Uploaded"], "reads": ["Model"]}'
    )


def test_help() -> None:
    script = str(ROOT / "flows" / "bring_up.sh")
    asked = subprocess.run([script, "--help"], capture_output=True, text=True, timeout=30, check=True)
    assert asked.stdout.startswith("A Prefect server, a work pool, a worker")
