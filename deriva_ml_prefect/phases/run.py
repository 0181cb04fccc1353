"""The user's code: marked as started before the call and as finished after it, so that it never runs twice unasked."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TypeVar

from deriva_ml_prefect.exceptions import DerivaMLAttemptError
from deriva_ml_prefect.journal import executions
from deriva_ml_prefect.journal.disk import make_folder
from deriva_ml_prefect.phases.advance import advance
from deriva_ml_prefect.phases.context import Context, check_writable, entry_of, journal_of, status_of, writer_elsewhere
from deriva_ml_prefect.phases.interrupt import Interruption, leave_code
from deriva_ml_prefect.phases.remind import tell_of_unregistered
from deriva_ml_prefect.phases.seal import seal_outputs
from deriva_ml_prefect.values.errors import error_text
from deriva_ml_prefect.values.status import ExecutionStatus, Outcome

T = TypeVar("T")
logger = logging.getLogger(__name__)

_clocks: dict[tuple[str, str], float] = {}
"""(workspace, RID) → monotonic time of the start, for executions that this process started."""


def needs_user_code(context: Context) -> bool:
    """Whether the user's code is still to run for this execution; a rank runs it if the writer does."""
    if context.writer is not None:
        return not context.code_is_done
    return entry_of(context).user_code != "finished"


def start(context: Context) -> None:
    """The user's code is about to run: status Running. Code that was started before is DerivaMLAttemptError."""
    check_writable(context)
    entry = entry_of(context)
    if entry.user_code != "idle":
        raise DerivaMLAttemptError(
            f"The code of execution {context.rid} has run already (status {entry.status}). Upload what it staged with "
            f"`deriva-ml-prefect resume {context.rid}`, or begin a new execution to run it again."
        )
    # before anything says that the code runs: when this fails, it has not been begun
    make_folder(context.work)
    message = f"Attempt {context.attempt}" if context.attempt > 1 else None
    if entry.status is ExecutionStatus.Running:
        message = "Its code runs again, after it was suspended"
    advance(context, ExecutionStatus.Running, message, patient=True)
    executions.mark_user_code(journal_of(context), context.rid, "started", Outcome.unknown)
    _clocks[str(context.workspace), context.rid] = time.monotonic()


def finish(context: Context) -> None:
    """The user's code ended cleanly: its outputs are sealed, and the status is Stopped."""
    check_writable(context)
    journal = journal_of(context)
    _note_duration(context)
    seal_outputs(context)
    _look_for_unregistered(context)
    executions.mark_user_code(journal, context.rid, "finished", Outcome.completed)
    if status_of(context) is ExecutionStatus.Running:
        advance(context, ExecutionStatus.Stopped, patient=True)


def fail(context: Context, error: BaseException) -> None:
    """The user's code raised: status Failed with `<Type>: <message>`. Statuses from Stopped on stay as they are."""
    check_writable(context)
    _look_for_unregistered(context)
    _note_duration(context)
    executions.mark_user_code(journal_of(context), context.rid, "started", Outcome.failed)
    if status_of(context) is ExecutionStatus.Running:
        advance(context, ExecutionStatus.Failed, describe_error(error), patient=True)


def describe_error(error: BaseException) -> str:
    """An error as Status_Detail shows it."""
    text = error_text(error)
    if not text and isinstance(error, asyncio.CancelledError):
        text = "ended from outside: a time limit around it, a signal, or the failure of what ran beside it"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def run_user_code(context: Context, user_code: Callable[[Context], T]) -> T:
    """Call the user's code for this execution. SystemExit with 0 or None is an end like any other, without a result.

    In another rank of the training the code is called and nothing is recorded: the writer does that.
    """
    if writer_elsewhere(context) is not None:
        return user_code(context)
    start(context)
    try:
        result = user_code(context)
    except SystemExit as e:
        if e.code not in (0, None):
            fail(context, e)
            raise
        finish(context)
        raise
    # the caller decides what becomes of the status: it is asked for between phases too
    except Interruption as e:
        _note_duration(context)
        leave_code(context, e)
        raise
    # everything that ends the user's code is recorded and goes on to the caller: KeyboardInterrupt and cancel too
    except BaseException as e:
        fail(context, e)
        raise
    finish(context)
    return result


def _look_for_unregistered(context: Context) -> None:
    try:
        tell_of_unregistered(context)
    except OSError as e:
        # a folder that cannot be read must not hide how the code ended
        logger.warning("Execution %s: its working_dir could not be looked through: %s", context.rid, e)


def _note_duration(context: Context) -> None:
    began = _clocks.pop((str(context.workspace), context.rid), None)
    if began is not None:
        executions.merge_facts(journal_of(context), context.rid, {"execution_seconds": time.monotonic() - began})
