"""Who may write an execution: a token in the journal and a lock on a file, which the kernel drops when the owner dies.

The lock is a POSIX record lock: a forked child does not inherit it, and it goes with its process, however that ended.
Such a lock is lost when its process closes any descriptor of the file, and is worth nothing once the file is deleted:
the file is opened here alone, and `check_not_taken_over` takes the lock again, or finds that another has it. So it does
with a folder, or a note of the owner, that somebody deleted.

Between two machines that share a folder such a lock may say nothing. The note of the owner, `owner.json`, tells its
machine; its time of change is the owner's last sign of life (`touch`), read by the clock of the file server.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from deriva_ml_prefect.exceptions import DerivaMLOwnershipError
from deriva_ml_prefect.journal.disk import make_folder, naming_disk_errors
from deriva_ml_prefect.journal.store import Journal, forgotten, is_on_network, now, taken_over
from deriva_ml_prefect.values.frozen import Frozen
from deriva_ml_prefect.values.rid import RID

LOCK_NAME = "owner.lock"
NOTE_NAME = "owner.json"
MISSED = 3
"""Signs of life that an owner on another machine may miss."""
_PAUSES = (0.01, 0.02, 0.04, 0.08, 0)
_ON_LINUX: bool = sys.platform == "linux"
_FLOCK = "hhqqi"
"""Linux's struct flock: kind, whence, start, length, process."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Owner(Frozen):
    """Who took an execution last. `alive` is what the lock, or the last sign of life, says now."""

    token: str
    pid: int
    host: str
    since: str
    alive: bool
    elsewhere: bool = False
    """It is, or was, on another machine: only its signs of life tell."""


class _Held:
    def __init__(self, descriptor: int, note: Mapping[str, Any], journal: Journal, rid: RID) -> None:
        self.descriptor = descriptor
        self.note = note
        self.token = str(note["token"])
        self.journal = journal
        self.rid = rid


_held: dict[tuple[int, Path], _Held] = {}
_held_lock = threading.Lock()


def _after_fork() -> None:
    """A thread of the parent may have held the lock at the fork."""
    global _held_lock
    _held_lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


@naming_disk_errors()
def take(journal: Journal, folder: Path, rid: RID, *, heartbeat: float = 0) -> str:
    """Become the owner of an execution; its folder holds the lock. Taking what this process owns gives the same token.

    `heartbeat`: seconds between two calls of `touch` that the owner promises; 0: it promises none.
    Raises DerivaMLOwnershipError naming the owner when another process has it.
    """
    path = folder.absolute() / LOCK_NAME
    with _held_lock:
        held = _held.get((os.getpid(), path))
        if held:
            return held.token
        make_folder(folder)
        descriptor = _open_locked(path, folder, rid)
        token = _new_token()
        note = {
            "token": token,
            "pid": os.getpid(),
            "host": _host(),
            "boot": _boot(),
            "since": now(),
            "heartbeat": heartbeat,
        }
        try:
            _refuse_other_machine(folder, rid)
            _write_note(folder, note)
            write_owner(journal, rid, token)
        except BaseException:
            # half taken is not taken: the next attempt begins anew
            os.close(descriptor)
            raise
        journal.owned[rid] = token
        _held[os.getpid(), path] = _Held(descriptor, note, journal, rid)
        return token


def _open_locked(path: Path, folder: Path, rid: RID) -> int:
    """A descriptor of the lock file with the lock on it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor, folder, rid)
            if _is_file_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        # deleted in between: a lock on it would exclude nobody
        os.close(descriptor)


def _is_file_at(descriptor: int, path: Path) -> bool:
    mine = os.fstat(descriptor)
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)


def _host() -> str:
    # seldom needed where executions are only listed, as is uuid
    import socket

    return socket.gethostname()


def _new_token() -> str:
    import uuid

    return str(uuid.uuid4())


def write_owner(journal: Journal, rid: RID, owner: str | None) -> None:
    """Make `owner` the only token that may write the status."""
    journal.write("write_owner", rid=rid, owner=owner)


def read_owner(journal: Journal, rid: RID) -> str | None:
    """The token that may write the status."""
    row = journal.row("select_owner", rid=rid)
    return row["owner"] if row else None


def _lock(descriptor: int, folder: Path, rid: RID) -> None:
    for pause in _PAUSES:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # who only looks whether it is locked has it for a moment
            time.sleep(pause)
        else:
            return
    owner = _owner(_read_note(folder), alive=True)
    who = f"process {owner.pid} on {owner.host}, since {owner.since}" if owner else "another process"
    raise DerivaMLOwnershipError(
        f"Execution {rid} is owned by {who}, which is alive. Wait until it ends, or end it, and try again."
    )


def _refuse_other_machine(folder: Path, rid: RID) -> None:
    note = _read_note(folder)
    if note is None or not _is_elsewhere(note, folder) or not _gives_signs(note, folder):
        return
    who = f"process {note['pid']} on {note['host']}, since {note['since']}"
    if note.get("heartbeat"):
        when = f"It is free {MISSED * note['heartbeat']:.0f} s after its last sign of life."
    else:
        when = f"It gives no signs of life, so if that machine is gone for good, delete {folder / NOTE_NAME}."
    raise DerivaMLOwnershipError(
        f"Execution {rid} is owned by {who}, another machine that uses this folder. Wait until it ends, or end it "
        f"there, and try again. {when}"
    )


def release(folder: Path) -> None:
    """Give the lock back; the note of the last owner stays, and says that it has ended."""
    with _held_lock:
        held = _held.pop((os.getpid(), folder.absolute() / LOCK_NAME), None)
        if held is None:
            return
        held.journal.owned.pop(held.rid, None)
        try:
            note = _read_note(folder)
            if note is not None and note["token"] == held.token:
                _write_note(folder, {**note, "ended": now()})
        finally:
            os.close(held.descriptor)


@naming_disk_errors()
def drop_if_taken_over(journal: Journal, folder: Path, rid: RID) -> None:
    """Forget an ownership that another process has taken over, so that this one may ask for it again."""
    token = held_token(folder)
    if token is None or read_owner(journal, rid) == token:
        return
    with _held_lock:
        held = _held.pop((os.getpid(), folder.absolute() / LOCK_NAME), None)
        if held is not None:
            held.journal.owned.pop(rid, None)
            os.close(held.descriptor)


def owns(folder: Path) -> bool:
    """Whether this very process holds the lock."""
    return held_token(folder) is not None


def held_token(folder: Path) -> str | None:
    """The token under which this very process holds the lock."""
    with _held_lock:
        held = _held.get((os.getpid(), folder.absolute() / LOCK_NAME))
        return held.token if held else None


@naming_disk_errors()
def check_not_taken_over(journal: Journal, folder: Path, rid: RID) -> None:
    """Raise DerivaMLOwnershipError when this process took the execution and another one has done so since.

    DerivaMLNotFoundError when its journal is gone. A folder or note that is gone is made again.
    """
    path = folder.absolute() / LOCK_NAME
    with _held_lock:
        held = _held.get((os.getpid(), path))
        if held is None:
            return
        gone = not folder.exists()
        if gone:
            make_folder(folder)
        locked = _lock_again(held, path)
    owner = journal.row("select_owner", rid=rid)
    if locked and owner is None:
        raise forgotten(rid, journal.path)
    if not locked or owner is None or owner["owner"] != held.token:
        raise taken_over(rid)
    if gone:
        # a tenth of what `ls` takes, which has no need of it
        import logging

        logging.getLogger(__name__).warning(
            "Execution %s: %s was deleted while it runs, and what lay there with it. The run goes on; files that were "
            "registered before, and are not on the disk any more, are named by the upload.",
            *(rid, folder),
        )
    if not (folder / NOTE_NAME).exists():
        _write_note(folder, held.note)


def _lock_again(held: _Held, path: Path) -> bool:
    """Whether the lock is this process's, also where it was lost meanwhile; False when another process has it."""
    if not _is_file_at(held.descriptor, path):
        fresh = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.close(held.descriptor)
        held.descriptor = fresh
    for pause in _PAUSES:
        try:
            fcntl.lockf(held.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # who only looks whether it is locked has it for a moment
            time.sleep(pause)
        else:
            return True
    return False


def touch(folder: Path) -> None:
    """Give a sign of life to other machines that use this folder."""
    os.utime(folder / NOTE_NAME)


def last_sign(folder: Path) -> str | None:
    """When the last owner gave its last sign of life here, by this machine's clock; None when nobody ever took it."""
    try:
        seconds = (folder / NOTE_NAME).stat().st_mtime
    except FileNotFoundError:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


def held_before_fork() -> list[Path]:
    """Folders of executions that the process held of which this one is a fork, and that this one did not take."""
    with _held_lock:
        mine = {path for pid, path in _held if pid == os.getpid()}
        return [path.parent for pid, path in _held if pid != os.getpid() and path not in mine]


@naming_disk_errors()
def owner_of(folder: Path) -> Owner | None:
    """The last owner of an execution and whether it lives; None when nobody ever took it."""
    note = _read_note(folder)
    if note is None:
        return None
    elsewhere = _is_elsewhere(note, folder)
    alive = _is_locked(folder) or (elsewhere and _gives_signs(note, folder))
    return _owner(note, alive=alive, elsewhere=elsewhere)


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
            return _is_locked_by_another(descriptor)
        finally:
            os.close(descriptor)


def _is_locked_by_another(descriptor: int) -> bool:
    if _ON_LINUX:
        # asked without having it for a moment: two who look at a dead run must not take each other for its owner
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))[0]
        return bool(kind != fcntl.F_UNLCK)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def _is_elsewhere(note: Mapping[str, Any], folder: Path) -> bool:
    """Whether the note was written on another machine. Containers of one machine share its locks and its boot."""
    if note.get("boot") and note["boot"] == _boot():
        return False
    if note["host"] != _host():
        return True
    # a machine that was started again, unless several of one name share the folder
    return bool(note.get("boot")) and is_on_network(folder)


def _gives_signs(note: Mapping[str, Any], folder: Path) -> bool:
    """Whether an owner on another machine has not ended, and has given a sign of life in time."""
    if note.get("ended"):
        return False
    seconds = note.get("heartbeat", 0)
    return not seconds or _age(folder) <= MISSED * seconds


def _age(folder: Path) -> float:
    """Seconds since the last sign of life, both ends by the clock that stamps the files of the folder."""
    probe = folder / f"clock.{os.getpid()}.{threading.get_ident()}"
    probe.touch()
    try:
        return probe.stat().st_mtime - (folder / NOTE_NAME).stat().st_mtime
    finally:
        probe.unlink()


@cache
def _boot() -> str | None:
    """Names this start of this machine's kernel; None where there is no such name."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return None


@naming_disk_errors()
def _write_note(folder: Path, note: Mapping[str, Any]) -> None:
    # machines that share the folder may write at the same time
    temporary = folder / f"{NOTE_NAME}.{_new_token()}.tmp"
    try:
        temporary.write_text(json.dumps(dict(note)), encoding="utf-8")
        temporary.replace(folder / NOTE_NAME)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _read_note(folder: Path) -> dict[str, Any] | None:
    try:
        note = json.loads((folder / NOTE_NAME).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    complete = isinstance(note, dict) and {"token", "pid", "host", "since"} <= set(note)
    return note if complete else None


def _owner(note: Mapping[str, Any] | None, *, alive: bool, elsewhere: bool = False) -> Owner | None:
    if note is None:
        return None
    return Owner(note["token"], note["pid"], note["host"], note["since"], alive=alive, elsewhere=elsewhere)
