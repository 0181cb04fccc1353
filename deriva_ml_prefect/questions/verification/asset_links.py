"""Which assets an execution read and made: the associations, each with its role."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from deriva_ml_prefect.catalog import assets
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.rows import Row, iterate_rows, rows_where_any
from deriva_ml_prefect.catalog.urls import equals, table_name
from deriva_ml_prefect.journal import effects, inputs
from deriva_ml_prefect.journal.executions import Entry
from deriva_ml_prefect.journal.store import Journal
from deriva_ml_prefect.questions.verification.report import Findings
from deriva_ml_prefect.questions.verification.stored_objects import DueObject
from deriva_ml_prefect.values.effects import Order
from deriva_ml_prefect.values.names import AssetRole, MLAsset
from deriva_ml_prefect.values.records import AssetTable
from deriva_ml_prefect.values.rid import RID


def check_asset_links(catalog: Catalog, journal: Journal, entry: Entry, findings: Findings) -> None:
    """Compare the links of an execution to assets, in every asset table, with what was linked.

    Files that were told of and stay where they are (`add_files`) have no receipts, so further links to them are right.
    """
    made = _made(journal, entry.rid)
    read = _read(journal, entry)
    tables: dict[str, list[AssetTable]] = {}
    for table in assets.linked_asset_tables(catalog):
        tables.setdefault(table.name, []).append(table)
    for lost in sorted({*made, *read} - tables.keys()):
        # it was linked, so it must be now: this says what it lacks
        assets.asset_table(catalog, lost)
    for name, same_named in tables.items():
        # the journal keeps bare names, and a RID is in one table of the catalog only
        has = {asset: role for table in same_named for asset, role in _links_of(catalog, table, entry.rid)}
        wanted = made.get(name, set())
        needed, allowed = read.get(name, (set(), set()))
        findings.checked["links to assets"] += len(wanted | needed)
        for asset in sorted(wanted):
            # one asset has one role in an execution, and what it read first stays an input
            if has.get(asset) != AssetRole.output and not (asset in allowed and has.get(asset) == AssetRole.input):
                _differs(findings, name, asset, AssetRole.output, has.get(asset))
        for asset in sorted(needed - wanted):
            if has.get(asset) != AssetRole.input:
                _differs(findings, name, asset, AssetRole.input, has.get(asset))
        further = has.keys() - wanted - allowed
        if further and name != MLAsset.file:
            # a link was sent, its receipt was lost with the process, and the file was changed before the next attempt
            rows = _rows(journal, entry.rid, name)
            for asset in sorted(further):
                if not (has[asset] == AssetRole.output and asset in rows):
                    _differs(findings, name, asset, None, has[asset])


def _differs(findings: Findings, table: str, asset: RID, expected: str | None, found: str | None) -> None:
    findings.differs(
        f"{table} {asset}", "role in the execution", expected=expected and str(expected), found=found, kind="link"
    )


def _made(journal: Journal, rid: RID) -> dict[str, set[RID]]:
    """Table → assets that have a receipt of being linked as outputs."""
    made: dict[str, set[RID]] = {}
    for planned in effects.delivered(journal, rid, Order.association_rows):
        payload = planned.effect.payload
        if payload["kind"] == "asset_links":
            made.setdefault(payload["table"], set()).update(payload["assets"])
    return made


def _rows(journal: Journal, rid: RID, table: str) -> set[RID]:
    """Assets of a table whose rows have a receipt of this execution."""
    rows: set[RID] = set()
    for planned in effects.delivered(journal, rid, Order.asset_rows):
        assert planned.receipt is not None
        if planned.effect.payload["table"] == table:
            rows.update(planned.receipt.facts["rids"].values())
    return rows


def _read(journal: Journal, entry: Entry) -> dict[str, tuple[set[RID], set[RID]]]:
    """Table → input assets that must be linked, and those that may be: one can be fetched without being linked."""
    configured = (
        {_rid_of(item) for item in entry.configuration.get("assets") or ()} if entry.user_code != "idle" else ()
    )
    read: dict[str, tuple[set[RID], set[RID]]] = {}
    for item in inputs.list_inputs(journal, entry.rid, "asset"):
        needed, allowed = read.setdefault(str(item.facts.get("asset_table", "")), (set(), set()))
        allowed.add(item.rid)
        if item.rid in configured:
            needed.add(item.rid)
    return read


def _rid_of(item: Any) -> RID:
    return str(item["rid"] if isinstance(item, Mapping) else item)


def _links(catalog: Catalog, table: AssetTable, rid: RID) -> Iterator[list[Row]]:
    path = (
        f"{table_name(table.execution_schema, table.execution_table)}/{equals(table.execution_execution_column, rid)}"
    )
    return iterate_rows(catalog, path)


def _links_of(catalog: Catalog, table: AssetTable, rid: RID) -> Iterator[tuple[RID, str]]:
    """(asset, role) of each link between the table and the execution."""
    for page in _links(catalog, table, rid):
        for link in page:
            yield link[table.execution_asset_column], link[table.role_column]


def objects_made(catalog: Catalog, rid: RID, findings: Findings) -> Iterator[tuple[Row, DueObject]]:
    """Each asset row that the execution is said to have made, and the object that it names.

    Files that are not in the object store (they were told of, and stay where they are) are only counted.
    """
    for table in assets.linked_asset_tables(catalog):
        for page in _links(catalog, table, rid):
            rids = [link[table.execution_asset_column] for link in page if link[table.role_column] == AssetRole.output]
            findings.checked["links to assets"] += len(rids)
            for row in rows_where_any(catalog, (table.schema, table.name), "RID", rids):
                findings.checked["asset rows"] += 1
                subject = f"{table.name}/{row['Filename']} ({row['RID']})"
                url = str(row["URL"] or "")
                if table.name == MLAsset.file and not url.startswith("/hatrac/"):
                    findings.checked["files elsewhere"] += 1
                elif not row["MD5"] or row["Length"] is None:
                    findings.could_not(subject, "its row tells no MD5 or no length")
                else:
                    yield row, DueObject(subject, url, int(row["Length"]), str(row["MD5"]))
