"""RIDs for rows that are still to be inserted, so that a row sent again is the same row."""

from __future__ import annotations

from collections.abc import Sequence

from deriva_ml_prefect.catalog import rows
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.journal import flow_runs
from deriva_ml_prefect.journal.store import Journal
from deriva_ml_prefect.values.rid import RID


def lease_rids(catalog: Catalog, journal: Journal, purposes: Sequence[str]) -> list[RID]:
    """RIDs for the purposes, under tokens that the journal has before the catalog is asked."""
    tokens = [flow_runs.lease_token(journal, purpose) for purpose in purposes]
    missing = [token for token, rid in tokens if rid is None]
    fresh = dict(zip(missing, rows.lease_rids(catalog, missing), strict=True)) if missing else {}
    for token, rid in fresh.items():
        flow_runs.note_lease(journal, token, rid)
    return [rid or fresh[token] for token, rid in tokens]
