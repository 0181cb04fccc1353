"""Giving an execution up, for good: status Aborted, and its files stay until they are collected."""

from __future__ import annotations

from dataclasses import dataclass

from deriva_ml_prefect.journal import features, files, ownership
from deriva_ml_prefect.phases.advance import advance
from deriva_ml_prefect.phases.context import Context, journal_of, status_of
from deriva_ml_prefect.phases.recover import find_here, note_killed, take_over
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.rid import RID
from deriva_ml_prefect.values.sizes import format_count
from deriva_ml_prefect.values.status import ExecutionStatus, check_transition


@dataclass(frozen=True)
class GivenUp:
    """What would be given up with an execution."""

    status: ExecutionStatus
    files: int
    features: int

    @property
    def staged(self) -> str:
        """For people: `3 files and 40 feature values`; empty when nothing waits to be uploaded."""
        counts = [(self.files, "file"), (self.features, "feature value")]
        return " and ".join(format_count(count, name) for count, name in counts if count)


def look_before_abort(address: Address, rid: RID) -> GivenUp:
    """What an execution of this workspace has staged; InvalidTransitionError when its status cannot become Aborted.

    Raises DerivaMLNotFoundError when the workspace does not know it.
    """
    context = find_here(address, rid)
    journal = journal_of(context)
    status = status_of(context)
    if status is not ExecutionStatus.Aborted:
        check_transition(status, ExecutionStatus.Aborted, subject=f"Execution {rid}")
    return GivenUp(status, files.count_unsent(journal, rid), features.count_unsent(journal, rid))


def abort(address: Address, rid: RID, reason: str = "aborted by the user") -> Context:
    """Bring an execution of this workspace whose process is gone to Aborted; one that is so already stays as it is.

    Raises DerivaMLNotFoundError, DerivaMLOwnershipError when its process is at work, InvalidTransitionError.
    """
    look_before_abort(address, rid)
    context, was_dead = take_over(address, rid)
    try:
        if was_dead:
            note_killed(context)
        if status_of(context) is not ExecutionStatus.Aborted:
            advance(context, ExecutionStatus.Aborted, reason)
    finally:
        ownership.release(context.folder)
    return context
