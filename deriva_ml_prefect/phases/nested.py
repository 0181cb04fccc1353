"""Parts of an execution: linking them, and waiting until one that lost its machine may be taken over."""

from __future__ import annotations

import logging
import time

from deriva_ml_prefect.catalog import executions
from deriva_ml_prefect.catalog.connection import catalog_for
from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.journal import flow_runs, ownership
from deriva_ml_prefect.journal.store import FILE_NAME, open_journal
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.rid import RID

logger = logging.getLogger(__name__)
_PAUSE = 1.0


def link_part(address: Address, parent: RID, part: RID, sequence: int | None) -> None:
    """Say in the catalog that an execution which was there before is a part of another one."""
    executions.link_nested(catalog_for(address), parent, part, sequence=sequence)


def await_owner(address: Address, flow_run_id: str) -> None:
    """Wait while another machine may still own the execution of a flow run: until it has missed its signs of life."""
    settings = load_settings()
    workspace = settings.workspace(address)
    if not (workspace / FILE_NAME).exists():
        return
    rids = flow_runs.executions_of(open_journal(workspace), flow_run_id)
    if not rids:
        return
    folder = workspace / "executions" / rids[-1]
    deadline = time.monotonic() + (ownership.MISSED + 1) * settings.heartbeat
    told = False
    while time.monotonic() < deadline:
        owner = ownership.owner_of(folder)
        if owner is None or not owner.alive or not owner.elsewhere:
            return
        if not told:
            logger.info("Execution %s may still be at work on %s; waiting for signs of life.", rids[-1], owner.host)
            told = True
        time.sleep(_PAUSE)
