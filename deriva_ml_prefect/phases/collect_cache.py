"""Which entries of the cache may go, by age and size; deleting one while nobody makes or completes it.

What a live execution reads stays, and so does what anybody used within the last hour.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deriva_ml_prefect.bags import cache
from deriva_ml_prefect.bags.manifest import read_info
from deriva_ml_prefect.config.settings import Settings, load_settings
from deriva_ml_prefect.exceptions import DerivaMLException
from deriva_ml_prefect.journal import executions, inputs, ownership
from deriva_ml_prefect.journal.store import list_workspaces, open_journal
from deriva_ml_prefect.phases.asset_cache import list_assets, locked_asset
from deriva_ml_prefect.phases.collect import TRASH, remove, size_of
from deriva_ml_prefect.phases.kept_file import SUFFIX
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.garbage import Garbage, Kind
from deriva_ml_prefect.values.status import SETTLED

UNTOUCHED = 3600.0
"""Seconds for which an entry that was used stays."""
TORN = 24 * 3600.0
"""Seconds after which a file that is half fetched belongs to nobody any more."""


@dataclass(frozen=True)
class _InUse:
    """RIDs of the datasets and assets that live executions read."""

    rids: frozenset[str]


def find_cached(*, older_than: float | None = None, over: int | None = None) -> list[Garbage]:
    """Entries that nobody used for `older_than` seconds, and the longest unused beyond `over` bytes in all."""
    settings = load_settings()
    if older_than is None and over is None:
        return list(_left(settings))
    entries = sorted(_entries(settings, _addresses(settings)), key=lambda item: item.used)
    used = _in_use(settings)
    free = [item for item in entries if item.rid not in used.rids and time.time() - item.used > UNTOUCHED]
    chosen = [item for item in free if older_than is not None and time.time() - item.used > older_than]
    if over is not None:
        size = sum(item.bytes for item in entries) - sum(item.bytes for item in chosen)
        for item in free:
            if size > over and item not in chosen:
                chosen.append(item)
                size -= item.bytes
    return [*_left(settings), *chosen]


def cache_size() -> tuple[int, int]:
    """Bytes and entries of the cache."""
    entries = list(_entries(load_settings(), {}))
    return sum(item.bytes for item in entries), len(entries)


def _entries(settings: Settings, known: Mapping[str, Address]) -> Iterator[Garbage]:
    for folder in cache.list_entries(settings):
        if not folder.name.endswith(TRASH):
            yield from _entry(Kind.bag, folder, _address_of_bag(folder))
    for folder in list_assets(settings):
        if not folder.name.endswith(TRASH):
            yield from _entry(Kind.asset, folder, known.get(folder.name))


def _entry(kind: Kind, folder: Path, address: Address | None) -> Iterator[Garbage]:
    size, count = size_of(folder)
    try:
        used = folder.stat().st_mtime
    except FileNotFoundError:
        # another process has deleted it meanwhile
        return
    when = time.strftime("%Y-%m-%d", time.localtime(used))
    yield Garbage(kind, folder, size, count, f"used last on {when}", folder.name.partition("_")[0], address, used)


def _address_of_bag(entry: Path) -> Address | None:
    """The catalog that a bag is of, as the bag says."""
    for bag in entry.glob("Dataset_*"):
        try:
            host, _, rest = read_info(bag)["External-Identifier"].partition("/")
        except (DerivaMLException, KeyError, OSError):
            return None
        return Address(host, rest.partition("/")[0])
    return None


def _addresses(settings: Settings) -> dict[str, Address]:
    """`<RID>_<MD5>` of single assets that executions of this machine have read → their catalog."""
    found: dict[str, Address] = {}
    for workspace in list_workspaces(settings.home):
        journal = open_journal(workspace)
        for row in journal.rows("select_input_assets"):
            if row["md5"]:
                found[f"{row['rid']}_{row['md5']}"] = executions.read_address(journal, row["execution_rid"])
    return found


def _in_use(settings: Settings) -> _InUse:
    rids: set[str] = set()
    for workspace in list_workspaces(settings.home):
        journal = open_journal(workspace)
        for entry in executions.list_executions(journal, limit=-1):
            if entry.status in SETTLED:
                continue
            owner = ownership.owner_of(workspace / "executions" / entry.rid)
            if owner is not None and owner.alive:
                rids |= {item.rid for item in inputs.list_inputs(journal, entry.rid)}
                rids |= _named(entry.configuration.get("assets") or ()) | _named(
                    entry.configuration.get("datasets") or ()
                )
    return _InUse(frozenset(rids))


def _named(items: Sequence[object]) -> set[str]:
    return {str(item["rid"]) if isinstance(item, dict) else str(item) for item in items}


def _left(settings: Settings) -> Iterator[Garbage]:
    """What killed processes left: entries being deleted, bags being made, files half fetched."""
    for root in (settings.cache / "bags", settings.cache / "assets"):
        for left in sorted(root.glob(f"*{TRASH}")):
            yield _leftover(left, "deleting it was broken off")
    for torn in cache.list_torn(settings):
        if not torn.name.endswith(TRASH) and _is_free(torn.parent / f"{cache.entry_of_torn(torn)}.lock"):
            yield _leftover(torn, "a bag whose making was broken off")
    for part in [
        *(settings.cache / "assets").glob("*/.*.part"),
        *(settings.home / "workspaces").glob("*/*/executions/*/inputs/*/*/.*.part"),
    ]:
        try:
            status = part.stat()
        except FileNotFoundError:
            # it has come meanwhile, and has its own name
            continue
        if time.time() - status.st_mtime > TORN:
            yield Garbage(Kind.leftover, part, status.st_size, 1, "a file that was half fetched")


def _leftover(path: Path, why: str) -> Garbage:
    size, count = size_of(path)
    return Garbage(Kind.leftover, path, size, count, why)


def _is_free(lock: Path) -> bool:
    """Whether nobody holds a lock."""
    try:
        with lock.open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def delete_cached(item: Garbage) -> str | None:
    """Delete one entry of the cache; why not, if it was used meanwhile."""
    settings = load_settings()
    if item.kind is Kind.bag:
        with cache.locked_entry(settings, item.path.name) as entry:
            return _delete(settings, item, entry)
    with locked_asset(item.path):
        reason = _delete(settings, item, item.path)
        if reason is None:
            item.path.with_name(item.path.name + SUFFIX).unlink(missing_ok=True)
        return reason


def _delete(settings: Settings, item: Garbage, entry: Path) -> str | None:
    if not entry.exists():
        return None
    if entry.stat().st_mtime != item.used or item.rid in _in_use(settings).rids:
        return "it was used meanwhile"
    remove(entry)
    return None
