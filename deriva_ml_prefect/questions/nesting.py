"""Executions that are parts of others."""

from __future__ import annotations

from deriva_ml_prefect.catalog import executions
from deriva_ml_prefect.catalog.connection import catalog_for
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.records import ExecutionRecord
from deriva_ml_prefect.values.rid import RID


def nested_executions(
    address: Address, rid: RID, *, parents: bool = False, recurse: bool = False
) -> list[ExecutionRecord]:
    """The parts of an execution in their order, or what it is a part of; `recurse` goes on to the end, each once."""
    catalog = catalog_for(address)
    found: dict[RID, None] = {}
    waiting = [rid]
    while waiting:
        nearest = [other for other, _ in executions.list_nested(catalog, waiting.pop(0), parents=parents)]
        fresh = [other for other in nearest if other != rid and other not in found]
        found |= dict.fromkeys(fresh)
        if recurse:
            waiting += fresh
    records = {record.rid: record for record in executions.read_executions(catalog, list(found))}
    return [records[other] for other in found]


def ordered_parts(address: Address, rid: RID) -> dict[int, ExecutionRecord]:
    """The parts of an execution by their place in it; of several at one place (attempts), the newest."""
    catalog = catalog_for(address)
    placed = [(other, sequence) for other, sequence in executions.list_nested(catalog, rid) if sequence is not None]
    records = {record.rid: record for record in executions.read_executions(catalog, [other for other, _ in placed])}
    by_age = sorted(placed, key=lambda part: records[part[0]].created)
    return {sequence: records[other] for other, sequence in by_age}
