"""Executions whose code finished in one flow run, and whose upload another one goes on with."""

from __future__ import annotations

from dataclasses import dataclass

from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.journal import flow_runs, ownership
from deriva_ml_prefect.journal.store import FILE_NAME, open_journal
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.rid import RID


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
    for rid, runs in flow_runs.list_left(journal).items():
        folder = workspace / "executions" / rid
        owner = ownership.owner_of(folder)
        if owner is None or not owner.alive or ownership.owns(folder):
            found.append(Left(rid, tuple(runs)))
    return found


def go_on_with(address: Address, left: Left, flow_run_id: str) -> None:
    """From here on, this flow run too works on the execution: what it begins is the upload that is left."""
    flow_runs.bind_flow_run(open_journal(load_settings().workspace(address)), flow_run_id, 1, left.rid)
