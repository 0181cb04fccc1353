"""`asset-manifest.json`: the registered files of one execution as a JSON document, a mirror of the journal.

The document is `{"version": 2, "execution_rid": …, "assets": {key: {…}}}`, each asset on a line of its own. A new
entry is put in place of the closing line by one write, so that registering costs the same however many there are. So
is a changed one: of two lines with one key the later holds, as JSON is commonly read, until `settle` leaves one; and a
dropped one, whose later line says null, until `settle` leaves none. What is written here outlives the process. The
journal is the truth and is on the disk before: a document that a loss of power has torn, or that lacks the last
entries, is made anew from it when the execution is resumed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deriva_ml_prefect.journal.disk import make_folder, naming_disk_errors
from deriva_ml_prefect.journal.files import StagedFile
from deriva_ml_prefect.values.rid import RID

FILE_NAME = "asset-manifest.json"
_END = b"\n}}\n"


@naming_disk_errors()
def append_entry(folder: Path, rid: RID, file: StagedFile) -> None:
    """Add an entry for a file that was registered or changed. The document must exist or have no entries yet."""
    path = folder / FILE_NAME
    if path.exists():
        _append(path, _line(file))
    else:
        rewrite(folder, rid, [file])


@naming_disk_errors()
def append_removal(folder: Path, key: str) -> None:
    """Say that a file is registered no more. Without a document there is nothing to say."""
    path = folder / FILE_NAME
    if path.exists():
        _append(path, f"{json.dumps(key)}: null")


def _append(path: Path, line: str) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        at = size - len(_END)
        empty = os.pread(descriptor, 1, at - 1) == b"{"
        os.pwrite(descriptor, (("" if empty else ",") + "\n" + line).encode() + _END, at)
    finally:
        os.close(descriptor)


@naming_disk_errors()
def rewrite(folder: Path, rid: RID, files: Iterable[StagedFile]) -> None:
    """Write the whole document anew."""
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
    path = folder / FILE_NAME
    if not path.exists():
        return
    with path.open("rb") as document:
        lines = sum(1 for _ in document)
    # one before the entries, one after them
    if lines != count + 2:
        rewrite(folder, rid, files)
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
