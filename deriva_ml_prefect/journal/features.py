"""Feature values that are staged: rows of JSON, sent only after the assets that they may refer to.

Values lie in batches: what was staged together is one, or several when it is much, and a batch has the status of all
its values. The view `execution_state__feature_records` shows each value with its status.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from deriva_ml_prefect.exceptions import DerivaMLValidationError
from deriva_ml_prefect.journal.queries import sql
from deriva_ml_prefect.journal.store import Journal
from deriva_ml_prefect.values.rid import RID

BATCH_ROWS = 10_000
"""Values in one batch, at most."""

Staged = tuple[str, str]
"""Key of the target row, and the record as JSON with its keys in order."""


@dataclass(frozen=True)
class Batch:
    """Values of one feature by their stage ids, both ends included."""

    first: int
    last: int
    rows: int


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

    @property
    def name(self) -> tuple[str, str]:
        """Schema of its table, and `<Target>.<Feature>`."""
        return self.feature_table.partition(".")[0], f"{self.target_table}.{self.feature_name}"


def add_features(
    journal: Journal,
    rid: RID,
    rows: Iterable[Staged],
    *,
    feature_table: str,
    feature_name: str,
    target_table: str,
) -> int:
    """Stage values of one feature, all or none, durable on return; the number of those that were not staged before.

    A value like the one that is staged for its target is the same one; another is DerivaMLValidationError. The journal
    is locked while `rows` is read.
    """
    named = {
        "execution_rid": rid,
        "feature_table": feature_table,
        "feature_name": feature_name,
        "target_table": target_table,
    }
    given = iter(rows)
    added = 0
    with journal.transaction():
        journal.write("insert_feature", **named)
        found = journal.row("select_feature", execution_rid=rid, feature_table=feature_table)
        assert found is not None
        feature = int(found["number"])
        while part := list(islice(given, BATCH_ROWS)):
            added += _add_batch(journal, feature, part, f"Feature {feature_name} of {target_table}")
    return added


def _add_batch(journal: Journal, feature: int, part: Sequence[Staged], called: str) -> int:
    before = _last_stage_id(journal)
    connection = journal.connection
    changes = connection.total_changes
    connection.executemany(
        sql("insert_feature_value"),
        ((feature, target, text) for target, text in part),
    )
    added = connection.total_changes - changes
    if added < len(part):
        _refuse_others(journal, feature, part, called)
    if added:
        journal.write(
            "insert_feature_batch", feature=feature, first=before + 1, last=_last_stage_id(journal), rows=added
        )
    return added


def _last_stage_id(journal: Journal) -> int:
    row = journal.row("select_last_feature_value")
    return int(row[0]) if row else 0


def _refuse_others(journal: Journal, feature: int, part: Sequence[Staged], called: str) -> None:
    """Some targets had a value before: it must be the same."""
    for target, text in part:
        row = journal.row("select_feature_value", feature=feature, target=target)
        if row is not None and json.loads(row["record_json"]) != json.loads(text):
            raise DerivaMLValidationError(
                f"{called} {target} is staged twice with different values: {row['record_json']} and {text}. "
                "One execution gives one value for a target."
            )


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


def unsent_batches(journal: Journal, rid: RID, feature_table: str, *, most: int = BATCH_ROWS) -> Iterator[Batch]:
    """What of a feature is not in the catalog, in the order of staging; small batches joined up to `most` rows."""
    joined: Batch | None = None
    for row in journal.rows("select_unsent_batches", execution_rid=rid, feature_table=feature_table):
        if joined is not None and joined.rows + row["rows"] > most:
            yield joined
            joined = None
        joined = Batch(
            joined.first if joined else row["first"], row["last"], (joined.rows if joined else 0) + row["rows"]
        )
    if joined is not None:
        yield joined


def halve(journal: Journal, rid: RID, feature_table: str, batch: Batch) -> tuple[Batch, Batch]:
    """Two halves of a batch of several values, each with a status of its own from now on."""
    common = {"execution_rid": rid, "feature_table": feature_table}
    half = batch.rows // 2
    with journal.transaction():
        row = journal.row("select_middle_feature_value", **common, first=batch.first, last=batch.last, skipped=half)
        assert row is not None
        middle = int(row["stage_id"])
        journal.write("add_cut_feature_batch", **common, middle=middle)
        journal.write("shorten_cut_feature_batch", **common, middle=middle)
        journal.write("recount_cut_feature_batches", **common, middle=middle)
    return Batch(batch.first, middle - 1, half), Batch(middle, batch.last, batch.rows - half)


def target_of(journal: Journal, rid: RID, feature_table: str, batch: Batch) -> str:
    """Target of the first value of a batch."""
    row = journal.row(
        "select_middle_feature_value",
        execution_rid=rid,
        feature_table=feature_table,
        first=batch.first,
        last=batch.last,
        skipped=0,
    )
    return str(row["target"]) if row else ""


def records_between(journal: Journal, rid: RID, feature_table: str, first: int, last: int) -> list[dict[str, Any]]:
    """The values between two stage ids, both included: column → value; a path of a staged asset is still a path."""
    row = journal.row("select_feature_range", execution_rid=rid, feature_table=feature_table, first=first, last=last)
    records: list[dict[str, Any]] = json.loads(row[0]) if row else []
    return records


def rows_of_targets(journal: Journal, rid: RID, feature_table: str, targets: Sequence[str]) -> list[KeptRow]:
    """The staged values of one feature for some targets."""
    rows = journal.rows(
        "select_features_of_targets", execution_rid=rid, feature_table=feature_table, targets=json.dumps(list(targets))
    )
    return [_kept(row) for row in rows]


def sent_rows(journal: Journal, rid: RID, feature_table: str) -> Iterator[list[KeptRow]]:
    """The values of one feature that are in the catalog, batch by batch, in the order of staging."""
    of = {"execution_rid": rid, "feature_table": feature_table}
    for batch in journal.rows("select_sent_batches", **of):
        rows = journal.rows("select_features_of_batch", first=batch["first"], last=batch["last"], **of)
        yield [_kept(row) for row in rows]


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


def remove_features(journal: Journal, rid: RID, feature_table: str, targets: Iterable[str] | None) -> int:
    """Forget values that are not in the catalog, of these target keys or of all; their number."""
    common = {"execution_rid": rid, "feature_table": feature_table}
    with journal.transaction():
        chosen = (
            [row["target"] for row in journal.rows("select_unsent_targets", **common)]
            if targets is None
            else list(dict.fromkeys(targets))
        )
        removed = sum(journal.write("delete_feature", **common, target=target) for target in chosen)
        journal.write("recount_feature_batches", **common)
        journal.write("delete_empty_feature_batches", **common)
    return removed
