"""Whether the catalog holds what is to be deleted on this machine, asked of the catalog and the store."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from deriva_ml_prefect.bags.manifest import read_fetch, read_info
from deriva_ml_prefect.catalog import assets
from deriva_ml_prefect.catalog.connection import Catalog, catalog_for
from deriva_ml_prefect.catalog.objects import object_path_of
from deriva_ml_prefect.catalog.rows import get_rows
from deriva_ml_prefect.catalog.urls import equals, table_name
from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.exceptions import DerivaMLException, DerivaMLOfflineError
from deriva_ml_prefect.journal import inputs
from deriva_ml_prefect.journal.store import open_journal
from deriva_ml_prefect.questions.verification.report import Findings
from deriva_ml_prefect.questions.verification.stored_objects import DueObject, check_objects
from deriva_ml_prefect.questions.verification.verify import verify_execution
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.garbage import Garbage, Kind
from deriva_ml_prefect.values.rid import RID

_NOTHING_LOST = frozenset({Kind.leftover, Kind.aborted})
"""What no catalog has to hold: remains of a broken off deletion, and what was given up."""


class StillInCatalog:
    """Asks once for each execution, and no more of a catalog that does not answer."""

    def __init__(self) -> None:
        self.executions: dict[tuple[Address, RID], str | None] = {}
        self.offline: dict[Address, str] = {}

    def why_not(self, item: Garbage) -> str | None:
        """Why something is not known to be in its catalog; None if it is."""
        if item.kind in _NOTHING_LOST:
            return None
        if item.address is None or item.rid is None:
            return "it is not known which catalog it is of"
        if item.address in self.offline:
            return self.offline[item.address]
        try:
            return self._ask(item, item.address, item.rid)
        except DerivaMLOfflineError as e:
            reason = self.offline[item.address] = f"its catalog could not be asked: {_line(e)}"
            return reason
        except (DerivaMLException, OSError) as e:
            return f"it could not be verified: {_line(e)}"

    def _ask(self, item: Garbage, address: Address, rid: RID) -> str | None:
        if item.kind is Kind.bag:
            return _why_not_bag(catalog_for(address), item.path)
        if item.kind is Kind.asset:
            return _why_not_assets(catalog_for(address), [(rid, item.path.name.partition("_")[2])])
        if (address, rid) not in self.executions:
            self.executions[address, rid] = _why_not_execution(address, rid)
        reason = self.executions[address, rid]
        if reason is None and item.kind is Kind.inputs:
            read = inputs.list_inputs(open_journal(load_settings().workspace(address)), rid, "asset")
            return _why_not_assets(catalog_for(address), [(each.rid, str(each.facts.get("md5", ""))) for each in read])
        return reason


def _why_not_execution(address: Address, rid: RID) -> str | None:
    found = verify_execution(address, rid, content=False)
    if found.same:
        return None
    told = [*found.differences, *found.unchecked]
    return f"it is not verified ({len(told) + found.further}: {_line(told[0])}): deriva-ml-prefect verify {rid}"


def _why_not_assets(catalog: Catalog, wanted: Iterable[tuple[RID, str]]) -> str | None:
    due = []
    for rid, md5 in wanted:
        record = assets.read_asset(catalog, rid)
        if record.md5 != md5:
            return f"asset {rid} is another file in the catalog now"
        due.append(DueObject(f"asset {rid}", record.url, record.length, md5))
    return _why_not_objects(catalog, due)


def _why_not_bag(catalog: Catalog, entry: Path) -> str | None:
    """A bag can be had again while the catalog has its snapshot, and the store the files that it names."""
    bag = next(entry.glob("Dataset_*"))
    info = read_info(bag)
    path = f"entity/{table_name(catalog.address.ml_schema, 'Dataset')}/{equals('RID', info['Dataset-RID'])}"
    if not get_rows(catalog, path, snapshot=info["Dataset-Snapshot"]):
        return f"the catalog has no dataset {info['Dataset-RID']} at snapshot {info['Dataset-Snapshot']}"
    files = [(file, str(file.url)) for file in read_fetch(bag)]
    elsewhere = [url for _, url in files if not url.startswith(catalog.base_url)]
    if elsewhere:
        return f"{len(elsewhere)} of its files are on other hosts"
    due = [DueObject(file.path, object_path_of(catalog, url), file.length, file.md5_hex) for file, url in files]
    return _why_not_objects(catalog, due)


def _why_not_objects(catalog: Catalog, due: list[DueObject]) -> str | None:
    findings = Findings()
    check_objects(catalog, due, findings, content=False)
    told = [*findings.differences, *findings.unchecked]
    return _line(told[0]) if told else None


def _line(value: object) -> str:
    return " ".join(str(value).split())
