"""Feature values that are staged: rows of JSON, sent only after the assets that they may refer to."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deriva_ml_prefect.journal.store import Journal, now
from deriva_ml_prefect.values.rid import RID


@dataclass(frozen=True)
class StagedRow:
    stage_id: int
    record: Mapping[str, Any]
    """Column → value; a path of a staged asset is still a path."""


@dataclass(frozen=True)
class KeptRow:
    """A staged value with its target and how far it has come (`Pending`, `Uploaded`, `Failed`)."""

    stage_id: int
    target: str
    record: Mapping[str, Any]
    status: str


@dataclass(frozen=True)
class StagedFeature:
    """How many values of one feature are staged, by status (`Pending`, `Uploaded`, `Failed`)."""

    feature_table: str
    feature_name: str
    target_table: str
    rows: Mapping[str, int]


def add_features(
    journal: Journal,
    rid: RID,
    rows: Iterable[tuple[str, Mapping[str, Any]]],
    *,
    feature_table: str,
    feature_name: str,
    target_table: str,
) -> None:
    """Stage (target key, record) pairs of one feature in one transaction, durable on return."""
    common = {
        "execution_rid": rid,
        "feature_table": feature_table,
        "feature_name": feature_name,
        "target_table": target_table,
        "now": now(),
    }
    journal.write_many(
        "insert_feature",
        ({**common, "target": target, "record_json": json.dumps(record, sort_keys=True)} for target, record in rows),
    )


def staged_targets(journal: Journal, rid: RID, feature_table: str) -> dict[str, dict[str, Any]]:
    """What is staged already for a feature: target key → record."""
    rows = journal.rows("select_staged_targets", execution_rid=rid, feature_table=feature_table)
    return {row["target"]: json.loads(row["record_json"]) for row in rows}


def count_unsent(journal: Journal, rid: RID) -> int:
    row = journal.row("count_features", execution_rid=rid)
    return int(row[0]) if row else 0


def summarize(journal: Journal, rid: RID) -> list[StagedFeature]:
    """Staged values by feature."""
    counts: dict[tuple[str, str, str], dict[str, int]] = {}
    for row in journal.rows("summarize_features", execution_rid=rid):
        key = (row["feature_table"], row["feature_name"], row["target_table"])
        counts.setdefault(key, {})[row["status"]] = row["rows"]
    return [StagedFeature(*key, rows) for key, rows in counts.items()]


def unsent_rows(journal: Journal, rid: RID, feature_table: str, *, after: int, limit: int) -> list[StagedRow]:
    """The next values of a feature that are not in the catalog, in the order of staging, past stage id `after`."""
    rows = journal.rows(
        "select_unsent_features", execution_rid=rid, feature_table=feature_table, after=after, limit=limit
    )
    return [StagedRow(row["stage_id"], json.loads(row["record_json"])) for row in rows]


def rows_between(journal: Journal, rid: RID, feature_table: str, first: int, last: int) -> list[StagedRow]:
    """The values of one batch, by stage id, both ends included."""
    rows = journal.rows("select_feature_range", execution_rid=rid, feature_table=feature_table, first=first, last=last)
    return [StagedRow(row["stage_id"], json.loads(row["record_json"])) for row in rows]


def rows_of_targets(journal: Journal, rid: RID, feature_table: str, targets: Sequence[str]) -> list[KeptRow]:
    """The staged values of one feature for some targets."""
    rows = journal.rows(
        "select_features_of_targets", execution_rid=rid, feature_table=feature_table, targets=json.dumps(list(targets))
    )
    return [_kept(row) for row in rows]


def sent_rows(journal: Journal, rid: RID, feature_table: str, *, after: int, limit: int) -> list[KeptRow]:
    """The next values of one feature that are in the catalog, past stage id `after`."""
    rows = journal.rows(
        "select_sent_features", execution_rid=rid, feature_table=feature_table, after=after, limit=limit
    )
    return [_kept(row) for row in rows]


def stage_ids(journal: Journal, rid: RID, feature_table: str) -> range:
    """All stage ids of the values of one feature, and those of others between them."""
    row = journal.row("select_feature_span", execution_rid=rid, feature_table=feature_table)
    return range(row["first"], row["last"] + 1) if row and row["first"] is not None else range(0)


def _kept(row: sqlite3.Row) -> KeptRow:
    return KeptRow(row["stage_id"], row["target"], json.loads(row["record_json"]), row["status"])


def mark_uploaded(journal: Journal, rid: RID, feature_table: str, first: int, last: int) -> None:
    journal.write("mark_features_uploaded", execution_rid=rid, feature_table=feature_table, first=first, last=last)


def mark_failed(journal: Journal, rid: RID, feature_table: str, first: int, last: int, error: str) -> None:
    journal.write(
        "mark_features_failed", execution_rid=rid, feature_table=feature_table, first=first, last=last, error=error
    )
