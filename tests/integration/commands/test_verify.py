"""`deriva-ml-prefect verify`: lines and exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from deriva_ml_prefect.catalog.rows import update_rows
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from tests.integration.commands.conftest import Call

Run = Callable[..., Execution]


def test_the_same_is_status_0(call: Call, run: Run) -> None:
    exe = run()
    done = call("verify", exe.rid)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    looked, verdict = done.stdout.splitlines()
    assert "4 objects" in looked
    assert verdict.endswith("verified, the same as its receipts in the journal.")
    quick = call("verify", exe.rid, "--no-content")
    assert quick.returncode == 0
    assert "their bytes were not read" in quick.stdout


def test_a_difference_is_a_line_and_status_1(call: Call, run: Run, ml: DerivaML) -> None:
    exe = run()
    update_rows(ml._catalog, ("deriva-ml", "Execution"), [{"RID": exe.rid, "Status": "Failed"}])
    done = call("verify", exe.rid)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == (f'DIFFERS  Execution {exe.rid}: Status should be "Uploaded" and is "Failed"')
    document = json.loads(call("verify", exe.rid, "--json").stdout)
    assert document["differences"] == [
        {"subject": f"Execution {exe.rid}", "what": "Status", "expected": "Uploaded", "found": "Failed"}
    ]
    assert document["same"] is False


def test_what_cannot_be_checked_is_status_2(call: Call, run: Run, ml: DerivaML) -> None:
    for arguments in (["1-ZZZZ"], ["1-ZZZZ", "--host", "embedded", "--catalog", ml.catalog_id], ["no rid at all"]):
        done = call("verify", *arguments)
        assert done.returncode == 2, done.stdout
        assert len(done.stderr.splitlines()) == 1
        assert done.stdout == ""
    exe = run()
    refused = call("verify", exe.rid, "--host", "localhost:1", "--catalog", "1", DERIVA_ML_RETRIES="0")
    assert refused.returncode == 2
    assert "gave no answer" in refused.stderr


def test_the_status_is_told_even_if_nobody_reads(run: Run, ml: DerivaML, home: Path) -> None:
    exe = run()
    update_rows(ml._catalog, ("deriva-ml", "Execution"), [{"RID": exe.rid, "Status": "Failed"}])
    command = f"{sys.executable} -m deriva_ml_prefect.cli.main verify {exe.rid} | true; exit ${{PIPESTATUS[0]}}"
    env = {**os.environ, "DERIVA_ML_HOME": str(home)}
    done = subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == ""


def test_ctrl_c_is_130(run: Run, home: Path) -> None:
    exe = run()
    code = (
        "import time, sys\n"
        "from deriva_ml_prefect.transfer import client\n"
        "def slow(*a, **k):\n    print('asking', flush=True)\n    time.sleep(60)\n"
        "client.HttpClient.request = slow\n"
        "from deriva_ml_prefect.cli.main import main\n"
        f"sys.exit(main(['verify', '{exe.rid}']))\n"
    )
    env = {**os.environ, "DERIVA_ML_HOME": str(home)}
    process = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"asking\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert process.stderr.read() == b"Interrupted.\n"
    process.stdout.close()
    process.stderr.close()
