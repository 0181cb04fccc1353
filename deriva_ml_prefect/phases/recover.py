"""Executions whose process is gone: finding them, and taking them over."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import chain

from deriva_ml_prefect.catalog import executions as catalog_executions
from deriva_ml_prefect.config.settings import Settings, load_settings
from deriva_ml_prefect.exceptions import (
    DerivaMLException,
    DerivaMLNotFoundError,
    DerivaMLOfflineError,
    DerivaMLOwnershipError,
)
from deriva_ml_prefect.journal import executions, files, flow_runs, manifest, ownership
from deriva_ml_prefect.journal.executions import Entry
from deriva_ml_prefect.journal.store import FILE_NAME, Journal, now, open_journal
from deriva_ml_prefect.phases.advance import advance, send_steps
from deriva_ml_prefect.phases.begin import complete_beginning
from deriva_ml_prefect.phases.context import Context, catalog_of, entry_of, journal_of, status_of
from deriva_ml_prefect.phases.door import door_of
from deriva_ml_prefect.phases.download import download_inputs
from deriva_ml_prefect.phases.heartbeat import forget_last_sign, given_back, hold, hold_to_look
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.reconciliation import Winner, reconcile
from deriva_ml_prefect.values.rid import RID, check_rid
from deriva_ml_prefect.values.status import ExecutionStatus, Outcome

logger = logging.getLogger(__name__)
_S = ExecutionStatus


def resume(address: Address, rid: RID) -> Context:
    """Take over an execution whose staged work is in this workspace; its status is what journal and catalog agree on.

    Raises DerivaMLNotFoundError when the workspace does not know it, DerivaMLOwnershipError when its owner lives,
    DerivaMLStateInconsistency when the two sides contradict each other.
    """
    context, was_dead = take_over(address, rid)
    journal = journal_of(context)
    with given_back(context, when=was_dead):
        manifest.rewrite(context.folder, rid, chain.from_iterable(files.pages(journal, rid)))
        if status_of(context) is _S.Created:
            complete_beginning(context)
        if was_dead and note_killed(context):
            executions.merge_facts(journal, rid, {"resumed": True})
    return context


def take_over(address: Address, rid: RID) -> tuple[Context, bool]:
    """Become the owner of an execution, and settle its status; whether its process was gone. Raises as `resume`."""
    context = find_here(address, rid)
    # whoever took it over from this very process may have ended since
    ownership.drop_if_taken_over(journal_of(context), context.folder, rid)
    was_dead = not ownership.owns(context.folder)
    if was_dead:
        hold_to_look(context, entry_of(context))
    else:
        hold(context)
    with given_back(context, when=was_dead):
        _reconcile(context)
        forget_last_sign(context)
    return context, was_dead


def find_here(address: Address, rid: RID) -> Context:
    """The execution in the workspace of this machine; DerivaMLNotFoundError says where it may be instead."""
    check_rid(rid, "Execution RID")
    settings = load_settings()
    workspace = settings.workspace(address)
    journal = open_journal(workspace) if (workspace / FILE_NAME).exists() else None
    entry = executions.read_execution(journal, rid) if journal else None
    if journal is None or entry is None:
        raise _unknown(rid, workspace=str(workspace))
    return _context(settings, address, journal, entry)


def note_killed(context: Context) -> bool:
    """Say of code that was started, and of whose end nobody could tell, that it was killed; whether it was so."""
    entry = entry_of(context)
    killed = entry.user_code == "started" and entry.outcome is Outcome.unknown
    if killed:
        executions.mark_user_code(journal_of(context), context.rid, "started", Outcome.killed)
    return killed


def reopen(address: Address, rid: RID) -> Context:
    """Take over an execution to go on with it: as `resume`, and one whose code never ran gets its inputs."""
    context = resume(address, rid)
    with given_back(context, when=status_of(context) is _S.Created):
        return download_inputs(context) if status_of(context) is _S.Created else context


def _unknown(rid: RID, *, workspace: str) -> DerivaMLNotFoundError:
    return DerivaMLNotFoundError(
        f"The workspace {workspace} does not know execution {rid}. What an execution staged is on the machine that ran "
        "it: resume it there, or set DERIVA_ML_HOME to its home folder. A finished execution is shown by "
        f"`deriva-ml-prefect show {rid}`."
    )


def _context(settings: Settings, address: Address, journal: Journal, entry: Entry) -> Context:
    return Context(
        entry.rid,
        address,
        settings.home,
        journal.workspace,
        flow_run_id=flow_runs.flow_run_of(journal, entry.rid),
        attempt=entry.attempt,
    )


def _reconcile(context: Context) -> None:
    """Settle what the journal and the catalog say of the status."""
    journal = journal_of(context)
    entry = entry_of(context)
    row = door_of(context).read()
    if row is None:
        if entry.registered:
            raise DerivaMLNotFoundError(
                f"Execution {context.rid} is not in catalog {context.address} any more. What it staged is in "
                f"{context.folder}."
            )
        row = catalog_executions.insert_execution(
            catalog_of(context),
            context.rid,
            workflow_rid=entry.workflow_rid,
            description=entry.description,
            status=_S.Created,
            detail=None,
        )
    if not entry.registered:
        executions.mark_registered(journal, context.rid, row.stored_status)
        return
    steps = executions.unsent_steps(journal, context.rid)
    unsent = bool(steps)
    next_step = steps[0].status if steps else None
    match reconcile(context.rid, entry.status, row.status, unsent=unsent, next_step=next_step):
        case Winner.catalog:
            executions.adopt_status(journal, context.rid, row.status, row.status_detail, row.stored_status)
        case Winner.journal:
            # the swap must name what the row holds now
            journal.write("write_catalog_status", rid=context.rid, catalog_status=row.stored_status)
            if not unsent:
                journal.write(
                    "append_history", rid=context.rid, status=entry.status, detail=entry.status_detail, sent=0
                )
            send_steps(context)
        case Winner.neither if unsent:
            journal.write("write_catalog_status", rid=context.rid, catalog_status=row.stored_status)
            send_steps(context)
        case Winner.neither:
            pass


@dataclass(frozen=True)
class Interrupted:
    """An execution of this workspace that is neither finished nor alive."""

    rid: RID
    status: ExecutionStatus
    status_detail: str | None
    user_code: str
    last_activity: str
    superseded_by: RID | None


def find_interrupted(address: Address) -> list[Interrupted]:
    """Executions whose owner is gone and whose work is not in the catalog, newest first."""
    workspace = load_settings().workspace(address)
    if not (workspace / FILE_NAME).exists():
        return []
    found = []
    for entry in executions.list_executions(open_journal(workspace)):
        if entry.status in (_S.Uploaded, _S.Aborted) or entry.superseded_by or entry.facts.get("suspended"):
            continue
        owner = ownership.owner_of(workspace / "executions" / entry.rid)
        if owner is None or not owner.alive:
            found.append(
                Interrupted(
                    entry.rid,
                    entry.status,
                    entry.status_detail,
                    entry.user_code,
                    entry.last_activity,
                    entry.superseded_by,
                )
            )
    return found


def note_interrupted(address: Address) -> list[Interrupted]:
    """As `find_interrupted`, and the catalog is told of each owner that is gone, and of what it was not told before.

    An execution of which the catalog does not take it is told in a warning, and does not hide the others.
    """
    send_late_steps(address)
    for item in find_interrupted(address):
        try:
            note_lost_owner(address, item.rid)
        except DerivaMLException as e:
            logger.warning("Execution %s: %s", item.rid, e)
    return find_interrupted(address)


def send_late_steps(address: Address) -> list[RID]:
    """Tell the catalog what it was not told because it was away: of executions that nobody owns; their RIDs."""
    settings = load_settings()
    workspace = settings.workspace(address)
    if not (workspace / FILE_NAME).exists():
        return []
    journal = open_journal(workspace)
    told = []
    for entry in executions.list_executions(journal):
        if not entry.registered or not executions.unsent_steps(journal, entry.rid):
            continue
        owner = ownership.owner_of(workspace / "executions" / entry.rid)
        if owner is not None and owner.alive:
            continue
        context = _context(settings, address, journal, entry)
        if not _hold_if_free(context, entry):
            continue
        try:
            send_steps(context)
            told.append(entry.rid)
        except DerivaMLException as e:
            logger.warning("Execution %s: the catalog was not told that it is %s: %s", entry.rid, entry.status, e)
        finally:
            ownership.release(context.folder)
    return told


def note_lost_owner(address: Address, rid: RID) -> bool:
    """Say in Status_Detail of a dead execution that its owner is gone and how to go on; False when it is not dead.

    The status itself stays: only an owner, a resume or an abort changes it.
    """
    settings = load_settings()
    workspace = settings.workspace(address)
    if not (workspace / FILE_NAME).exists():
        return False
    journal = open_journal(workspace)
    entry = executions.read_execution(journal, rid)
    owner = ownership.owner_of(workspace / "executions" / rid)
    if entry is None or not _lost_unnoted(entry) or (owner and owner.alive):
        return False
    context = _context(settings, address, journal, entry)
    if not _hold_if_free(context, entry):
        return False
    try:
        # it may have been resumed since the first look, and have ended
        entry = entry_of(context)
        if not _lost_unnoted(entry):
            return False
        advance(
            context, entry.status, f"owner lost at {now()}; resume with: deriva-ml-prefect resume {rid}", patient=True
        )
    finally:
        ownership.release(context.folder)
    return True


def _lost_unnoted(entry: Entry) -> bool:
    """Whether an execution is one whose owner has to be there, and nothing says yet that it is not."""
    noted = (entry.status_detail or "").startswith("owner lost")
    return entry.status in (_S.Running, _S.Pending_Upload) and not entry.facts.get("suspended") and not noted


def _hold_if_free(context: Context, entry: Entry) -> bool:
    """Become the owner; False where another process has become it since somebody looked."""
    try:
        hold_to_look(context, entry)
    except DerivaMLOwnershipError:
        return False
    return True


def note_end(address: Address, flow_run_id: str, *, ended: str, message: str) -> None:
    """What an orchestrator's hook knows: its flow run `failed`, `crashed` or was `cancelled`.

    Repeats or repairs the status of the run's last execution: nothing happens when it is settled already, or when a
    live process owns it. A cancelled run is Aborted before its upload and Failed during it.
    """
    settings = load_settings()
    workspace = settings.workspace(address)
    if not (workspace / FILE_NAME).exists():
        return
    journal = open_journal(workspace)
    rids = flow_runs.executions_of(journal, flow_run_id)
    if not rids:
        return
    entry = executions.read_execution(journal, rids[-1])
    if entry is None or entry.status in (_S.Uploaded, _S.Aborted):
        return
    if entry.status is _S.Failed and not (ended == "cancelled" and _was_ended_by_signal(entry)):
        return
    context = _context(settings, address, journal, entry)
    mine = ownership.owns(context.folder)
    owner = ownership.owner_of(context.folder)
    if owner and owner.alive and not mine:
        return
    if ended == "cancelled" or mine:
        hold(context)
        target = _end_status(entry, ended)
        try:
            if target is not None:
                advance(context, target, message, patient=True)
        finally:
            if not mine:
                # the process of a hook may live on, as that of a runner does, and others finish the execution
                ownership.release(context.folder)
        return
    try:
        note_lost_owner(address, context.rid)
    except DerivaMLOfflineError as e:
        logger.warning("The catalog was not told that the owner of execution %s is gone: %s", context.rid, e)
    except DerivaMLException as e:
        logger.warning("Execution %s: %s", context.rid, e)


def _was_ended_by_signal(entry: Entry) -> bool:
    """Whether the signal is all that is known of the end: the process could not learn what it was sent for."""
    return entry.user_code == "started" and (entry.status_detail or "").startswith("TerminationSignal")


def _end_status(entry: Entry, ended: str) -> ExecutionStatus | None:
    if entry.status is _S.Pending_Upload:
        return _S.Failed
    if ended == "cancelled":
        return _S.Aborted if entry.status in (_S.Created, _S.Running, _S.Stopped, _S.Failed) else None
    return _S.Failed if entry.status is _S.Running else None
