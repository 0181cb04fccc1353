"""Rows of assets against what was sent, value by value, and the types that they were given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deriva_ml_prefect.catalog import assets
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.feature_rows import same_value
from deriva_ml_prefect.catalog.rows import Row, rows_where_any
from deriva_ml_prefect.journal import effects
from deriva_ml_prefect.journal.store import Journal
from deriva_ml_prefect.questions.verification.report import Findings
from deriva_ml_prefect.questions.verification.stored_objects import DueObject
from deriva_ml_prefect.values.effects import Order
from deriva_ml_prefect.values.names import ASSET_COLUMNS, AssetRole
from deriva_ml_prefect.values.records import AssetTable
from deriva_ml_prefect.values.rid import RID


def check_asset_rows(catalog: Catalog, journal: Journal, rid: RID, findings: Findings) -> Iterator[DueObject]:
    """Compare every row with the receipt of its insertion; gives the objects that the rows should name."""
    for planned in effects.delivered(journal, rid, Order.asset_rows):
        payload = planned.effect.payload
        assert planned.receipt is not None
        rids: Mapping[str, RID] = planned.receipt.facts["rids"]
        table = assets.asset_table(catalog, payload["table"])
        found = {row["RID"]: row for row in rows_where_any(catalog, (table.schema, table.name), "RID", rids.values())}
        for key, sent in zip(payload["keys"], payload["rows"], strict=True):
            subject = f"{key} ({rids[key]})"
            _compare_row(table, subject, sent, found.get(rids[key]), findings)
            yield DueObject(subject, sent["URL"], int(sent["Length"]), sent["MD5"])


def objects_without_row(journal: Journal, rid: RID) -> Iterator[DueObject]:
    """Objects that were stored, and whose row was not inserted yet."""
    for planned in effects.bytes_without_row(journal, rid):
        payload = planned.effect.payload
        assert planned.receipt is not None
        yield DueObject(payload["key"], str(planned.receipt.facts["url"]), int(payload["length"]), payload["md5"])


def _compare_row(
    table: AssetTable, subject: str, sent: Mapping[str, Any], found: Row | None, findings: Findings
) -> None:
    findings.checked["asset rows"] += 1
    if found is None:
        findings.differs(subject, "row", expected=f"a row of {table.qualified}", found=None)
        return
    for column in (*ASSET_COLUMNS, *table.metadata):
        typename = table.metadata_types.get(column, "text")
        expected, stored = sent.get(column), found.get(column)
        if column == "Length":
            typename = "int8"
        if not same_value(typename, expected, stored):
            findings.differs(subject, column, expected=expected, found=stored)


def check_asset_types(catalog: Catalog, journal: Journal, rid: RID, findings: Findings) -> None:
    """Compare the types of assets with those that they were given.

    More types than given are a difference only for an asset that no other execution made as well.
    """
    given: dict[str, dict[RID, set[str]]] = {}
    for planned in effects.delivered(journal, rid, Order.association_rows):
        payload = planned.effect.payload
        if payload["kind"] == "asset_types":
            for asset, term in payload["rows"]:
                given.setdefault(payload["table"], {}).setdefault(asset, set()).add(term)
    for name, wanted in given.items():
        table = assets.asset_table(catalog, name)
        has: dict[RID, set[str]] = {asset: set() for asset in wanted}
        for link in rows_where_any(catalog, (table.type_schema, table.type_table), table.type_asset_column, wanted):
            has[link[table.type_asset_column]].add(link[table.type_term_column])
        richer = [asset for asset, terms in wanted.items() if has[asset] > terms]
        shared = _made_by_others(catalog, table, rid, richer)
        for asset, terms in wanted.items():
            findings.checked["asset types"] += len(terms)
            if terms - has[asset] or (has[asset] - terms and asset not in shared):
                findings.differs(f"{name} {asset}", "types", expected=sorted(terms), found=sorted(has[asset]))


def _made_by_others(catalog: Catalog, table: AssetTable, rid: RID, assets_of_it: Sequence[RID]) -> set[RID]:
    """Those of the assets that another execution made too: equal bytes under an equal name share one row."""
    links = rows_where_any(
        catalog, (table.execution_schema, table.execution_table), table.execution_asset_column, assets_of_it
    )
    return {
        link[table.execution_asset_column]
        for link in links
        if link[table.execution_execution_column] != rid and link[table.role_column] == AssetRole.output
    }
