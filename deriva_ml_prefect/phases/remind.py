"""What a run leaves behind without saying so: outputs that nobody uploaded, files that nobody registered.

Both are legal, and both lose work when they are not meant, so each is told once: unregistered files when the code ends,
an upload that did not come when the process does.
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from deriva_ml_prefect.exceptions import DerivaMLException
from deriva_ml_prefect.journal import executions, features, files
from deriva_ml_prefect.journal.store import FILE_NAME, open_journal
from deriva_ml_prefect.phases.context import Context, journal_of
from deriva_ml_prefect.values.status import ExecutionStatus

logger = logging.getLogger(__name__)

NAMED = 5
"""Files, or executions, that a message names; the others are counted."""
MOST = 10_000
"""Files of a scratch folder that are looked at."""

_ended: dict[tuple[int, str, str], Context] = {}
"""(process, workspace, RID) → executions whose code ended in this process, for whoever has to upload them by hand."""


def expect_upload(context: Context) -> None:
    """The code of an execution has ended, and its caller is to upload it: tell at the end of the process if not."""
    if context.dry_run:
        return
    if not _ended:
        atexit.register(tell_of_missing_uploads)
    _ended[os.getpid(), str(context.workspace), context.rid] = context


def tell_of_missing_uploads() -> None:
    """Name the executions of this process that ended and were not uploaded, once, with the command that does it."""
    mine = [key for key in _ended if key[0] == os.getpid()]
    waiting = [context for context in (_ended.pop(key) for key in mine) if _waits(context)]
    for context in waiting[:NAMED]:
        hostname, catalog_id = context.address.hostname, context.address.catalog_id
        logger.warning(
            "Execution %s ended and nothing of it was uploaded: no outputs are in catalog %s. Upload what it staged "
            "with: deriva-ml-prefect resume %s --host %s --catalog %s",
            *(context.rid, context.address, context.rid, hostname, catalog_id),
        )
    if len(waiting) > NAMED:
        logger.warning("%d more executions ended like this; ml.find_interrupted() lists them.", len(waiting) - NAMED)


def _waits(context: Context) -> bool:
    """Whether the outputs still lie here: always of a run that ended well, of a failed one if it staged anything."""
    if not (context.workspace / FILE_NAME).exists():
        return False
    try:
        journal = open_journal(context.workspace)
        entry = executions.read_execution(journal, context.rid)
        if entry is None or entry.superseded_by:
            return False
        staged = files.count_unsent(journal, context.rid) + features.count_unsent(journal, context.rid)
    except DerivaMLException as e:
        # the process is ending, and an error here would reach nobody
        logger.warning("It is not known whether execution %s was uploaded: %s", context.rid, e)
        return False
    return entry.status is ExecutionStatus.Stopped or (entry.status is ExecutionStatus.Failed and staged > 0)


def tell_of_unregistered(context: Context) -> list[Path]:
    """Warn of files in `working_dir` that were not registered and so are not uploaded; their paths inside it."""
    registered = {
        file.source.resolve() for file in files.list_files(journal_of(context), context.rid) if file.source is not None
    }
    found = [
        path.relative_to(context.work)
        for path in islice(_regular_files(context.work), MOST)
        if path.resolve() not in registered
    ]
    if found:
        shown = ", ".join(str(path) for path in sorted(found)[:NAMED])
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        logger.warning(
            "Execution %s wrote %d files to its working_dir that are not registered and will not be uploaded: %s%s. "
            "Register those that matter with asset_file_path() before upload_execution_outputs().",
            *(context.rid, len(found), shown, more),
        )
    return sorted(found)


def _regular_files(folder: Path) -> Iterator[Path]:
    """Files below a folder, but for hidden ones and those of caches."""
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__pycache__")))
        for name in sorted(names):
            path = Path(at) / name
            if not name.startswith(".") and path.is_file():
                yield path
