"""Sealing registered files: their bytes are final, so they are hashed, once, and on the disk before that is recorded.

Code that has ended does not run again: a loss of power must find what it made.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from deriva_ml_prefect.exceptions import DerivaMLValidationError
from deriva_ml_prefect.journal import files as journal_files
from deriva_ml_prefect.journal import manifest
from deriva_ml_prefect.journal.disk import sync
from deriva_ml_prefect.journal.files import Sealed, StagedFile
from deriva_ml_prefect.phases.context import Context, journal_of
from deriva_ml_prefect.phases.scrubbing import show_files
from deriva_ml_prefect.progress.meter import Meter, showing
from deriva_ml_prefect.transfer.hashing import hash_file

logger = logging.getLogger(__name__)

SEALS_AT_ONCE = 256
SEAL_SECONDS = 0.25
"""What was hashed may wait so long to be recorded together: if it is lost, the file is hashed again."""
SYNCED_AT_ONCE = 8
"""A disk takes several files together nearly as fast as one."""


def seal_file(context: Context, file: StagedFile) -> StagedFile:
    """Hash a registered file, whose bytes are final now, unless that is done and the file has not changed since.

    DerivaMLValidationError for one that is not there as it was sealed, or is no regular file.
    """
    with sealing(context, [file.path]) as seal:
        seal(file)
    if file.key in seal.refused:
        raise DerivaMLValidationError(seal.refused[file.key])
    sealed = journal_files.read_file(journal_of(context), context.rid, file.key)
    assert sealed is not None
    return sealed


def seal_outputs(context: Context) -> None:
    """Seal every registered file that can be; what is missing or cannot be read is left for `stage_outputs` to name."""
    journal = journal_of(context)
    with sealing(context, journal_files.unsealed_paths(journal, context.rid)) as seal:
        for file in chain.from_iterable(journal_files.pages(journal, context.rid, unsent=True)):
            try:
                if file.path.exists():
                    seal(file)
            except (DerivaMLValidationError, OSError) as e:
                seal.refused[file.key] = str(e)
    for key, reason in seal.refused.items():
        # the user's code has ended well, and its end must be recorded; the upload will be refused
        show_files([key])
        logger.warning("Execution %s: file %s is not ready to be uploaded: %s", context.rid, key, reason)
    every = chain.from_iterable(journal_files.pages(journal, context.rid))
    manifest.settle(context.folder, context.rid, every, journal_files.count_files(journal, context.rid))


@contextmanager
def sealing(context: Context, unsealed: Sequence[str | Path]) -> Iterator[Sealing]:
    """Gives what seals a file when it is called with it; all that it did is recorded when the context ends.

    `unsealed`: paths of those that are to be hashed.
    """
    total = sum(map(_size, unsealed))
    with showing(f"Hashing files of {context.rid}", total=total, items=len(unsealed)) as meter:
        seal = Sealing(context, meter)
        try:
            yield seal
        finally:
            seal.store()


class Sealing:
    """Seals files; raises for one that cannot be sealed."""

    def __init__(self, context: Context, meter: Meter) -> None:
        self.context = context
        self.meter = meter
        self.refused: dict[str, str] = {}
        """By key, what is wrong with files whose bytes the disk did not take: complete when the context has ended."""
        self.waiting: dict[Path, Sealed] = {}
        self.stored_at = time.monotonic()

    def __call__(self, file: StagedFile) -> None:
        check_regular(file.path)
        if file.md5 is not None and _identity(file.path) == (file.length, file.modified_ns, file.inode):
            return
        if file.md5 is not None and file.mode == "symlink":
            raise DerivaMLValidationError(
                f"{file.source} was changed after execution {self.context.rid} had sealed it as {file.key}. Register "
                "it again with asset_file_path() to upload what it holds now."
            )
        facts = hash_file(file.path, progress=self.meter.advance)
        self.meter.advance(0, items=1)
        self.waiting[file.path] = Sealed(
            file.key, length=facts.length, md5=facts.md5_hex, modified_ns=facts.mtime_ns, inode=facts.inode
        )
        if len(self.waiting) >= SEALS_AT_ONCE or time.monotonic() - self.stored_at >= SEAL_SECONDS:
            self.store()

    def store(self) -> None:
        """All that wait: the bytes are on the disk, then the record of them."""
        waiting, self.waiting = self.waiting, {}
        if waiting:
            # the bytes of a file, and then its name, in each folder that has one
            needed = {path: dict.fromkeys((path, path.parent, path.resolve().parent)) for path in waiting}
            each = dict.fromkeys(chain.from_iterable(needed.values()))
            with ThreadPoolExecutor(SYNCED_AT_ONCE) as pool:
                problems = dict(zip(each, pool.map(_problem_of_disk, each), strict=True))
            sealed = []
            for path, seal in waiting.items():
                problem = next((problems[part] for part in needed[path] if problems[part]), None)
                if problem:
                    self.refused[seal.key] = problem
                else:
                    sealed.append(seal)
            journal_files.seal_files(journal_of(self.context), self.context.rid, sealed)
        self.stored_at = time.monotonic()


def _problem_of_disk(path: Path) -> str | None:
    """Why the bytes of a file, or the names of a folder, are not on the disk; None when they are."""
    try:
        sync(path)
    except OSError as e:
        return f"the disk did not take {path}: {e.strerror}. Make room, or see what is wrong with it, and repeat."
    return None


def check_regular(path: Path) -> None:
    """Raise DerivaMLValidationError for a folder, device, socket or pipe, or a file that may not be read."""
    try:
        mode = path.stat().st_mode
    except OSError as e:
        raise DerivaMLValidationError(f"{path} cannot be read: {e.strerror}.") from e
    if not stat.S_ISREG(mode):
        kind = "a folder: register its files one by one" if stat.S_ISDIR(mode) else "not a regular file"
        raise DerivaMLValidationError(f"{path} is {kind}.")
    if not os.access(path, os.R_OK):
        raise DerivaMLValidationError(f"{path} may not be read by this user.")


def _identity(path: Path) -> tuple[int, int, int]:
    """Length, time of change and inode: what tells that a file is not the one that was sealed."""
    found = path.stat()
    return (found.st_size, found.st_mtime_ns, found.st_ino)


def _size(path: str | Path) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0
