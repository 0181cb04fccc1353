"""An execution that goes on where another one did not finish: which one that is, and what becomes of it."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from deriva_ml_prefect.exceptions import DerivaMLAttemptError, DerivaMLNotFoundError, DerivaMLOwnershipError
from deriva_ml_prefect.journal import executions, flow_runs, ownership
from deriva_ml_prefect.journal.executions import Entry
from deriva_ml_prefect.journal.store import Journal
from deriva_ml_prefect.phases.advance import advance
from deriva_ml_prefect.phases.context import Context
from deriva_ml_prefect.phases.heartbeat import given_back, hold_to_look
from deriva_ml_prefect.values.rid import RID, check_rid
from deriva_ml_prefect.values.status import ExecutionStatus, Outcome

logger = logging.getLogger(__name__)
_S = ExecutionStatus
_LEFT_BEHIND = {
    _S.Created: _S.Aborted,
    _S.Running: _S.Aborted,
    _S.Stopped: _S.Aborted,
    # Pending_Upload cannot become Aborted
    _S.Pending_Upload: _S.Failed,
}
"""What becomes of an execution that another one goes on with; Failed stays as it is."""


def take_unfinished(at: Context, journal: Journal, rid: RID) -> Context:
    """Become the owner of the execution that a new one is to go on with; `at` says where it is looked for.

    Raises DerivaMLNotFoundError when this workspace does not know it, DerivaMLOwnershipError when it is still at work,
    DerivaMLAttemptError when its code has finished or another execution goes on with it already.
    """
    check_rid(rid, "continues")
    entry = _unfinished(at, journal, rid)
    old = replace(at, rid=rid, attempt=entry.attempt, flow_run_id=flow_runs.flow_run_of(journal, rid))
    if ownership.owns(old.folder) and entry.status in (_S.Running, _S.Pending_Upload):
        raise DerivaMLOwnershipError(
            f"Execution {rid} is {entry.status} in this very process. End its with block before another execution goes "
            "on with it."
        )
    owned = ownership.owns(old.folder)
    if not owned:
        hold_to_look(old, entry)
    with given_back(old, when=not owned):
        # another process may have gone on with it since
        _unfinished(at, journal, rid)
    return old


def _unfinished(at: Context, journal: Journal, rid: RID) -> Entry:
    """The entry of an execution that another one may go on with."""
    entry = executions.read_execution(journal, rid)
    if entry is None:
        raise DerivaMLNotFoundError(
            f"The workspace {at.workspace} does not know execution {rid}, so no new one can go on with it. Its "
            "checkpoints are on the machine that ran it: begin there, or set DERIVA_ML_HOME to its home folder."
        )
    if entry.superseded_by:
        raise DerivaMLAttemptError(
            f"Execution {rid} is continued by {entry.superseded_by} already, which has its checkpoints. Go on with "
            f"that one: continues={entry.superseded_by!r}."
        )
    if entry.user_code == "finished":
        raise DerivaMLAttemptError(
            f"The code of execution {rid} has finished (status {entry.status}), so there is nothing to go on with. "
            f"Upload what it staged with `deriva-ml-prefect resume {rid}`. To train on with what it made, begin a new "
            "execution that has its outputs among its assets=."
        )
    return entry


def leave_behind(old: Context, journal: Journal, new: RID) -> None:
    """Say of an execution whose code did not finish that another one runs it again. Failed stays Failed.

    Code that was started and of whose end nobody could tell was killed: that is its outcome.
    """
    entry = executions.read_execution(journal, old.rid)
    if entry is not None:
        if entry.user_code == "started" and entry.outcome is Outcome.unknown:
            executions.mark_user_code(journal, old.rid, "started", Outcome.killed)
        target = _LEFT_BEHIND.get(entry.status)
        if target is not None:
            advance(old, target, f"superseded by {new}", patient=True)
    ownership.release(old.folder)


def tell_of_unfinished(journal: Journal, workflow_rid: RID, *, checkpoints: str = "checkpoints") -> RID | None:
    """Say in one line that an earlier run of the same code did not finish, and what can be done; its RID."""
    found = [entry for entry in executions.list_executions(journal) if _is_unfinished(journal, entry, workflow_rid)]
    if not found:
        return None
    last = found[0]
    folder = journal.workspace / "executions" / last.rid / checkpoints
    has = " and has checkpoints" if _holds_anything(folder) else ""
    others = f" ({len(found) - 1} more are like it: ml.find_interrupted().)" if len(found) > 1 else ""
    logger.warning(
        "Execution %s of the same workflow was killed while it ran (%s)%s. `deriva-ml-prefect resume %s` uploads what "
        "it staged; ml.create_execution(..., continues=%r) begins an execution that goes on from its checkpoints. "
        "This one begins anew.%s",
        *(last.rid, last.last_activity[:19], has, last.rid, last.rid, others),
    )
    return last.rid


def _is_unfinished(journal: Journal, entry: Entry, workflow_rid: RID) -> bool:
    """Whether the code was running when its process died. A flow run is taken up by its orchestrator."""
    return (
        entry.workflow_rid == workflow_rid
        and entry.user_code == "started"
        and entry.status in (_S.Running, _S.Pending_Upload)
        and entry.superseded_by is None
        and flow_runs.flow_run_of(journal, entry.rid) is None
        and not _is_alive(journal.workspace / "executions" / entry.rid)
    )


def _is_alive(folder: Path) -> bool:
    owner = ownership.owner_of(folder)
    return owner is not None and owner.alive


def _holds_anything(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
