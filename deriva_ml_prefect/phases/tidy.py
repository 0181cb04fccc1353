"""Deleting the staged files of an execution that is Uploaded, but for what no catalog has: nobody registered it, or it
was changed after its bytes had gone."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import stat
from itertools import chain
from pathlib import Path

from deriva_ml_prefect.journal import files
from deriva_ml_prefect.journal.store import Journal
from deriva_ml_prefect.phases.context import Context, journal_of
from deriva_ml_prefect.values.listed import first_of
from deriva_ml_prefect.values.rid import RID
from deriva_ml_prefect.values.sizes import format_count

logger = logging.getLogger(__name__)
TORN_SUFFIX = ".tmp"
"""Ends the names of staged files that are not whole yet; a dot begins them."""
_TORN = re.compile(rf"\.(.+){re.escape(TORN_SUFFIX)}", re.DOTALL)
_PLACED = re.compile(rf"\.[0-9a-f]{{32}}{re.escape(TORN_SUFFIX)}")


def forget_staged_bytes(context: Context) -> None:
    """Delete staged files that are in the catalog. Journal entries and receipts stay, and what is in no catalog."""
    journal = journal_of(context)
    if files.count_unsent(journal, context.rid):
        return
    kept = in_no_catalog(journal, context.rid, context.staged)
    if not kept:
        shutil.rmtree(context.staged, ignore_errors=True)
        return
    # as above, what cannot be deleted now is left to gc
    known = set(kept)
    for file in chain.from_iterable(files.pages(journal, context.rid)):
        if _inside(file.path) not in known:
            with contextlib.suppress(OSError):
                file.path.unlink()
    for folder in context.staged.iterdir():
        with contextlib.suppress(OSError):
            folder.rmdir()
    logger.warning(
        "Execution %s is Uploaded without %s of its staging folder, never registered (or dropped), or changed since it "
        "was uploaded: %s. They stay in %s. Register one that matters with asset_file_path(), and upload again.",
        *(context.rid, format_count(len(kept), "file"), shown(kept), context.staged),
    )


def find_strays(journal: Journal, rid: RID, staged: Path) -> list[Path]:
    """Files below a staging folder that are no registered ones; their paths inside it."""
    registered = {tuple(path.rsplit(os.sep, 2)[1:]) for path in files.staged_paths(journal, rid)}
    sources = set(files.sources(journal, rid))
    found = []
    for at, _, names in os.walk(staged):
        folder = os.path.relpath(at, staged)
        # what was being placed when its process was killed is not the user's
        found += [
            Path(folder, name)
            for name in names
            if (folder, name) not in registered
            and os.path.join(at, name) not in sources  # noqa: PTH118 (for each of many files)
            and not ((torn := _TORN.fullmatch(name)) and (_PLACED.fullmatch(name) or (folder, torn[1]) in registered))
        ]
    return sorted(found)


def in_no_catalog(journal: Journal, rid: RID, staged: Path) -> list[Path]:
    """Those, and registered files that were written to since they were uploaded; their paths inside the folder."""
    changed = [
        _inside(file.path)
        for file in chain.from_iterable(files.pages(journal, rid))
        if file.md5 is not None and _size_and_time(file.path) not in (None, (file.length, file.modified_ns))
    ]
    return sorted([*find_strays(journal, rid, staged), *changed])


def _inside(path: Path) -> Path:
    """Where a registered file lies in its staging folder."""
    return Path(path.parent.name, path.name)


def _size_and_time(path: Path) -> tuple[int, int] | None:
    """None where deleting loses no bytes: there are none, or the staged name is a link to them."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def shown(paths: list[Path]) -> str:
    """The first of some paths, and how many more there are."""
    return first_of((repr(str(path)) for path in paths), separator=", ")
