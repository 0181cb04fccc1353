"""What it means when the disk does not take a write: an error of our tree that names the file and the way on."""

from __future__ import annotations

import errno
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
    """Make a folder and those above it, where they are not there. What hinders it is DerivaMLConfigurationError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise DerivaMLConfigurationError(
            f"The folder {path} cannot be made: {e.strerror}. What was staged before is still there: make room on the "
            "disk, or see what is in the way or who may write there, and repeat. Another home folder is chosen with "
            "DERIVA_ML_HOME."
        ) from e
