"""Bytes and names that are to be on the disk; and what it means when it does not take them: an error of our tree that
names the file and the way on.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deriva_ml_prefect.exceptions import DerivaMLConfigurationError

_OF_THE_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG, errno.ESTALE})


@contextmanager
def naming_disk_errors() -> Iterator[None]:
    """Within it, a disk that is full, broken or read-only is DerivaMLConfigurationError; also a decorator.

    Other errors of the system, a missing file for one, pass as they are.
    """
    try:
        yield
    except OSError as e:
        if e.errno not in _OF_THE_DISK:
            raise
        where = f" to {e.filename}" if e.filename else ""
        raise DerivaMLConfigurationError(
            f"The disk did not take a write{where}: {e.strerror}. What was staged before is still there: make room on "
            "the disk, or see what is wrong with it, and repeat."
        ) from e


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are not there, durably: what is synced in it can be found.

    What hinders it is DerivaMLConfigurationError.
    """
    try:
        if path.is_dir():
            return
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for made in missing:
            sync(made.parent)
    except OSError as e:
        raise DerivaMLConfigurationError(
            f"The folder {path} cannot be made: {e.strerror}. What was staged before is still there: make room on the "
            "disk, or see what is in the way or who may write there, and repeat. Another home folder is chosen with "
            "DERIVA_ML_HOME."
        ) from e


def sync(path: Path) -> None:
    """Have on the disk what a file holds, or which names a folder has. What the disk says against it is an OSError.

    Where a file system knows no such wish, or does not grant it to this user, its own care must do.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as e:
        if e.errno in _OF_THE_DISK:
            raise
