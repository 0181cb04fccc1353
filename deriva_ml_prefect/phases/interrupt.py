"""An execution that is left on purpose, neither done nor failed: suspended, cancelled, or said to have failed.

What asks for that (an orchestrator) raises an `Interruption` where a phase would begin, or in the user's code. No
`except Exception` of a user catches it. `interrupt` is what becomes of the execution.
"""

from __future__ import annotations

import logging

from deriva_ml_prefect.exceptions import DerivaMLException
from deriva_ml_prefect.journal import executions, ownership
from deriva_ml_prefect.journal.store import now
from deriva_ml_prefect.phases.advance import advance
from deriva_ml_prefect.phases.context import Context, check_writable, entry_of, journal_of
from deriva_ml_prefect.values.status import ExecutionStatus, Outcome

logger = logging.getLogger(__name__)
_S = ExecutionStatus


class Interruption(BaseException):
    """The execution is left where it is."""


class ExecutionSuspended(Interruption):
    """It goes on later, in another process, from where it stands."""


class ExecutionCancelled(Interruption):
    """It is given up: Aborted before its upload, Failed in it."""


class ExecutionDisowned(Interruption):
    """Somebody else has said that it failed: it does not go on by itself, and what it staged is kept."""


def interrupt(context: Context, why: Interruption) -> None:
    """Write what an interruption makes of the execution, and own it no longer. A catalog that is away is told later."""
    if context.dry_run:
        return
    try:
        check_writable(context)
        entry = entry_of(context)
        match why:
            case _ if entry.status in (_S.Uploaded, _S.Aborted):
                pass
            case ExecutionSuspended() if entry.status is _S.Failed:
                # code that failed before it was left is not suspended: its error is what is to be seen
                pass
            case ExecutionSuspended():
                executions.merge_facts(journal_of(context), context.rid, {"suspended": now(), "paused": None})
                advance(context, entry.status, f"suspended at {now()}: {why}", patient=True)
            case ExecutionCancelled() if entry.status is _S.Pending_Upload:
                advance(context, _S.Failed, f"cancelled during upload: {why}", patient=True)
            case ExecutionCancelled():
                advance(context, _S.Aborted, f"cancelled: {why}", patient=True)
            # what was computed is neither hidden nor called a failure of the code: Stopped cannot become Failed
            case _:
                target = _S.Failed if entry.status in (_S.Running, _S.Pending_Upload) else entry.status
                advance(context, target, str(why), patient=True)
    except DerivaMLException as e:
        # why the run ends is what its caller has to see; this is told beside it
        logger.warning("Execution %s could not be marked as interrupted: %s", context.rid, e)
    ownership.release(context.folder)


def leave_code(context: Context, why: Interruption) -> None:
    """Mark user's code that an interruption ended in the middle: suspended code runs again, cancelled was killed."""
    journal = journal_of(context)
    if isinstance(why, ExecutionSuspended):
        # who suspends a run asks for its code to go on, so it is called again within the same execution
        executions.mark_user_code(journal, context.rid, "idle", Outcome.unknown)
    else:
        executions.mark_user_code(journal, context.rid, "started", Outcome.killed)


def go_on(context: Context) -> None:
    """A suspended execution is taken up again."""
    entry = entry_of(context)
    if not entry.facts.get("suspended"):
        return
    executions.merge_facts(journal_of(context), context.rid, {"suspended": None})
    if entry.status not in (_S.Uploaded, _S.Aborted):
        advance(context, entry.status, f"goes on after it was suspended at {entry.facts['suspended']}", patient=True)


def tell_of_pause(context: Context, *, paused: bool, how: str) -> None:
    """Say in Status_Detail that the run waits for a person, and afterwards what it said before."""
    entry = entry_of(context)
    if entry.status in (_S.Uploaded, _S.Aborted, _S.Failed):
        return
    journal = journal_of(context)
    kept = entry.facts.get("paused")
    told = (entry.status_detail or "").startswith("paused at ")
    if paused and not told:
        if kept is None:
            kept = {"status": entry.status.value, "detail": entry.status_detail}
            executions.merge_facts(journal, context.rid, {"paused": kept})
        advance(context, entry.status, f"paused at {now()}: {how}", patient=True)
    elif not paused and kept is not None:
        executions.merge_facts(journal, context.rid, {"paused": None})
        if told:
            before = kept.get("detail") if kept["status"] == entry.status else None
            advance(context, entry.status, before or "goes on", patient=True)
