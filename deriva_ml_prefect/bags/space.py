"""Room on the disk for what is to be downloaded: looked for before the first byte, not after the last one that fits."""

from __future__ import annotations

import shutil
from pathlib import Path

from deriva_ml_prefect.exceptions import DerivaMLConfigurationError
from deriva_ml_prefect.values.sizes import format_size


def free_bytes(path: Path) -> int:
    """What a user may still write on the disk of a path, which need not exist yet."""
    there = path
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free


def require_space(path: Path, needed: int, what: str) -> None:
    """DerivaMLConfigurationError, naming both sizes, when `needed` bytes do not fit on the disk of a path."""
    free = free_bytes(path)
    if needed > free:
        raise DerivaMLConfigurationError(
            f"{what} needs {format_size(needed)}, and the disk of {path} has {format_size(free)} left. Nothing was "
            "fetched: make room (`deriva-ml-prefect gc` lists what may go), or set DERIVA_ML_HOME to a folder on a "
            "larger disk."
        )
