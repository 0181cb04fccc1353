"""Which executions this machine knows, and what they have staged. No catalog is asked, so it is quick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.exceptions import DerivaMLException
from deriva_ml_prefect.journal import executions, ownership
from deriva_ml_prefect.journal.outlines import Outline, Waiting, count_waiting, read_outlines
from deriva_ml_prefect.journal.store import FILE_NAME, open_journal
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.frozen import Frozen
from deriva_ml_prefect.values.liveness import Liveness
from deriva_ml_prefect.values.rid import RID
from deriva_ml_prefect.values.status import SETTLED, ExecutionStatus

_S = ExecutionStatus
NOTHING = Waiting()


class Wanted(Frozen):
    """Which executions a list is to show; what is None does not matter."""

    statuses: frozenset[ExecutionStatus] | None = None
    workflow: str | None = None
    """RID, name, URL or checksum."""
    interrupted: bool = False
    """Only those that a resume would help: neither finished, given up nor superseded, and without a process."""
    limit: int | None = None


class ListedExecution(Frozen):
    """An execution as a list shows it. Times are ISO 8601 with offset."""

    address: Address
    rid: RID
    status: ExecutionStatus
    status_detail: str | None
    outcome: str | None
    """What became of the code; None where it is not known here."""
    liveness: Liveness | None
    workflow: str | None
    workflow_rid: RID | None
    description: str | None
    started: str | None
    """None for one that has not run."""
    created: str
    waiting: Waiting = NOTHING
    """What this machine has staged of it and not sent."""
    here: bool = True
    """Whether the journal of this machine knows it."""
    interrupted: bool = False


class LocalExecutions(Frozen):
    """The executions, newest first; workspaces that could not be read, with the reason; and folders of executions that
    the journal beside them does not know, though files are staged there: it was lost, or put back from an older copy.
    """

    executions: tuple[ListedExecution, ...]
    unread: tuple[tuple[str, str], ...] = ()
    forgotten: tuple[str, ...] = ()


def list_local_executions(wanted: Wanted, *, host: str | None = None, catalog: str | None = None) -> LocalExecutions:
    """Executions of all workspaces below `DERIVA_ML_HOME`, or of those of a host or a catalog."""
    found: list[ListedExecution] = []
    unread: list[tuple[str, str]] = []
    forgotten: list[str] = []
    for workspace in sorted(path for path in (load_settings().home / "workspaces").glob("*/*") if path.is_dir()):
        try:
            if (workspace / FILE_NAME).exists():
                found += _of_workspace(workspace, wanted, host, catalog)
            forgotten += _forgotten(workspace)
        except DerivaMLException as e:
            unread.append((str(workspace), str(e)))
    newest = sorted(found, key=lambda item: item.created, reverse=True)
    return LocalExecutions(tuple(newest[: wanted.limit]), tuple(unread), tuple(forgotten))


def _forgotten(workspace: Path) -> list[str]:
    """Folders of executions in which something is staged that the journal knows nothing of."""
    folders = {path.name: path for path in (workspace / "executions").glob("*")}
    if folders and (workspace / FILE_NAME).exists():
        for rid in executions.list_rids(open_journal(workspace)):
            folders.pop(rid, None)
    return [str(path) for _, path in sorted(folders.items()) if any(map(Path.is_file, path.glob("staged/**/*")))]


def known_here(address: Address) -> dict[RID, ListedExecution]:
    """What the workspace of one catalog knows, by RID."""
    workspace = load_settings().workspace(address)
    if not (workspace / FILE_NAME).exists():
        return {}
    return {item.rid: item.replace(address=address) for item in _of_workspace(workspace, Wanted(), None, None)}


def _of_workspace(workspace: Path, wanted: Wanted, host: str | None, catalog: str | None) -> list[ListedExecution]:
    journal = open_journal(workspace)
    chosen: list[ListedExecution] = []
    addresses: dict[str, Address] = {}
    for outline in read_outlines(journal):
        address = addresses.setdefault(repr(outline.address), _address(outline.address))
        named = host in (None, address.hostname) and catalog in (None, address.catalog_id)
        if not named or not _is_wanted(outline, wanted):
            continue
        item = _listed(workspace, outline, address)
        if item.interrupted or not wanted.interrupted:
            chosen.append(item)
        if len(chosen) == wanted.limit:
            break
    waiting = count_waiting(journal, [item.rid for item in chosen])
    return [item.replace(waiting=waiting[item.rid]) for item in chosen]


def _address(fields: Mapping[str, Any]) -> Address:
    return Address(**{**fields, "domain_schemas": tuple(fields.get("domain_schemas", ()))})


def _is_wanted(outline: Outline, wanted: Wanted) -> bool:
    names = (outline.workflow_rid, outline.workflow, outline.workflow_url, outline.workflow_checksum)
    return (wanted.statuses is None or outline.status in wanted.statuses) and wanted.workflow in (None, *names)


def _listed(workspace: Path, outline: Outline, address: Address) -> ListedExecution:
    ended = outline.status in (_S.Uploaded, _S.Aborted)
    owner = None if ended else ownership.owner_of(workspace / "executions" / outline.rid)
    alive = owner is not None and owner.alive
    if outline.status in SETTLED:
        liveness = Liveness.settled
    else:
        liveness = Liveness.alive if alive else Liveness.dead
    return ListedExecution(
        address=address,
        rid=outline.rid,
        status=outline.status,
        status_detail=outline.status_detail,
        outcome=outline.outcome.value,
        liveness=liveness,
        workflow=outline.workflow,
        workflow_rid=outline.workflow_rid,
        description=outline.description,
        started=outline.started_at,
        created=outline.created_at,
        interrupted=not (ended or alive or outline.superseded_by),
    )


def listed_document(items: Sequence[ListedExecution]) -> list[dict[str, Any]]:
    """The list for programs, JSON-able."""
    return [
        {
            "execution_rid": item.rid,
            "catalog": str(item.address),
            "status": item.status.value,
            "status_detail": item.status_detail,
            "outcome": item.outcome,
            "process": item.liveness.value if item.liveness else None,
            "interrupted": item.interrupted,
            "workflow": item.workflow,
            "workflow_rid": item.workflow_rid,
            "description": item.description,
            "created": item.created,
            "started": item.started,
            "staged": item.waiting.as_dict(),
            "on_this_machine": item.here,
        }
        for item in items
    ]
