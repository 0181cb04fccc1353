"""A life of 1,000 files: killed ten times at random, resumed each time by one command, and verified in the end."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
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
    kills = 0
    while kills < KILLS:
        process = _resume(lane, rid)
        seconds = dice.uniform(0.5, 2.5)
        if _ends_within(process, seconds):
            print(f"The upload ended after {kills} kills: it is too fast for more.", flush=True)
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        print(f"Kill {kills} after {seconds:.1f} s; {_count(lane)} files are in the catalog.", flush=True)
    process = _resume(lane, rid)
    code = process.wait()
    print(f"The last resume ended with status {code}.", flush=True)
    problems = _problems(lane)
    verified = _command(lane, "verify", rid)
    for problem in problems[:10]:
        print(f"FAILED {problem}")
    good = not problems and not code and not verified.wait() and kills == KILLS
    print(f"{'Verified' if good else 'NOT verified'}: {FILES} files, {kills} kills, one command each time.")
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


def _command(lane: Lane, name: str, rid: str) -> subprocess.Popen[bytes]:
    """The command, as a person gives it."""
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    environment["DERIVA_ML_HOME"] = str(lane.home)
    command = [sys.executable, "-m", "deriva_ml_prefect.cli.main", name, rid]
    return subprocess.Popen(command, env=environment)


def _resume(lane: Lane, rid: str) -> subprocess.Popen[bytes]:
    return _command(lane, "resume", rid)


def _ends_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    # a command needs some time before it sends anything
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return True
        time.sleep(0.01)
    return False


def _count(lane: Lane) -> int:
    return len(take_picture(lane).raw["Image"])


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
