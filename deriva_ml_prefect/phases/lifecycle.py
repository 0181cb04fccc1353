"""The phases before and after the user's code, named once; `call` runs them: directly, or as tasks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from deriva_ml_prefect.exceptions import DerivaMLException, InvalidTransitionError
from deriva_ml_prefect.journal import executions, features, files, ownership
from deriva_ml_prefect.phases.advance import advance
from deriva_ml_prefect.phases.begin import Request, begin_execution
from deriva_ml_prefect.phases.close import close_execution
from deriva_ml_prefect.phases.context import Context, entry_of, journal_of, status_of, writer_elsewhere
from deriva_ml_prefect.phases.download import download_inputs
from deriva_ml_prefect.phases.flush import flush_features
from deriva_ml_prefect.phases.heartbeat import hold
from deriva_ml_prefect.phases.interrupt import Interruption, interrupt
from deriva_ml_prefect.phases.run import describe_error, finish, needs_user_code, run_user_code
from deriva_ml_prefect.phases.send import UploadOptions
from deriva_ml_prefect.phases.stage import stage_outputs
from deriva_ml_prefect.phases.upload import upload_assets
from deriva_ml_prefect.values.status import ExecutionStatus

T = TypeVar("T")
logger = logging.getLogger(__name__)
_S = ExecutionStatus

PHASES: tuple[Callable[..., Any], ...] = (
    begin_execution,
    download_inputs,
    run_user_code,
    stage_outputs,
    upload_assets,
    flush_features,
    close_execution,
)
"""All phases in order; `call` gets one of these functions and its arguments."""


class Call(Protocol):
    def __call__(self, phase: Callable[..., T], /, *args: Any) -> T:
        """Run one phase with its arguments and give its result."""


def directly(phase: Callable[..., T], /, *args: Any) -> T:
    """Run a phase here and now."""
    return phase(*args)


@dataclass(frozen=True)
class Conducted(Generic[T]):
    """A finished execution. `result` is what the user's code returned; None when it ran in an earlier attempt."""

    context: Context
    result: T | None


def conduct(
    request: Request,
    user_code: Callable[[Context], T],
    *,
    call: Call = directly,
    options: UploadOptions = UploadOptions(),  # noqa: B008 (frozen)
) -> Conducted[T]:
    """A whole execution, from its row to Uploaded; of one that was begun before, what is left of it."""
    context = call(begin_execution, request)
    result = None
    if needs_user_code(context):
        try:
            context = call(download_inputs, context)
            result = call(run_user_code, context, user_code)
        except Interruption as e:
            if writer_elsewhere(context) is None:
                interrupt(context, e)
            raise
    deliver_outputs(context, options, call=call)
    return Conducted(context, result)


def deliver_outputs(
    context: Context,
    options: UploadOptions = UploadOptions(),  # noqa: B008 (frozen)
    *,
    call: Call = directly,
) -> bool:
    """Upload what is staged and end as Uploaded; False when there was nothing to do.

    An error leaves the execution Failed with everything staged; calling this again does only what is left.
    """
    if context.dry_run:
        logger.info("Dry run: nothing is uploaded. What would be is in %s.", context.staged)
        return False
    writer = writer_elsewhere(context)
    if writer is not None:
        logger.info("Execution %s is uploaded by %s; this process has nothing of it to upload.", context.rid, writer)
        return False
    if not _open_upload(context):
        return False
    began = time.monotonic()
    try:
        call(stage_outputs, context)
        call(upload_assets, context, options)
        call(flush_features, context, options)
        executions.merge_facts(journal_of(context), context.rid, {"upload_seconds": time.monotonic() - began})
        call(close_execution, context, options)
    except Interruption as e:
        interrupt(context, e)
        raise
    # whatever ends an upload early is recorded as such and goes on to the caller
    except BaseException as e:
        if status_of(context) is _S.Pending_Upload:
            _fail_upload(context, e)
        raise
    ownership.release(context.folder)
    return True


def _open_upload(context: Context) -> bool:
    """Bring the execution to Pending_Upload, if there is anything to upload."""
    entry = entry_of(context)
    journal = journal_of(context)
    match entry.status:
        case _S.Created:
            raise InvalidTransitionError(
                f"Execution {context.rid} is Created: it has not run, so there is nothing to upload. "
                "Run it in a with block, or call execution_start() and execution_stop(); or give it up with "
                f"`deriva-ml-prefect abort {context.rid}`."
            )
        case _S.Aborted:
            raise InvalidTransitionError(f"Execution {context.rid} is Aborted; nothing can be uploaded to it any more.")
        case _S.Uploaded if not (
            files.count_unsent(journal, context.rid) or features.count_unsent(journal, context.rid)
        ):
            return False
        case _S.Pending_Upload:
            hold(context)
            return True
        case _S.Running if ownership.owns(context.folder) and entry.user_code == "started" and not _was_killed(context):
            finish(context)
        case _:
            pass
    # a catalog that is away is the upload's to meet: it is tried again there
    advance(context, _S.Pending_Upload, patient=True)
    return True


def _was_killed(context: Context) -> bool:
    return bool(entry_of(context).facts.get("resumed"))


def _fail_upload(context: Context, error: BaseException) -> None:
    reason = describe_error(error)
    if isinstance(error, KeyboardInterrupt):
        reason = "cancelled during upload"
    try:
        advance(context, _S.Failed, reason, patient=True)
    except DerivaMLException as e:
        # the user's error is the one to see; this one is told beside it
        logger.warning("Execution %s could not be marked as Failed: %s", context.rid, e)
