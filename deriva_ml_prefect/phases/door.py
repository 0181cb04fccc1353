"""Where status and input links are written: the catalog, or nowhere in a dry run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from deriva_ml_prefect.catalog import dialect, executions
from deriva_ml_prefect.phases.context import Context, catalog_of
from deriva_ml_prefect.values.records import ExecutionRecord
from deriva_ml_prefect.values.rid import RID
from deriva_ml_prefect.values.status import ExecutionStatus


class Door(Protocol):
    def spell(self, status: ExecutionStatus) -> str:
        """The status as this catalog's generation writes it."""

    def swap_status(
        self, stored: str | None, target: ExecutionStatus, detail: str | None, durations: Mapping[str, str]
    ) -> bool:
        """Write the status, and durations that this generation has columns for, if the row still holds `stored`.

        False when somebody else has changed it.
        """

    def read(self) -> ExecutionRecord | None:
        """The row of the execution."""

    def link_datasets(self, versions: Sequence[tuple[RID, RID | None]]) -> None:
        """Say which datasets the execution reads: (dataset RID, version RID)."""


class CatalogDoor:
    """The door to the catalog."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def spell(self, status: ExecutionStatus) -> str:
        return dialect.write_status(catalog_of(self.context).dialect, status)

    def swap_status(
        self, stored: str | None, target: ExecutionStatus, detail: str | None, durations: Mapping[str, str]
    ) -> bool:
        catalog = catalog_of(self.context)
        return executions.swap_status(catalog, self.context.rid, stored, target, detail, durations=durations)

    def read(self) -> ExecutionRecord | None:
        return executions.read_execution(catalog_of(self.context), self.context.rid)

    def link_datasets(self, versions: Sequence[tuple[RID, RID | None]]) -> None:
        executions.link_input_datasets(catalog_of(self.context), self.context.rid, versions)


class DryDoor:
    """A door that leads nowhere: the journal of a dry run is all that changes."""

    def spell(self, status: ExecutionStatus) -> str:
        return status.value

    def swap_status(
        self,
        stored: str | None,  # noqa: ARG002
        target: ExecutionStatus,  # noqa: ARG002
        detail: str | None,  # noqa: ARG002
        durations: Mapping[str, str],  # noqa: ARG002
    ) -> bool:
        return True

    def read(self) -> ExecutionRecord | None:
        return None

    def link_datasets(self, versions: Sequence[tuple[RID, RID | None]]) -> None: ...


def door_of(context: Context) -> Door:
    return DryDoor() if context.dry_run else CatalogDoor(context)
