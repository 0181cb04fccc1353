"""Rows of features against the values that were staged, one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deriva_ml_prefect.catalog import features, rows
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.feature_rows import same_value
from deriva_ml_prefect.catalog.rows import Row, iterate_rows
from deriva_ml_prefect.catalog.urls import equals, quote, table_name
from deriva_ml_prefect.exceptions import DerivaMLNotFoundError
from deriva_ml_prefect.journal import effects, files
from deriva_ml_prefect.journal import features as journal_features
from deriva_ml_prefect.journal.features import KeptRow, StagedFeature
from deriva_ml_prefect.journal.store import Journal
from deriva_ml_prefect.progress.meter import ROWS, Meter, showing
from deriva_ml_prefect.questions.verification.report import Findings
from deriva_ml_prefect.values.effects import Order
from deriva_ml_prefect.values.records import FeatureDefinition
from deriva_ml_prefect.values.rid import RID

_AT_ONCE = 10_000
SENT = "Uploaded"


def check_feature_values(catalog: Catalog, journal: Journal, rid: RID, findings: Findings) -> None:
    """Compare the values of every feature that the execution staged; values of other features should not be there."""
    staged = {item.feature_table: item for item in journal_features.summarize(journal, rid)}
    by_path = _assets_by_path(journal, rid) if staged else {}
    total = sum(item.rows.get(SENT, 0) for item in staged.values())
    with showing("Comparing values", total=total, unit=ROWS) as meter:
        for item in staged.values():
            try:
                feature = features.feature_of_table(catalog, item.feature_table, item.target_table)
            except DerivaMLNotFoundError:
                findings.differs(f"Feature {item.feature_table}", "table", expected=item.feature_table, found=None)
                continue
            _Feature(catalog, journal, rid, item, feature, by_path, findings).check(meter)
    for other, count in count_values(catalog, rid):
        if f"{other.schema}.{other.table}" not in staged:
            findings.differs(f"Feature {other.name} of {other.target_table}", "values", expected=0, found=count)


def count_values(catalog: Catalog, rid: RID) -> list[tuple[FeatureDefinition, int]]:
    """Features that have values of the execution, and how many."""
    counts = []
    for feature in {f.qualified: f for f in features.find_features(catalog)}.values():
        path = f"{table_name(feature.schema, feature.table)}/{equals(feature.execution_column, rid)}"
        counted = rows.get_rows(catalog, f"aggregate/{path}/n:=cnt({quote('RID')})")
        if counted and counted[0]["n"]:
            counts.append((feature, int(counted[0]["n"])))
    return counts


def _assets_by_path(journal: Journal, rid: RID) -> dict[str, set[RID]]:
    """Path of a staged file, and of the file it was made from → RIDs that its asset rows have got."""
    rids: dict[str, set[RID]] = {}
    for planned in effects.delivered(journal, rid, Order.asset_rows):
        assert planned.receipt is not None
        for key, asset in planned.receipt.facts["rids"].items():
            rids.setdefault(key, set()).add(asset)
    found: dict[str, set[RID]] = {}
    for file in files.list_files(journal, rid):
        for path in (file.path, file.source):
            if path is not None and file.key in rids:
                found.setdefault(str(path), set()).update(rids[file.key])
    return found


class _Feature:
    """The values of one feature. Which staged rows were met is kept as a byte each."""

    def __init__(
        self,
        catalog: Catalog,
        journal: Journal,
        rid: RID,
        staged: StagedFeature,
        feature: FeatureDefinition,
        by_path: Mapping[str, set[RID]],
        findings: Findings,
    ) -> None:
        self.catalog = catalog
        self.journal = journal
        self.rid = rid
        self.staged = staged
        self.feature = feature
        self.by_path = by_path
        self.findings = findings
        self.ids = journal_features.stage_ids(journal, rid, staged.feature_table)
        self.met = bytearray(len(self.ids))
        self.found = 0

    def check(self, meter: Meter) -> None:
        where = (
            f"{table_name(self.feature.schema, self.feature.table)}/{equals(self.feature.execution_column, self.rid)}"
        )
        for page in iterate_rows(self.catalog, where, at_once=_AT_ONCE):
            self._check_page(page)
            meter.advance(len(page))
        if self.found < self.staged.rows.get(SENT, 0):
            self._name_missing()

    def _check_page(self, page: list[Row]) -> None:
        targets = [str(row[self.feature.target_column]) for row in page]
        kept = journal_features.rows_of_targets(self.journal, self.rid, self.staged.feature_table, targets)
        by_target: dict[str, KeptRow] = {row.target: row for row in kept}
        for row, target in zip(page, targets, strict=True):
            mine = by_target.get(target)
            subject = f"{self._name} of {target} ({row['RID']})"
            if mine is None or self.met[mine.stage_id - self.ids.start]:
                self.findings.differs(subject, "value", expected=None, found=self._values(row), kind="more values")
                continue
            self.met[mine.stage_id - self.ids.start] = 1
            if mine.status == SENT:
                self.found += 1
            self.findings.checked["feature values"] += 1
            self._compare(subject, mine.record, row)

    def _compare(self, subject: str, staged: Mapping[str, Any], row: Row) -> None:
        name_column = self.feature.feature_name_column
        if row[name_column] != self.feature.name:
            self.findings.differs(subject, name_column, expected=self.feature.name, found=row[name_column])
        for column in self.feature.columns:
            value, stored = staged.get(column.name), row[column.name]
            rids = self.by_path.get(value, ()) if column.kind == "asset" and isinstance(value, str) else ()
            if rids:
                if stored not in rids:
                    self.findings.differs(subject, column.name, expected=" or ".join(sorted(rids)), found=stored)
            elif not same_value(column.typename, value, stored):
                self.findings.differs(subject, column.name, expected=value, found=stored)

    def _name_missing(self) -> None:
        for batch in journal_features.sent_rows(self.journal, self.rid, self.staged.feature_table):
            for row in batch:
                if not self.met[row.stage_id - self.ids.start]:
                    self.findings.differs(
                        f"{self._name} of {row.target}", "value", expected=self._values(row.record), found=None
                    )

    @property
    def _name(self) -> str:
        return f"{self.feature.target_table}.{self.feature.name}"

    def _values(self, record: Mapping[str, Any]) -> dict[str, Any]:
        return {column.name: record.get(column.name) for column in self.feature.columns}
