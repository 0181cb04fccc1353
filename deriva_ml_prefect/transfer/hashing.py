"""Length and checksum of a file, taken in one pass."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from deriva_ml_prefect.exceptions import DerivaMLValidationError

CHUNK = 1 << 20


@dataclass(frozen=True)
class FileFacts:
    length: int
    """Bytes."""
    md5_hex: str
    md5_base64: str
    mtime_ns: int
    inode: int


def hash_file(path: Path, *, chunk: int = CHUNK, progress: Callable[[int], None] | None = None) -> FileFacts:
    """Read `path` once. Anything but a regular file, or one that changes meanwhile, is DerivaMLValidationError.

    `progress` is told how many bytes have been read since it was told last.
    """
    return _read_through(path, (lambda piece: progress(len(piece))) if progress else (lambda _: None), chunk)


def copy_and_hash(source: Path, dest: Path, *, chunk: int = CHUNK) -> FileFacts:
    """Copy `source` to a new file `dest`, durably, and give the facts of the copy. `dest` must not exist."""
    with dest.open("xb") as out:

        def write(piece: bytes) -> None:
            out.write(piece)

        facts = _read_through(source, write, chunk)
        out.flush()
        os.fsync(out.fileno())
        status = os.fstat(out.fileno())
    return FileFacts(facts.length, facts.md5_hex, facts.md5_base64, status.st_mtime_ns, status.st_ino)


def _read_through(path: Path, take: Callable[[bytes], object], chunk: int) -> FileFacts:
    # opened without blocking, so that a named pipe is refused rather than waited for
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        before = os.fstat(descriptor)
        if not S_ISREG(before.st_mode):
            raise DerivaMLValidationError(f"{path} is not a regular file. Only files can be stored.")
        digest = hashlib.md5(usedforsecurity=False)
        length = 0
        while piece := file.read(chunk):
            digest.update(piece)
            take(piece)
            length += len(piece)
        after = os.fstat(descriptor)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or length != after.st_size:
        raise DerivaMLValidationError(f"{path} changed while it was read. Register it once it is complete.")
    return FileFacts(
        length=length,
        md5_hex=digest.hexdigest(),
        md5_base64=base64.b64encode(digest.digest()).decode(),
        mtime_ns=after.st_mtime_ns,
        inode=after.st_ino,
    )


def md5_hex_of(text: str) -> str:
    """An MD5 as hexadecimal digits, from either of the forms that headers carry it in; empty if it is neither."""
    text = text.strip()
    if len(text) == 32:
        return text.lower()
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return ""
    return raw.hex() if len(raw) == 16 else ""
