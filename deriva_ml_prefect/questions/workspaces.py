"""Which workspace of this machine knows an execution."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.exceptions import DerivaMLConfigurationError
from deriva_ml_prefect.journal import flow_runs
from deriva_ml_prefect.journal.store import list_workspaces, open_journal
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.rid import RID


def find_workspaces(named: RID) -> list[Address]:
    """Catalogs whose workspace below `DERIVA_ML_HOME` has an execution of this RID, the one used last first.

    Instead of a RID, the id of a flow run of the execution does as well. A workspace that cannot be read is in the way
    only where no other knows the execution: then its error is raised.
    """
    found: list[tuple[str, Address]] = []
    unread: list[DerivaMLConfigurationError] = []
    for workspace in list_workspaces(load_settings().home):
        try:
            row = _row(workspace, named)
        except DerivaMLConfigurationError as e:
            unread.append(e)
            continue
        if row is not None:
            known = json.loads(row["address"])
            known["domain_schemas"] = tuple(known.get("domain_schemas", ()))
            found.append((row["last_activity"], Address(**known)))
    if unread and not found:
        raise unread[0]
    return [address for _, address in sorted(found, key=lambda item: item[0], reverse=True)]


def _row(workspace: Path, named: str) -> sqlite3.Row | None:
    journal = open_journal(workspace)
    ran = flow_runs.executions_of(journal, named)
    return journal.row("select_execution", rid=ran[-1] if ran else named)
