"""The folder of a dry run: made for one process, removed at its ordinary end, and a day later whatever happened.

It is there to be looked at while the process lives: what would be uploaded lies in it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from pathlib import Path

from deriva_ml_prefect.journal import ownership
from deriva_ml_prefect.journal.disk import make_folder
from deriva_ml_prefect.phases.launch import find_launch
from deriva_ml_prefect.values.rid import DRY_RUN_RID

FOLDER = "dry-runs"
KEPT_SECONDS = 24 * 3600.0
"""How long the folder of a process that was killed, or of a training of many processes, is left alone."""

_made: dict[int, list[Path]] = {}
"""Process → folders that it made and removes; a forked child has none."""


def make_dry_folder(home: Path) -> Path:
    """A new folder for the journal and the files of a dry run; those that others left behind are removed."""
    folder = home / FOLDER
    make_folder(folder)
    remove_left_folders(folder)
    made = Path(tempfile.mkdtemp(dir=folder))
    # the other ranks of a training may still read what rank 0 downloaded when that ends
    if find_launch() is None:
        if os.getpid() not in _made:
            atexit.register(_remove_own)
        _made.setdefault(os.getpid(), []).append(made)
    return made


def remove_left_folders(folder: Path) -> list[Path]:
    """Remove the folders of dry runs that are a day old and whose process is gone; which these were."""
    removed = []
    for left in folder.iterdir():
        try:
            old = time.time() - left.stat().st_mtime > KEPT_SECONDS
        except FileNotFoundError:
            # another process removes them too
            continue
        owner = ownership.owner_of(left / "executions" / DRY_RUN_RID) if old else None
        if old and (owner is None or not owner.alive):
            shutil.rmtree(left, ignore_errors=True)
            removed.append(left)
    return removed


def _remove_own() -> None:
    for folder in _made.pop(os.getpid(), []):
        shutil.rmtree(folder, ignore_errors=True)
