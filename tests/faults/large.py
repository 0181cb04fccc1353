"""A sparse file of more than 5 GB: killed in the middle of its upload, taken up where it was, and verified."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

from deriva_ml_prefect.catalog.rows import get_rows
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.settings import Settings
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.phases.send import CHUNK_SIZE
from deriva_ml_prefect.transfer.hashing import hash_file
from deriva_ml_prefect.values.address import Address
from tests.faults.program import Program
from tests.faults.thousand import give_command
from tests.faults.world import Lane

SIZE = 5 * 1024**3 + 1
"""Bytes: one more than a whole number of anything."""
KILL_AFTER = 30
"""Chunks."""


def carry(lane: Lane) -> int:
    """Register, kill, resume, verify; the exit status. Needs twice the file's size on the disk of the server alone."""
    began = time.monotonic()
    lane.reset("large")
    address = Address(lane.server.host, lane.catalog_id)
    os.environ["DERIVA_ML_HOME"] = str(lane.home)
    source = lane.inputs / "large.bin"
    _make(source)
    rid = _stage(lane, address, source)
    journal = Settings(home=lane.home).workspace(address) / "journal.db"
    print(
        f"Execution {rid} has a sparse file of {SIZE} bytes, {source.stat().st_blocks * 512} of them on disk.",
        flush=True,
    )
    process = give_command(lane, "resume", rid)
    while process.poll() is None and _chunk(journal) < KILL_AFTER:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    killed = process.wait() == -signal.SIGKILL
    job, sent = _job(journal), _chunk(journal)
    print(f"Killed when {sent} chunks had gone ({time.monotonic() - began:.0f} s).", flush=True)
    process = give_command(lane, "resume", rid)
    taken_up = _same_job_until_it_ends(journal, process, job, sent)
    problems = [] if killed and taken_up else ["the upload was not killed, or not taken up at the chunk where it was"]
    problems += [f"resume ended with status {process.returncode}"] if process.returncode else []
    print(f"Uploaded ({time.monotonic() - began:.0f} s).", flush=True)
    problems += _differences(lane, source)
    status = give_command(lane, "verify", rid).wait()
    problems += [f"deriva-ml-prefect verify ended with status {status}"] if status else []
    for problem in problems:
        print(f"FAILED {problem}")
    print(f"{'NOT verified' if problems else 'Verified'}: {SIZE} bytes ({time.monotonic() - began:.0f} s).")
    return 1 if problems else 0


def _make(path: Path) -> None:
    """Holes, with some bytes at the ends, on both sides of a chunk's border, and in the last byte beyond 4 GiB."""
    with path.open("wb") as file:
        file.truncate(SIZE)
        for at in (0, CHUNK_SIZE - 3, 2**32 - 4, SIZE - 7):
            file.seek(at)
            file.write(f"{at % 10**7:07}".encode())


def _stage(lane: Lane, address: Address, source: Path) -> str:
    """Register the file in a process that dies when it has done so."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            ml = DerivaML(address.hostname, lane.catalog_id)
            workflow = Program(address, lane.subjects, lane.inputs, lane.notes, lane.tag).workflow()
            with ml.create_execution(ExecutionSpec(workflow=workflow, description=lane.tag)) as exe:
                exe.asset_file_path("Image", source, description="large")
                os.write(write, exe.execution_rid.encode())
                os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    os.close(write)
    os.waitpid(pid, 0)
    rid = os.read(read, 100).decode()
    os.close(read)
    if not rid:
        raise RuntimeError("The file was not registered.")
    return rid


def _job(journal: Path) -> str:
    """The upload job and its next chunk, as the journal has it; empty before there is one."""
    with closing(sqlite3.connect(journal)) as connection:
        query = "SELECT progress FROM execution_state__effects WHERE key = 'bytes/Image/large.bin'"
        found = connection.execute(query).fetchone()
    return str(json.loads(found[0])["job"]) if found and found[0] else ""


def _chunk(journal: Path) -> int:
    return int(_job(journal).partition(" ")[2] or 0)


def _same_job_until_it_ends(journal: Path, process: subprocess.Popen[bytes], job: str, sent: int) -> bool:
    """Whether the job stayed the same one, and no chunk that had gone went again."""
    name, same = job.partition(" ")[0], True
    while process.poll() is None:
        now, _, chunk = _job(journal).partition(" ")
        same &= now == name and int(chunk or 0) >= sent
        time.sleep(0.05)
    return same


def _differences(lane: Lane, source: Path) -> list[str]:
    rows = get_rows(lane.catalog, "entity/lab:Image/Filename=large.bin")
    if len(rows) != 1:
        return [f"there are {len(rows)} rows of the file"]
    facts = hash_file(source)
    if (rows[0]["Length"], rows[0]["MD5"]) != (facts.length, facts.md5_hex):
        return [f"the row says {rows[0]['Length']} {rows[0]['MD5']}, the file has {facts.length} {facts.md5_hex}"]
    return []
