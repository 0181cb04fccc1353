"""Executions whose code finished in one flow run, and whose upload another one goes on with."""

from __future__ import annotations

from dataclasses import dataclass

from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.journal import executions, flow_runs, ownership
from deriva_ml_prefect.journal.store import FILE_NAME, open_journal
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.rid import RID
from deriva_ml_prefect.values.status import ExecutionStatus

_S = ExecutionStatus


@dataclass(frozen=True)
class Left:
    """One whose outputs wait on this machine."""

    rid: RID
    flow_run_ids: tuple[str, ...]
    """The flow runs that have worked on it, the one that began it first."""


def find_left(address: Address) -> list[Left]:
    """Those of this workspace that flow runs have begun, and no other process owns; the newest first."""
    workspace = load_settings().workspace(address)
    if not (workspace / FILE_NAME).exists():
        return []
    journal = open_journal(workspace)
    found = []
    for entry in executions.list_executions(journal):
        if entry.user_code != "finished" or entry.status not in (_S.Stopped, _S.Failed, _S.Pending_Upload):
            continue
        runs = tuple(flow_runs.flow_runs_of(journal, entry.rid))
        folder = workspace / "executions" / entry.rid
        owner = ownership.owner_of(folder)
        if runs and (owner is None or not owner.alive or ownership.owns(folder)):
            found.append(Left(entry.rid, runs))
    return found


def go_on_with(address: Address, left: Left, flow_run_id: str) -> None:
    """From here on, this flow run too works on the execution: what it begins is the upload that is left."""
    flow_runs.bind_flow_run(open_journal(load_settings().workspace(address)), flow_run_id, 1, left.rid)
