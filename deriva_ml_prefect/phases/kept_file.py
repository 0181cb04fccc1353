"""Downloaded files that are used again: only while they are what the catalog says.

A file in a folder of its own is hashed once: beside the folder, `<folder>.checked` keeps the file's length, time of
change and inode with the MD5 that it had then. While these stay the same it is not read again, so that ten gigabytes
cost a look at the folder; a file that was touched is hashed anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from deriva_ml_prefect.transfer.hashing import hash_file

SUFFIX = ".checked"


def is_intact(path: Path, *, md5_hex: str, length: int, remember: bool = True) -> bool:
    """Whether a file that was kept has this length and MD5; `remember` needs a folder that holds nothing else."""
    if not path.is_file() or path.stat().st_size != length:
        return False
    if remember and _read(path) == _seen(path, md5_hex):
        return True
    before = path.stat()
    if hash_file(path).md5_hex != md5_hex:
        return False
    if remember and path.stat().st_mtime_ns == before.st_mtime_ns:
        note_intact(path, md5_hex=md5_hex)
    return True


def note_intact(path: Path, *, md5_hex: str) -> None:
    """Remember that the file, as it is at this moment, has this MD5."""
    note = _note(path)
    temporary = note.with_name(f"{note.name}.{os.getpid()}")
    temporary.write_text(json.dumps(_seen(path, md5_hex)), encoding="utf-8")
    temporary.replace(note)


def _seen(path: Path, md5_hex: str) -> list[int | str]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ino, md5_hex]


def _note(path: Path) -> Path:
    # outside of the folder, where no file of the catalog can have its name
    return path.parent.with_name(path.parent.name + SUFFIX)


def _read(path: Path) -> list[int | str] | None:
    try:
        found = json.loads(_note(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, list) else None
