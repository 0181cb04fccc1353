"""Whether the processes of executions are at work: told by the lock on this machine, by signs of life elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from deriva_ml_prefect.catalog import assets
from deriva_ml_prefect.catalog.connection import Catalog, catalog_for
from deriva_ml_prefect.catalog.rows import get_rows
from deriva_ml_prefect.catalog.urls import any_of, batches_of_values, quote, table_name
from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.journal import ownership
from deriva_ml_prefect.journal.executions import read_execution
from deriva_ml_prefect.journal.store import FILE_NAME, open_journal
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.liveness import LAST_SIGN, Liveness, judge_from_afar, promised_seconds
from deriva_ml_prefect.values.names import MLAsset
from deriva_ml_prefect.values.records import ExecutionRecord
from deriva_ml_prefect.values.rid import RID
from deriva_ml_prefect.values.status import SETTLED


def with_liveness(address: Address, records: Sequence[ExecutionRecord]) -> list[ExecutionRecord]:
    """The records just read from the catalog, each with what is known of its process.

    Ages are by the server's clock. One more request is sent for those of other machines that have been quiet.
    """
    catalog = catalog_for(address)
    found: dict[RID, ExecutionRecord] = {}
    quiet: dict[RID, float] = {}
    for record in records:
        if record.status in SETTLED:
            found[record.rid] = replace(record, liveness=Liveness.settled, last_sign_of_life=record.modified)
            continue
        here = _on_this_machine(address, record)
        if here is not None:
            found[record.rid] = here
            continue
        age = _age(catalog, record)
        judged = judge_from_afar(age, None)
        found[record.rid] = replace(record, liveness=judged, last_sign_of_life=record.modified)
        if judged is not Liveness.alive:
            quiet[record.rid] = age
    promises = _promises(catalog, list(quiet)) if quiet else {}
    for rid, age in quiet.items():
        found[rid] = replace(found[rid], liveness=judge_from_afar(age, promises.get(rid)))
    return [found[record.rid] for record in records]


def _on_this_machine(address: Address, record: ExecutionRecord) -> ExecutionRecord | None:
    """Told by the lock; None for an execution of another machine, as far as this one knows."""
    workspace = load_settings().workspace(address)
    if not (workspace / FILE_NAME).exists():
        return None
    entry = read_execution(open_journal(workspace), record.rid)
    if entry is None:
        return None
    owner = ownership.owner_of(workspace / "executions" / record.rid)
    alive = owner is not None and owner.alive
    last = max(record.modified, entry.last_activity, key=datetime.fromisoformat)
    if not alive:
        # whoever found that it is gone wrote so into the row since
        last = str(entry.facts.get(LAST_SIGN) or last)
    return replace(record, liveness=Liveness.alive if alive else Liveness.dead, last_sign_of_life=last)


def _age(catalog: Catalog, record: ExecutionRecord) -> float:
    """Seconds since the row was changed last."""
    present = catalog.client.server_time() or datetime.now(UTC)
    return (present - datetime.fromisoformat(record.modified)).total_seconds()


def _promises(catalog: Catalog, rids: Sequence[RID]) -> dict[RID, float]:
    """How often executions promised a sign of life, in seconds; those that promised none are left out.

    The promise stands in the description of one of their metadata files.
    """
    table = assets.asset_table(catalog, (catalog.address.ml_schema, MLAsset.execution_metadata))
    to_files = f"({quote(table.execution_asset_column)})=({table_name(table.schema, table.name)}:RID)"
    found: dict[RID, float] = {}
    for batch in batches_of_values(list(rids)):
        path = f"attribute/L:={table_name(table.execution_schema, table.execution_table)}/"
        path += f"{any_of(table.execution_execution_column, batch)}/M:={to_files}/"
        path += f"execution:=L:{quote(table.execution_execution_column)},M:Description"
        for row in get_rows(catalog, path):
            seconds = promised_seconds(row["Description"])
            if seconds is not None:
                found[row["execution"]] = seconds
    return found
