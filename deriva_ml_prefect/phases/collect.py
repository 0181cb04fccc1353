"""Deleting on this machine what the catalog holds: found, checked by the caller, and looked at again under a lock.

A folder is renamed before it is deleted, so that a process that is killed in between leaves nothing half there: what it
left is found by the next. Entries and receipts in the journal stay for ever.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deriva_ml_prefect.config.settings import Settings, load_settings
from deriva_ml_prefect.exceptions import DerivaMLConfigurationError, DerivaMLOwnershipError
from deriva_ml_prefect.journal import executions, features, files, ownership
from deriva_ml_prefect.journal.disk import naming_disk_errors
from deriva_ml_prefect.journal.executions import Entry
from deriva_ml_prefect.journal.store import Journal, list_workspaces, open_journal
from deriva_ml_prefect.phases.dry_folder import FOLDER as DRY_RUNS
from deriva_ml_prefect.phases.tidy import in_no_catalog, shown
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.garbage import Garbage, Kept, Kind
from deriva_ml_prefect.values.rid import DRY_RUN_RID
from deriva_ml_prefect.values.sizes import format_count
from deriva_ml_prefect.values.status import ExecutionStatus, Outcome

TRASH = ".being-deleted"
_S = ExecutionStatus


@dataclass(frozen=True)
class Found:
    garbage: tuple[Garbage, ...]
    kept: tuple[Kept, ...]
    """What is as large, and stays: with the reason."""


def find_garbage(*, aborted: bool = False, work: bool = False) -> Found:
    """What executions left behind in all workspaces.

    `aborted` adds everything of executions that were given up, which is in no catalog; `work` the scratch folders.
    """
    settings = load_settings()
    garbage: list[Garbage] = []
    kept: list[Kept] = []
    for workspace in list_workspaces(settings.home):
        try:
            found = list(_of_workspace(workspace, aborted=aborted, work=work))
        except DerivaMLConfigurationError as e:
            # what it holds is not known, and the other workspaces are no worse for it
            kept.append(Kept(workspace, size_of(workspace)[0], " ".join(str(e).split())))
            continue
        garbage += [item for item in found if isinstance(item, Garbage)]
        kept += [item for item in found if isinstance(item, Kept)]
    garbage += _dry_runs(settings)
    return Found(tuple(garbage), tuple(kept))


def _of_workspace(workspace: Path, *, aborted: bool, work: bool) -> Iterator[Garbage | Kept]:
    journal = open_journal(workspace)
    for folder in _folders(workspace / "executions"):
        entry = executions.read_execution(journal, folder.name)
        if entry is not None:
            address = executions.read_address(journal, entry.rid)
            yield from _of_execution(journal, entry, address, folder, aborted=aborted, work=work)


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []


def _of_execution(
    journal: Journal, entry: Entry, address: Address, folder: Path, *, aborted: bool, work: bool
) -> Iterator[Garbage | Kept]:
    for left in sorted(folder.glob(f"*{TRASH}")):
        yield _garbage(Kind.leftover, left, "deleting it was broken off", entry, address)
    holding = {name: folder / name for name in ("staged", "inputs", "checkpoints", "work") if _holds(folder / name)}
    if not holding:
        return
    reason = _keeps(journal, entry, folder)
    if entry.status is _S.Aborted and reason is None:
        if not aborted:
            reason = "it was given up, and its files are in no catalog: --aborted deletes them"
        else:
            for path in holding.values():
                yield _garbage(Kind.aborted, path, "the execution was given up", entry, address)
            return
    if reason is not None:
        for path in holding.values():
            yield Kept(path, size_of(path)[0], reason, entry.rid)
        return
    for name, path in holding.items():
        kind = Kind(name)
        if kind is Kind.checkpoints and entry.outcome is not Outcome.completed and entry.superseded_by is None:
            yield Kept(path, size_of(path)[0], "its code did not finish, and may be continued", entry.rid)
        elif kind is Kind.staged and (strays := in_no_catalog(journal, entry.rid, path)):
            count = format_count(len(strays), "file")
            if work:
                yield _garbage(
                    Kind.work,
                    path,
                    f"Uploaded, but for {count} never registered, dropped or changed since",
                    entry,
                    address,
                )
            else:
                which = f"{count} in it, never registered, dropped or changed since, are in no catalog: {shown(strays)}"
                reason = f"{which}; --work deletes them"
                yield Kept(path, size_of(path)[0], reason, entry.rid)
        elif kind is Kind.work and not work:
            yield Kept(path, size_of(path)[0], "scratch files are in no catalog: --work deletes them", entry.rid)
        else:
            yield _garbage(kind, path, "the execution is Uploaded", entry, address)


def _garbage(kind: Kind, path: Path, why: str, entry: Entry, address: Address) -> Garbage:
    size, count = size_of(path)
    return Garbage(kind, path, size, count, why, entry.rid, address)


def _holds(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and any(path.iterdir())


def _keeps(journal: Journal, entry: Entry, folder: Path) -> str | None:
    """Why nothing of an execution may be deleted; None if it is over."""
    owner = ownership.owner_of(folder)
    if owner is not None and owner.alive:
        return f"process {owner.pid} on {owner.host} is at work on it"
    if entry.status is _S.Created:
        return f"it is Created, and its code never ran: deriva-ml-prefect abort {entry.rid} gives it up"
    if entry.status not in (_S.Uploaded, _S.Aborted):
        return f"it is {entry.status} and not in the catalog: deriva-ml-prefect resume {entry.rid}"
    if entry.status is _S.Uploaded:
        waiting = files.count_unsent(journal, entry.rid) + features.count_unsent(journal, entry.rid)
        if waiting:
            return f"{waiting} outputs of it are not in the catalog: deriva-ml-prefect resume {entry.rid}"
    return None


def _dry_runs(settings: Settings) -> Iterator[Garbage]:
    for folder in _folders(settings.home / DRY_RUNS):
        owner = ownership.owner_of(folder / "executions" / DRY_RUN_RID)
        # the ranks of a training are read along without being owners
        if (owner is None or not owner.alive) and time.time() - _changed(folder) > 3600:
            size, count = size_of(folder)
            yield Garbage(Kind.leftover, folder, size, count, "a dry run whose process is gone")


def _changed(folder: Path) -> float:
    """When names in a folder changed; now, for one that has gone meanwhile."""
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def collect(
    items: Iterable[Garbage],
    verified: Callable[[Garbage], str | None],
    delete_cached: Callable[[Garbage], str | None],
) -> Iterator[Garbage | Kept]:
    """Delete what may be deleted, each looked at again; gives what was deleted, and what stayed with the reason.

    `verified` says why something is not known to be in its catalog, and None if it is; `delete_cached` deletes entries
    of the cache.
    """
    for item in items:
        reason = verified(item)
        if reason is None:
            reason = delete_cached(item) if item.kind in (Kind.bag, Kind.asset) else _delete(item)
        yield item if reason is None else Kept(item.path, item.bytes, reason, item.rid)


@naming_disk_errors()
def _delete(item: Garbage) -> str | None:
    """Why an item was not deleted after all; None when it is gone."""
    if item.rid is None or item.address is None:
        remove(item.path)
        return None
    folder = item.path.parent
    journal = open_journal(folder.parent.parent)
    try:
        ownership.take(journal, folder, item.rid)
    except DerivaMLOwnershipError as e:
        return str(e)
    try:
        entry = executions.read_execution(journal, item.rid)
        if entry is None or entry.status not in (_S.Uploaded, _S.Aborted):
            return f"it is {entry.status if entry else 'unknown'} now"
        if entry.status is _S.Uploaded and (
            files.count_unsent(journal, item.rid) or features.count_unsent(journal, item.rid)
        ):
            return "outputs have been staged meanwhile"
        if item.kind is Kind.staged and in_no_catalog(journal, item.rid, item.path):
            return "files have been written to it meanwhile that are in no catalog"
        remove(item.path)
    finally:
        ownership.release(folder)
    return None


def remove(path: Path) -> None:
    """Delete a file, or a folder under another name, so that it is never seen half deleted."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    trash = path
    if not path.name.endswith(TRASH):
        trash = path.with_name(f"{path.name}{TRASH}")
        _delete_tree(trash)
        with suppress(FileNotFoundError):
            path.rename(trash)
    _delete_tree(trash)


def _delete_tree(folder: Path) -> None:
    """Delete a folder, of which another process may be deleting parts at the same time."""
    while folder.exists():
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)


def size_of(path: Path) -> tuple[int, int]:
    """Bytes and files below a folder; what a link points to is not counted."""
    size = count = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                size += (Path(folder) / name).lstat().st_size
            except FileNotFoundError:
                continue
            count += 1
    return size, count
