"""Who may write an execution: a token in the journal and a lock on a file, which the kernel drops when the owner dies.

The lock is a POSIX record lock: a forked child does not inherit it, and it goes with its process, however that ended.
Such a lock is lost when its process closes any descriptor of the file, so the file is opened here alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path

from deriva_ml_prefect.exceptions import DerivaMLOwnershipError
from deriva_ml_prefect.journal.executions import write_owner
from deriva_ml_prefect.journal.store import Journal, now
from deriva_ml_prefect.values.rid import RID

LOCK_NAME = "owner.lock"
NOTE_NAME = "owner.json"


@dataclass(frozen=True)
class Owner:
    """Who took an execution last. `alive` is what the lock says now."""

    token: str
    pid: int
    host: str
    since: str
    alive: bool


@dataclass
class _Held:
    descriptor: int
    token: str


_held: dict[tuple[int, Path], _Held] = {}
_held_lock = threading.Lock()


def take(journal: Journal, folder: Path, rid: RID) -> str:
    """Become the owner of an execution; its folder holds the lock. Taking what this process owns gives the same token.

    Raises DerivaMLOwnershipError naming the owner when another process has it.
    """
    path = folder.absolute() / LOCK_NAME
    with _held_lock:
        held = _held.get((os.getpid(), path))
        if held:
            return held.token
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            os.close(descriptor)
            owner = _read_note(folder)
            who = f"process {owner.pid} on {owner.host}, since {owner.since}" if owner else "another process"
            raise DerivaMLOwnershipError(
                f"Execution {rid} is owned by {who}, which is alive. Wait until it ends, or end it, and try again."
            ) from e
        held = _Held(descriptor, str(uuid.uuid4()))
        _held[os.getpid(), path] = held
        note = {"token": held.token, "pid": os.getpid(), "host": socket.gethostname(), "since": now()}
        temporary = folder / f"{NOTE_NAME}.tmp"
        temporary.write_text(json.dumps(note), encoding="utf-8")
        temporary.replace(folder / NOTE_NAME)
        write_owner(journal, rid, held.token)
        return held.token


def release(folder: Path) -> None:
    """Give the lock back; the note of the last owner stays."""
    with _held_lock:
        held = _held.pop((os.getpid(), folder.absolute() / LOCK_NAME), None)
        if held:
            os.close(held.descriptor)


def owns(folder: Path) -> bool:
    """Whether this very process holds the lock."""
    with _held_lock:
        return (os.getpid(), folder.absolute() / LOCK_NAME) in _held


def held_before_fork() -> list[Path]:
    """Folders of executions that the process held of which this one is a fork, and that this one did not take."""
    with _held_lock:
        mine = {path for pid, path in _held if pid == os.getpid()}
        return [path.parent for pid, path in _held if pid != os.getpid() and path not in mine]


def owner_of(folder: Path) -> Owner | None:
    """The last owner of an execution and whether it lives; None when nobody ever took it."""
    owner = _read_note(folder)
    if owner is None:
        return None
    return Owner(owner.token, owner.pid, owner.host, owner.since, alive=_is_locked(folder))


def _is_locked(folder: Path) -> bool:
    path = folder.absolute() / LOCK_NAME
    with _held_lock:
        if (os.getpid(), path) in _held:
            return True
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
    return False


def _read_note(folder: Path) -> Owner | None:
    try:
        note = json.loads((folder / NOTE_NAME).read_text(encoding="utf-8"))
        return Owner(note["token"], note["pid"], note["host"], note["since"], alive=False)
    except (FileNotFoundError, ValueError, KeyError):
        return None
