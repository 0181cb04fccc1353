"""What phases pass on: values only, so that a context can be pickled, and rebuilt after a crash or elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from deriva_ml_prefect.catalog.connection import Catalog, catalog_for
from deriva_ml_prefect.exceptions import DerivaMLNotFoundError, DerivaMLReadOnlyError
from deriva_ml_prefect.journal import ownership
from deriva_ml_prefect.journal.executions import Entry, read_execution, read_status
from deriva_ml_prefect.journal.store import Journal, open_journal
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.rid import RID
from deriva_ml_prefect.values.status import ExecutionStatus


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
    writer: str | None = None
    """In a process that only takes part (another rank, a forked child): who writes in its place."""
    lent: bool = False
    """In a process that the owner waits for, since the user's code runs there: it writes under the owner's token."""
    code_is_done: bool = False
    """Told by the writer: the user's code finished in an earlier attempt."""

    @cached_property
    def folder(self) -> Path:
        """Everything local of this execution but its journal entries."""
        return self.workspace / "executions" / self.rid

    @cached_property
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


def writer_elsewhere(context: Context) -> str | None:
    """Who writes this execution if it is not for this process to do: it is another rank, or was forked by the owner."""
    if context.writer is not None:
        return context.writer
    if context.folder.absolute() in ownership.held_before_fork():
        owner = ownership.owner_of(context.folder)
        if owner is not None and owner.alive:
            return f"process {owner.pid} on {owner.host}"
    return None


def check_writable(context: Context) -> None:
    """Raise DerivaMLReadOnlyError, naming the writer, in a process that only takes part in an execution.

    An owner that another process has taken over from gets DerivaMLOwnershipError.
    """
    writer = writer_elsewhere(context)
    if writer is not None:
        raise DerivaMLReadOnlyError(
            f"Execution {context.rid} is written by {writer}; this process only takes part in it and may read. Write "
            "there (`if rank == 0:`), or hand the result over to that process."
        )
    ownership.check_not_taken_over(journal_of(context), context.folder, context.rid)


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
        raise _unknown(context)
    return entry


def status_of(context: Context) -> ExecutionStatus:
    """Its status, of the entry of the journal; DerivaMLNotFoundError when it knows nothing."""
    status = read_status(journal_of(context), context.rid)
    if status is None:
        raise _unknown(context)
    return status


def _unknown(context: Context) -> DerivaMLNotFoundError:
    return DerivaMLNotFoundError(
        f"The journal in {context.workspace} does not know execution {context.rid}. Its staged work is in the "
        "workspace of the machine that ran it: resume it there, or set DERIVA_ML_HOME to that folder."
    )
