"""`asset-manifest.json`: the registered files of one execution as a JSON document, a mirror of the journal.

The document is `{"version": 2, "execution_rid": …, "assets": {key: {…}}}`, each asset on a line of its own. A new
entry is put in place of the closing line by one write, so that registering costs the same however many there are. So
is a changed one: of two lines with one key the later holds, as JSON is commonly read, until `settle` leaves one; and a
dropped one, whose later line says null, until `settle` leaves none. Threads and processes that register at the same
time write one after the other. What is written here outlives the process. The
journal is the truth and is on the disk before: a document that a loss of power has torn, or that lacks the last
entries, is made anew from it when the execution is resumed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from deriva_ml_prefect.journal.disk import make_folder, naming_disk_errors
from deriva_ml_prefect.journal.files import StagedFile
from deriva_ml_prefect.values.rid import RID

FILE_NAME = "asset-manifest.json"
_END = b"\n}}\n"

_writing = threading.Lock()
"""Threads of one process: on a network file system the lock on the document is the whole process's."""
_locked: set[int] = set()
"""Descriptors with a lock on a document, or that are about to get it."""


def _after_fork() -> None:
    """A thread of the parent may have held the lock at the fork, and may be killed before it gives it back."""
    global _writing
    _writing = threading.Lock()
    while _locked:
        with contextlib.suppress(OSError):
            os.close(_locked.pop())


os.register_at_fork(after_in_child=_after_fork)


@naming_disk_errors()
def append_entry(folder: Path, rid: RID, file: StagedFile) -> None:
    """Add an entry for a file that was registered or changed; the document is made if there is none."""
    with _alone(folder) as document:
        if document is None:
            _rewrite(folder, rid, [file])
        else:
            _append(document, _line(file))


@naming_disk_errors()
def append_removal(folder: Path, key: str) -> None:
    """Say that a file is registered no more. Without a document there is nothing to say."""
    with _alone(folder) as document:
        if document is not None:
            _append(document, f"{json.dumps(key)}: null")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[int | None]:
    """A descriptor of the document, or None while there is none; nobody else writes it meanwhile."""
    path = folder / FILE_NAME
    with _writing:
        while True:
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                yield None
                return
            _locked.add(descriptor)
            try:
                # a file system without locks has one writer, as it should
                with contextlib.suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                if _is_at(descriptor, path):
                    yield descriptor
                    return
            finally:
                # said aloud: a child forked meanwhile may have the descriptor too, and closing it here leaves the lock
                with contextlib.suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
                _locked.discard(descriptor)
                os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the file was not replaced by another one while the lock was waited for."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _append(document: int, line: str) -> None:
    at = os.fstat(document).st_size - len(_END)
    empty = os.pread(document, 1, at - 1) == b"{"
    left = memoryview((("" if empty else ",") + "\n" + line).encode() + _END)
    while left:
        written = os.pwrite(document, left, at)
        at, left = at + written, left[written:]


@naming_disk_errors()
def rewrite(folder: Path, rid: RID, files: Iterable[StagedFile]) -> None:
    """Write the whole document anew."""
    with _alone(folder):
        _rewrite(folder, rid, files)


def _rewrite(folder: Path, rid: RID, files: Iterable[StagedFile]) -> None:
    make_folder(folder)
    head = json.dumps({"version": 2, "execution_rid": rid})[:-1] + ', "assets": {'
    temporary = folder / f"{FILE_NAME}.tmp"
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(head)
        for number, file in enumerate(files):
            stream.write((",\n" if number else "\n") + _line(file))
        stream.write(_END.decode())
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(folder / FILE_NAME)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@naming_disk_errors()
def settle(folder: Path, rid: RID, files: Iterable[StagedFile], count: int) -> None:
    """Have on the disk what was appended; if any entry changed or was dropped, written anew from the `count` files."""
    with _alone(folder) as document:
        if document is None:
            return
        with (folder / FILE_NAME).open("rb") as lines:
            number = sum(1 for _ in lines)
        # one before the entries, one after them
        if number == count + 2:
            os.fsync(document)
        else:
            _rewrite(folder, rid, files)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The document, with registered files only. Raises ValueError when it is torn (make it anew with `rewrite`)."""
    document: dict[str, Any] = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
    document["assets"] = {key: entry for key, entry in document["assets"].items() if entry is not None}
    return document


def _line(file: StagedFile) -> str:
    entry = {
        "schema": file.schema,
        "asset_table": file.asset_table,
        "file_name": file.file_name,
        "mode": file.mode,
        "path": str(file.path),
        "source": str(file.source) if file.source else None,
        "asset_types": list(file.asset_types),
        "metadata": dict(file.metadata),
        "description": file.description,
        "status": file.status,
        "rid": file.rid,
        "created_at": file.created_at,
    }
    return f"{json.dumps(file.key)}: {json.dumps(entry)}"
