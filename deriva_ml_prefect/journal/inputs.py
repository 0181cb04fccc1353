"""What an execution reads: datasets in a fixed version, and single assets. Every retry uses what is noted here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deriva_ml_prefect.journal.store import Journal
from deriva_ml_prefect.values.rid import RID


@dataclass(frozen=True)
class Input:
    kind: str
    """`dataset` or `asset`."""
    rid: RID
    facts: Mapping[str, Any]
    """Dataset: version, version_rid, snapshot, path. Asset: asset_table, file_name, md5, path."""


def note_input(journal: Journal, execution_rid: RID, kind: str, rid: RID, facts: Mapping[str, Any]) -> None:
    """Add an input, or facts to one."""
    journal.write("upsert_input", execution_rid=execution_rid, kind=kind, rid=rid, facts=json.dumps(dict(facts)))


def list_inputs(journal: Journal, execution_rid: RID, kind: str | None = None) -> list[Input]:
    rows = journal.rows("select_inputs", execution_rid=execution_rid)
    found = [Input(row["kind"], row["rid"], json.loads(row["facts"])) for row in rows]
    return [item for item in found if kind is None or item.kind == kind]
