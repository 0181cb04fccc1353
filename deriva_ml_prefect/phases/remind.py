"""What a run leaves behind without saying so: outputs that nobody uploaded, files that nobody registered.

Both are legal, and both lose work when they are not meant, so each is told once: unregistered files when the code ends,
an upload that did not come when the process does.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from deriva_ml_prefect.exceptions import DerivaMLException
from deriva_ml_prefect.journal import executions, features, files
from deriva_ml_prefect.journal.store import FILE_NAME, open_journal
from deriva_ml_prefect.phases.context import Context, journal_of
from deriva_ml_prefect.values.listed import first_of
from deriva_ml_prefect.values.sizes import format_count
from deriva_ml_prefect.values.status import ExecutionStatus

logger = logging.getLogger(__name__)
_S = ExecutionStatus

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
    waiting = [(context, left) for context in (_ended.pop(key) for key in mine) if (left := _what_is_left(context))]
    for context, left in waiting[:NAMED]:
        hostname, catalog_id = context.address.hostname, context.address.catalog_id
        _say_at_end(
            "Execution %s ended and %s. Upload what it staged with: deriva-ml-prefect resume %s --host %s --catalog %s",
            *(context.rid, left, context.rid, hostname, catalog_id),
        )
    if len(waiting) > NAMED:
        _say_at_end("%d more executions ended like this; ml.find_interrupted() lists them.", len(waiting) - NAMED)


def _say_at_end(message: str, *args: object) -> None:
    """Warn while the process ends, when whoever made a handler may have closed its stream: no traceback in any case.

    A handler without a stream is passed over; where that leaves none, the line goes to the standard error.
    """
    if not logger.isEnabledFor(logging.WARNING):
        return
    record = logger.makeRecord(logger.name, logging.WARNING, __file__, 0, message, args, None)
    heard = False
    shows_faults, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        for handler in _handlers(logger):
            stream = _stream_of(handler)
            if record.levelno >= handler.level and not getattr(stream, "closed", False):
                # one without a stream may pass the line on to somebody, or drop it
                heard = (_hand_over(handler, record) and stream is not None) or heard
    finally:
        logging.raiseExceptions = shows_faults
    left = next((each for each in (sys.stderr, sys.__stderr__) if each is not None and not each.closed), None)
    if not heard and left is not None:
        print(record.getMessage(), file=left)


def _hand_over(handler: logging.Handler, record: logging.LogRecord) -> bool:
    """Whether the handler took the record without an error."""
    try:
        with warnings.catch_warnings():
            # a handler for lines of flow runs says in a warning that there is none now
            warnings.simplefilter("ignore")
            handler.handle(record)
    # whatever a handler runs into, the process is ending: the line is for people, and goes elsewhere
    except Exception:  # noqa: BLE001
        return False
    return True


def _handlers(at: logging.Logger | None) -> Iterator[logging.Handler]:
    """The handlers that a record of the logger reaches."""
    while at is not None:
        yield from at.handlers
        at = at.parent if at.propagate else None


def _stream_of(handler: logging.Handler) -> object:
    """Where a handler writes to; those of rich have it in their console."""
    return getattr(handler, "stream", None) or getattr(getattr(handler, "console", None), "file", None)


def _what_is_left(context: Context) -> str | None:
    """What of the outputs still lies here: always something of a run that ended well, of a failed one if it staged any.

    None when nothing does, or when another execution goes on with it.
    """
    if not (context.workspace / FILE_NAME).exists():
        return None
    try:
        journal = open_journal(context.workspace)
        entry = executions.read_execution(journal, context.rid)
        if entry is None or entry.superseded_by:
            return None
        counts = {
            "file": files.count_unsent(journal, context.rid),
            "feature value": features.count_unsent(journal, context.rid),
        }
        tried = any(s.status is _S.Pending_Upload for s in executions.status_history(journal, context.rid))
    except DerivaMLException as e:
        # the process is ending, and an error here would reach nobody
        _say_at_end("It is not known whether execution %s was uploaded: %s", context.rid, e)
        return None
    unsent = entry.status in (_S.Failed, _S.Uploaded) and any(counts.values())
    waits = unsent or entry.status in (_S.Stopped, _S.Pending_Upload)
    if not waits:
        return None
    if not tried:
        return f"nothing of it was uploaded: no outputs are in catalog {context.address}"
    shown = " and ".join(format_count(count, name) for name, count in counts.items() if count) or "its end"
    wait = "waits" if sum(counts.values()) <= 1 else "wait"
    if entry.status is _S.Uploaded:
        return f"{shown} that it got after its upload {wait} to go to catalog {context.address}"
    return f"its upload did not: {shown} {wait} to go to catalog {context.address}"


def tell_of_unregistered(context: Context) -> list[Path]:
    """Warn of files in `working_dir` that were not registered and so are not uploaded; their paths inside it."""
    registered = {Path(source).resolve() for source in files.sources(journal_of(context), context.rid)}
    found = [
        path.relative_to(context.work)
        for path in islice(_regular_files(context.work), MOST)
        if path.resolve() not in registered
    ]
    if found:
        shown = first_of(map(str, sorted(found)), separator=", ")
        logger.warning(
            "Execution %s wrote %d files to its working_dir that are not registered and will not be uploaded: %s. "
            "Register those that matter with asset_file_path() before upload_execution_outputs().",
            *(context.rid, len(found), shown),
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
