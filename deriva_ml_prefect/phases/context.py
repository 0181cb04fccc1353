"""What phases pass on: values only, so that a context can be pickled, and rebuilt after a crash or elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deriva_ml_prefect.catalog.connection import Catalog, catalog_for
from deriva_ml_prefect.exceptions import DerivaMLNotFoundError
from deriva_ml_prefect.journal.executions import Entry, read_execution
from deriva_ml_prefect.journal.store import Journal, open_journal
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.rid import RID


@dataclass(frozen=True)
class Context:
    """One execution in one workspace."""

    rid: RID
    """`0000` in a dry run."""
    address: Address
    home: Path
    """The home folder that `workspace` lies in."""
    workspace: Path
    dry_run: bool = False
    flow_run_id: str | None = None
    attempt: int = 1
    """Which execution of its flow run this is, counted from 1."""

    @property
    def folder(self) -> Path:
        """Everything local of this execution but its journal entries."""
        return self.workspace / "executions" / self.rid

    @property
    def staged(self) -> Path:
        """Registered files, `<Table>/<file name>`."""
        return self.folder / "staged"

    @property
    def work(self) -> Path:
        """The user's scratch folder; programs may empty it."""
        return self.folder / "work"

    @property
    def checkpoints(self) -> Path:
        """Files that are handed on to the execution that a retry begins."""
        return self.folder / "checkpoints"


def catalog_of(context: Context) -> Catalog:
    """The catalog, opened once a process."""
    return catalog_for(context.address)


def journal_of(context: Context) -> Journal:
    """The journal, opened once a process."""
    return open_journal(context.workspace)


def entry_of(context: Context) -> Entry:
    """What the journal knows of the execution; DerivaMLNotFoundError when it knows nothing."""
    entry = read_execution(journal_of(context), context.rid)
    if entry is None:
        raise DerivaMLNotFoundError(
            f"The journal in {context.workspace} does not know execution {context.rid}. Its staged work is in the "
            "workspace of the machine that ran it: resume it there, or set DERIVA_ML_HOME to that folder."
        )
    return entry
