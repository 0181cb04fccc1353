"""Standard output and error of a process whose reader is gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys, time
from pathlib import Path
from prefect.logging import get_logger
from deriva_ml_prefect.outage.streams import outlive_readers

with outlive_readers():
    print("begun", flush=True)
    while not Path(sys.argv[1], "gone").exists():
        time.sleep(0.02)
    time.sleep(0.2)
    for _ in range(3):
        print("x" * 10_000, flush=True)
        get_logger("flow_runs").warning("a line of Prefect's")
Path(sys.argv[1], "ended").touch()
"""


def test_a_process_outlives_who_reads_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        process.stderr.close()
        (tmp_path / "gone").touch()
        assert process.wait(60) == 0
    assert (tmp_path / "ended").exists()
