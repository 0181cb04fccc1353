"""Change the status of an execution: the only writer of status, in the journal first and then in the catalog.

Each step is checked against the transition table, recorded under the owner's token, and sent as a compare-and-swap.
Steps that could not be sent stay in the journal and go out, in order, before the next one.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import defaultdict
from pathlib import Path

from deriva_ml_prefect.exceptions import DerivaMLOfflineError, DerivaMLOwnershipError
from deriva_ml_prefect.journal import executions, ownership
from deriva_ml_prefect.journal.executions import Step
from deriva_ml_prefect.phases.context import Context, check_writable, entry_of, journal_of
from deriva_ml_prefect.phases.door import door_of
from deriva_ml_prefect.phases.heartbeat import hold
from deriva_ml_prefect.phases.scrubbing import scrubber
from deriva_ml_prefect.values.columns import spelled_out
from deriva_ml_prefect.values.durations import told_durations
from deriva_ml_prefect.values.status import ExecutionStatus, check_transition

logger = logging.getLogger(__name__)

MAX_DETAIL = 4000
"""Characters of Status_Detail that are kept."""

_sending: defaultdict[Path, threading.RLock] = defaultdict(threading.RLock)
"""Threads of one process send the steps of an execution one after the other: a swap names what the last one wrote."""
os.register_at_fork(after_in_child=_sending.clear)


def advance(context: Context, target: ExecutionStatus, detail: str | None = None, *, patient: bool = False) -> None:
    """Bring the execution to `target`, or give it a new message under the same status.

    `patient`: when the catalog cannot be reached the step stays in the journal, a warning says so, and the run goes on.
    Raises InvalidTransitionError, DerivaMLOwnershipError (somebody else wrote the status), DerivaMLOfflineError.
    """
    check_writable(context)
    # an error may name a file whose name is no text; what it says must not keep the status from being written
    text = spelled_out(scrubber(context.home).text(detail)) if detail else None
    if text is not None and len(text) > MAX_DETAIL:
        text = text[: MAX_DETAIL - 1] + "…"
    _record(context, target, text)
    try:
        send_steps(context)
    except DerivaMLOfflineError as e:
        if not patient:
            raise
        logger.warning("The catalog was not told that execution %s is %s; it will be. (%s)", context.rid, target, e)


def _record(context: Context, target: ExecutionStatus, text: str | None) -> None:
    """Check the edge and write it as the owner, in one transaction; who may not write it owns no more than before."""
    journal = journal_of(context)
    owned = ownership.owns(context.folder)
    token = hold(context)
    try:
        with journal.transaction():
            check_transition(entry_of(context).status, target, subject=f"Execution {context.rid}")
            executions.write_status(journal, context.rid, target, text, owner=token)
    except BaseException:
        if not owned:
            ownership.release(context.folder)
        raise


def send_steps(context: Context) -> None:
    """Send the steps that the catalog has not confirmed, in order; of messages under one status only the last."""
    with _sending[context.folder]:
        _send_steps(context)


def _send_steps(context: Context) -> None:
    journal = journal_of(context)
    door = door_of(context)
    entry = entry_of(context)
    stored = entry.catalog_status
    for step in _last_of_each(executions.unsent_steps(journal, context.rid)):
        spelled = door.spell(step.status)
        # the durations are known when all is there, and go with the word that it is
        durations = told_durations(entry.facts) if step.status is ExecutionStatus.Uploaded else {}
        if not door.swap_status(stored, step.status, step.detail, durations):
            _settle(context, step, spelled)
        executions.mark_sent(journal, context.rid, step.number, spelled)
        stored = spelled


def _last_of_each(steps: list[Step]) -> list[Step]:
    followed = zip(steps, [*steps[1:], None], strict=True)
    return [step for step, after in followed if after is None or after.status != step.status]


def _settle(context: Context, step: Step, spelled: str) -> None:
    """A swap changed nothing: either an earlier send of this very step did, or somebody else wrote the status."""
    row = door_of(context).read()
    if row is not None and row.status == step.status and (row.status_detail or None) == (step.detail or None):
        return
    executions.mark_sent(journal_of(context), context.rid, step.number, spelled)
    if row is None:
        raise DerivaMLOwnershipError(
            f"Execution {context.rid} is not in catalog {context.address} any more: somebody deleted its row. "
            f"What it staged is still in {context.folder}."
        )
    executions.adopt_status(journal_of(context), context.rid, row.status, row.status_detail, row.stored_status)
    raise DerivaMLOwnershipError(
        f"Execution {context.rid} was to become {step.status}, but somebody else has made it {row.status} "
        f"({row.status_detail or 'no message'}). This process writes nothing more; what it staged is in "
        f"{context.folder}. Look at it with `deriva-ml-prefect show {context.rid}`."
    )
