"""Where status and input links are written: the catalog, or nowhere in a dry run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from deriva_ml_prefect.catalog import dialect, executions
from deriva_ml_prefect.phases.context import Context, catalog_of, check_writable
from deriva_ml_prefect.values.records import ExecutionRecord
from deriva_ml_prefect.values.rid import RID
from deriva_ml_prefect.values.status import ExecutionStatus


class Door(Protocol):
    def spell(self, status: ExecutionStatus) -> str:
        """The status as this catalog's generation writes it."""

    def swap_status(self, stored: str | None, target: ExecutionStatus, detail: str | None) -> bool:
        """Write the status if the row still holds `stored`; False when somebody else has changed it."""

    def read(self) -> ExecutionRecord | None:
        """The row of the execution."""

    def write_durations(self, durations: Mapping[str, str]) -> None:
        """Fill the duration columns that this generation has."""

    def link_datasets(self, versions: Sequence[tuple[RID, RID | None]]) -> None:
        """Say which datasets the execution reads: (dataset RID, version RID)."""


class CatalogDoor:
    """The door to the catalog."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def spell(self, status: ExecutionStatus) -> str:
        return dialect.write_status(catalog_of(self.context).dialect, status)

    def swap_status(self, stored: str | None, target: ExecutionStatus, detail: str | None) -> bool:
        return executions.swap_status(catalog_of(self.context), self.context.rid, stored, target, detail)

    def read(self) -> ExecutionRecord | None:
        return executions.read_execution(catalog_of(self.context), self.context.rid)

    def write_durations(self, durations: Mapping[str, str]) -> None:
        check_writable(self.context)
        executions.write_durations(catalog_of(self.context), self.context.rid, durations)

    def link_datasets(self, versions: Sequence[tuple[RID, RID | None]]) -> None:
        executions.link_input_datasets(catalog_of(self.context), self.context.rid, versions)


class DryDoor:
    """A door that leads nowhere: the journal of a dry run is all that changes."""

    def spell(self, status: ExecutionStatus) -> str:
        return status.value

    def swap_status(self, stored: str | None, target: ExecutionStatus, detail: str | None) -> bool:  # noqa: ARG002
        return True

    def read(self) -> ExecutionRecord | None:
        return None

    def write_durations(self, durations: Mapping[str, str]) -> None: ...

    def link_datasets(self, versions: Sequence[tuple[RID, RID | None]]) -> None: ...


def door_of(context: Context) -> Door:
    return DryDoor() if context.dry_run else CatalogDoor(context)
