"""Several processes of one training: which of them writes, and how the others find its execution.

A launcher (torchrun, srun, mpirun) starts the same script many times. The process of rank 0 begins the execution and
leaves a note in the workspace, `launches/<launcher's run>-<n>.json` for the n-th execution of that script; the others
wait for it and take part without writing. `DERIVA_ML_RANK` goes before the launchers' variables: set it to 0 where
tasks of one job are runs of their own.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import re
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deriva_ml_prefect.exceptions import DerivaMLAttemptError
from deriva_ml_prefect.journal import executions, ownership
from deriva_ml_prefect.journal.disk import make_folder
from deriva_ml_prefect.journal.store import FILE_NAME, open_journal
from deriva_ml_prefect.phases.context import Context
from deriva_ml_prefect.values.status import ExecutionStatus

RANKS = ("DERIVA_ML_RANK", "RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK")
"""Variables that hold a process's number within its training; the first that holds a number counts."""
FOLDER = "launches"
SECONDS_TO_BEGIN = 600.0
"""How long a process waits for rank 0 to begin the execution, unless `DERIVA_ML_RANK_TIMEOUT` says otherwise."""
SECONDS_TO_DOWNLOAD = 24 * 3600.0
"""How long it waits for the inputs of a writer that lives."""
_PAUSE = 0.1
_LOOKED_AT = 100
"""Executions of the workspace, the newest, among which that of the parent process is looked for."""
_KEPT_SECONDS = 7 * 24 * 3600.0


def _process_began_at() -> float:
    """When this process was started; where the system does not tell, when this module was imported."""
    try:
        # the name in parentheses may hold spaces; after it the 20th field is the start, in ticks since the system began
        ticks = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
        uptime = float(Path("/proc/uptime").read_text(encoding="utf-8").split()[0])
    except (OSError, IndexError):
        return time.time()
    return time.time() - uptime + int(ticks) / os.sysconf("SC_CLK_TCK")


_began_at = _process_began_at()
_begun: dict[tuple[int, str], int] = {}
"""(process, launcher's run) → how many executions it has begun or joined."""
_notes: dict[tuple[int, str, str], Path] = {}
"""(process, workspace, RID) → the note of an execution that this process writes."""


@dataclass(frozen=True)
class Launch:
    """This process among those of one training."""

    rank: int
    key: str
    """The launcher's run, the same in all of its processes."""

    @property
    def writes(self) -> bool:
        return self.rank == 0


def find_launch(environ: Mapping[str, str] | None = None) -> Launch | None:
    """Which rank of which training this process is; None for a process that no launcher started."""
    env = os.environ if environ is None else environ
    for name in RANKS:
        text = env.get(name, "").strip()
        if text.isdecimal():
            return Launch(int(text), _key(env))
    rank = _rank_of_torch() if environ is None else None
    return None if rank is None else Launch(rank, _key(env))


def _rank_of_torch() -> int | None:
    """The rank that the code gave itself with `torch.distributed.init_process_group(rank=…)`, as in `mp.spawn`."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return int(distributed.get_rank())


def _key(env: Mapping[str, str]) -> str:
    restart = env.get("TORCHELASTIC_RESTART_COUNT", "0")
    run = env.get("TORCHELASTIC_RUN_ID", "")
    # torchrun without --rdzv-id calls every run "none"
    if run and run != "none":
        return f"torch {run} {restart}"
    if env.get("MASTER_ADDR") and env.get("MASTER_PORT"):
        return f"master {env['MASTER_ADDR']} {env['MASTER_PORT']} {restart}"
    if env.get("SLURM_JOB_ID"):
        return f"slurm {env['SLURM_JOB_ID']} {env.get('SLURM_STEP_ID', '')}"
    return f"parent {socket.gethostname()} {os.getppid()}"


def next_note(workspace: Path, launch: Launch) -> Path:
    """Where the note of the next execution of this launch is: every process counts them alike."""
    counted = _begun[os.getpid(), launch.key] = _begun.get((os.getpid(), launch.key), 0) + 1
    readable = re.sub(r"[^A-Za-z0-9]+", "-", launch.key)[:60]
    digest = hashlib.sha256(launch.key.encode()).hexdigest()[:12]
    return workspace / FOLDER / f"{readable}-{digest}-{counted}.json"


def announce(context: Context, note: Path, *, runs_code: bool) -> None:
    """Rank 0 has begun an execution: the others may find it, and wait until its inputs are here."""
    make_folder(note.parent)
    for old in note.parent.glob("*.json"):
        if time.time() - old.stat().st_mtime > _KEPT_SECONDS:
            old.unlink(missing_ok=True)
    _notes[os.getpid(), str(context.workspace), context.rid] = note
    facts = {
        "execution_rid": context.rid,
        "workspace": str(context.workspace),
        "dry_run": context.dry_run,
        "flow_run_id": context.flow_run_id,
        "attempt": context.attempt,
        "runs_code": runs_code,
        "pid": os.getpid(),
        "host": socket.gethostname(),
    }
    _write(note, {**facts, "ready": not runs_code, "error": None})


def announce_inputs(context: Context, error: str | None = None) -> None:
    """The inputs of an announced execution are here, or did not come."""
    note = _notes.get((os.getpid(), str(context.workspace), context.rid))
    if note is not None:
        _write(note, {**json.loads(note.read_text(encoding="utf-8")), "ready": True, "error": error})


def _write(note: Path, facts: Mapping[str, Any]) -> None:
    temporary = note.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps({**facts, "written_at": time.time()}), encoding="utf-8")
    temporary.replace(note)


def join_launch(context: Context, launch: Launch, note: Path) -> Context:
    """The execution that rank 0 has begun, once its inputs are here; `context` says where it is looked for.

    Raises DerivaMLAttemptError when rank 0 begins none in time, could not get its inputs, or ends before that.
    """
    patience = float(os.environ.get("DERIVA_ML_RANK_TIMEOUT") or SECONDS_TO_BEGIN)
    facts = _await_beginning(launch, note, patience)
    joined = replace(
        context,
        rid=facts["execution_rid"],
        workspace=Path(facts["workspace"]),
        dry_run=facts["dry_run"],
        flow_run_id=facts["flow_run_id"],
        attempt=facts["attempt"],
        writer=f"process {facts['pid']} on {facts['host']} (rank 0)",
        code_is_done=not facts["runs_code"],
    )
    deadline = time.monotonic() + SECONDS_TO_DOWNLOAD
    while not facts["ready"]:
        if time.monotonic() > deadline or not _is_alive(facts):
            facts = _read(note) or facts
            if facts["ready"]:
                break
            raise DerivaMLAttemptError(
                f"Rank {launch.rank} waited for the inputs of execution {joined.rid}, but {joined.writer} ended before "
                "they were here. What went wrong stands in its log."
            )
        time.sleep(_PAUSE)
        facts = _read(note) or facts
    if facts["error"]:
        raise DerivaMLAttemptError(
            f"Rank {launch.rank} cannot take part in execution {joined.rid}: {joined.writer} could not get its inputs "
            f"({facts['error']})."
        )
    return joined


def _await_beginning(launch: Launch, note: Path, patience: float) -> dict[str, Any]:
    deadline = time.monotonic() + patience
    while True:
        facts = _read(note)
        # a note that is older than this process may be of an earlier training on the same port
        if facts is not None and (facts["written_at"] >= _began_at or _is_alive(facts)):
            return facts
        if time.monotonic() > deadline:
            raise DerivaMLAttemptError(
                f"This process is rank {launch.rank} of a training ({launch.key}), and rank 0 has begun no execution "
                f"within {patience:.0f} s (looked for {note}). See that rank 0 calls create_execution() too, with the "
                "same DERIVA_ML_HOME; DERIVA_ML_RANK_TIMEOUT sets another time, in seconds. If this process is no part "
                "of a training, set DERIVA_ML_RANK=0."
            )
        time.sleep(_PAUSE)


def _read(note: Path) -> dict[str, Any] | None:
    try:
        facts: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return facts


def _is_alive(facts: Mapping[str, Any]) -> bool:
    owner = ownership.owner_of(Path(facts["workspace"]) / "executions" / facts["execution_rid"])
    return owner is not None and owner.alive


def takes_no_part() -> bool:
    """Whether the surroundings say that a child process is a run of its own (`DERIVA_ML_RANK=0`)."""
    return os.environ.get(RANKS[0], "").strip() == "0"


def join_started(context: Context) -> Context | None:
    """The execution that the process runs which started this one with `multiprocessing`, by spawn or a fork server."""
    parent = multiprocessing.parent_process()
    if parent is None or not (context.workspace / FILE_NAME).exists():
        return None
    for entry in executions.list_executions(open_journal(context.workspace), limit=_LOOKED_AT):
        if entry.status not in (ExecutionStatus.Created, ExecutionStatus.Running):
            continue
        owner = ownership.owner_of(context.workspace / "executions" / entry.rid)
        if owner is not None and owner.alive and (owner.pid, owner.host) == (parent.pid, socket.gethostname()):
            writer = f"process {owner.pid} on {owner.host}, which started this one"
            return replace(context, rid=entry.rid, attempt=entry.attempt, writer=writer)
    return None


def join_forked(context: Context) -> Context | None:
    """The execution that the process runs of which this one is a fork; None when it is no fork, or that has ended."""
    folders = [
        folder for folder in ownership.held_before_fork() if folder.parent.parent == context.workspace.absolute()
    ]
    for folder in reversed(folders):
        owner = ownership.owner_of(folder)
        if owner is None or not owner.alive or not (context.workspace / FILE_NAME).exists():
            continue
        entry = executions.read_execution(open_journal(context.workspace), folder.name)
        if entry is not None and entry.status in (ExecutionStatus.Created, ExecutionStatus.Running):
            writer = f"process {owner.pid} on {owner.host}, which forked this one"
            return replace(context, rid=entry.rid, attempt=entry.attempt, writer=writer)
    return None
