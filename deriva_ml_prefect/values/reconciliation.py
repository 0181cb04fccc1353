"""Which side is right when the journal and the catalog tell different statuses of one execution.

Source: the table of deriva-ml's state store, with the rule that only an owner writes.
"""

from __future__ import annotations

from enum import StrEnum

from deriva_ml_prefect.exceptions import DerivaMLStateInconsistency
from deriva_ml_prefect.values.status import ExecutionStatus, is_legal


class Winner(StrEnum):
    neither = "neither"
    """They agree: nothing to do."""
    catalog = "catalog"
    """Somebody wrote the catalog rightly: the journal takes it over."""
    journal = "journal"
    """The catalog did not get the last write: it is sent again."""


_S = ExecutionStatus

_CATALOG_WINS = frozenset({
    (_S.Created, _S.Aborted), (_S.Running, _S.Aborted), (_S.Stopped, _S.Aborted), (_S.Failed, _S.Aborted),
    (_S.Running, _S.Failed), (_S.Pending_Upload, _S.Uploaded), (_S.Pending_Upload, _S.Failed),
})  # fmt: skip
"""(journal, catalog) pairs that arise when the answer to a write was lost, or a person wrote the catalog."""


def reconcile(
    rid: str,
    journal: ExecutionStatus,
    catalog: ExecutionStatus,
    *,
    unsent: bool,
    next_step: ExecutionStatus | None = None,
) -> Winner:
    """The winner for one execution; `unsent` says that the journal has a status that the catalog has not confirmed.

    `next_step` is the first of those statuses, where there are several: a run that the catalog heard nothing of may be
    many edges ahead. Raises DerivaMLStateInconsistency for a pair that no rule settles.
    """
    if journal == catalog:
        return Winner.neither
    if unsent and (is_legal(catalog, journal) or (next_step is not None and is_legal(catalog, next_step))):
        return Winner.journal
    if (journal, catalog) in _CATALOG_WINS:
        return Winner.catalog
    if is_legal(catalog, journal):
        return Winner.journal
    raise DerivaMLStateInconsistency(
        f"Execution {rid} is {journal} in the local journal and {catalog} in the catalog, and neither can follow from "
        f"the other. Somebody else has written its status. Look at it with `deriva-ml-prefect show {rid}`."
    )
