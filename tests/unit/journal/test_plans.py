"""Queries that are asked for page after page look their rows up, however many there are."""

from __future__ import annotations

from pathlib import Path

from deriva_ml_prefect.journal.queries import sql
from deriva_ml_prefect.journal.store import open_journal


def test_values_of_targets_are_looked_up_one_by_one(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    values = {"execution_rid": "1-A", "feature_table": "lab.F", "targets": "[]"}
    rows = journal.connection.execute(f"EXPLAIN QUERY PLAN {sql('select_features_of_targets')}", values).fetchall()
    steps = [row["detail"] for row in rows]
    assert steps[0].startswith("SCAN t ")
    assert any("SEARCH v USING INDEX" in step and "(feature=? AND target=?)" in step for step in steps)
    journal.close()
