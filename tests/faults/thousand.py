"""A life of 1,000 files: killed ten times at random, resumed each time by one command, and verified in the end."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from tests.faults.picture import rows_without_objects, take_picture
from tests.faults.program import Program
from tests.faults.world import Lane

FILES = 1000
KILLS = 10


def live_through(lane: Lane, seed: int) -> int:
    """Run, kill, resume, verify; the exit status."""
    dice = random.Random(seed)
    lane.reset("thousand")
    os.environ["DERIVA_ML_HOME"] = str(lane.home)
    rid = _run(lane)
    print(f"Execution {rid} has {FILES} files, all staged; its process is gone.", flush=True)
    for number, most in enumerate(sorted(dice.sample(range(FILES), KILLS)), 1):
        process = _resume(lane, rid)
        if not _comes_to(lane, process, most):
            print(f"The upload ended before kill {number}, with status {process.returncode}.")
            return 1
        process.send_signal(signal.SIGKILL)
        process.wait()
        print(f"Kill {number}, when {_delivered(lane)} effects had their receipt.", flush=True)
    code = _resume(lane, rid).wait()
    print(f"The last resume ended with status {code}.", flush=True)
    problems = _problems(lane)
    status = give_command(lane, "verify", rid).wait()
    problems += [f"deriva-ml-prefect verify ended with status {status}"] if status else []
    for problem in problems[:10]:
        print(f"FAILED {problem}")
    good = not problems and not code
    by = "row by row and object by object, and by deriva-ml-prefect verify"
    print(f"{'Verified' if good else 'NOT verified'} {by}: {FILES} files, {KILLS} kills, one command each time.")
    return 0 if good else 1


def _run(lane: Lane) -> str:
    """Begin an execution in a process of its own, which dies when everything is staged."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            ml = DerivaML(lane.address.hostname, lane.catalog_id)
            workflow = Program(lane.address, lane.subjects, lane.inputs, lane.notes, lane.tag).workflow()
            with ml.create_execution(ExecutionSpec(workflow=workflow, description=lane.tag)) as exe:
                for number in range(FILES):
                    path = exe.asset_file_path("Image", f"{number:04}.png", description=f"number {number}")
                    Path(path).write_bytes(_content(lane, number))
                os.write(write, exe.execution_rid.encode())
                os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(status)
    os.close(write)
    os.waitpid(pid, 0)
    rid = os.read(read, 100).decode()
    os.close(read)
    if not rid:
        raise RuntimeError("The run did not come to its end.")
    return rid


def _content(lane: Lane, number: int) -> bytes:
    return f"{number} of {lane.tag}\n".encode() * 300


def give_command(lane: Lane, name: str, rid: str) -> subprocess.Popen[bytes]:
    """The command, as a person gives it."""
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    environment["DERIVA_ML_HOME"] = str(lane.home)
    command = [sys.executable, "-m", "deriva_ml_prefect.cli.main", name, rid]
    return subprocess.Popen(command, env=environment)


def _resume(lane: Lane, rid: str) -> subprocess.Popen[bytes]:
    return give_command(lane, "resume", rid)


def _comes_to(lane: Lane, process: subprocess.Popen[bytes], most: int) -> bool:
    """Wait until more than so many effects have a receipt; False if the process ends before."""
    while process.poll() is None:
        if _delivered(lane) > most:
            return True
        time.sleep(0.005)
    return False


def _delivered(lane: Lane) -> int:
    with closing(sqlite3.connect(lane.workspace / "journal.db")) as connection:
        query = "SELECT count(*) FROM execution_state__effects WHERE receipt IS NOT NULL"
        return int(connection.execute(query).fetchone()[0])


def _problems(lane: Lane) -> list[str]:
    """What is wrong with the catalog, seen by other eyes than those of the package's own `verify`."""
    picture = take_picture(lane)
    names = sorted(row["Filename"] for row in picture.raw["Image"])
    told = [] if names == [f"{number:04}.png" for number in range(FILES)] else [f"there are {len(names)} rows"]
    told += [f"{table} has {len(picture.raw[table])} rows" for table in ("Image_Execution", "Image_Asset_Type")
             if len(picture.raw[table]) != FILES]  # fmt: skip
    statuses = [row["Status"] for row in picture.executions]
    if statuses != ["Uploaded"]:
        told.append(f"the executions are {json.dumps(statuses)}")
    return told + rows_without_objects(lane, picture)
