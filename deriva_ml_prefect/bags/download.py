"""A dataset version as a bag on this machine, downloaded once, however often and by however many it is asked for."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deriva_ml_prefect.bags.cache import (
    cache_key,
    changed_since_checked,
    locked_entry,
    make_entry,
    mark_used,
    note_checked,
)
from deriva_ml_prefect.bags.export import export_dataset
from deriva_ml_prefect.bags.layout import bag_name
from deriva_ml_prefect.bags.manifest import read_fetch, read_manifest
from deriva_ml_prefect.bags.materialize import Progress, materialize_bag
from deriva_ml_prefect.bags.space import require_space
from deriva_ml_prefect.bags.verify import file_md5
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.rows import snaptime
from deriva_ml_prefect.values.records import DatasetVersionRecord

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BagFacts:
    """A bag that is here, and what it took to have it here."""

    path: Path
    dataset_rid: str
    version: str
    snapshot: str
    files: int
    """Asset files of the bag."""
    bytes: int
    """Their length together."""
    from_cache: bool
    """Whether nothing had to be asked of the catalog."""


def download_bag(
    catalog: Catalog,
    record: DatasetVersionRecord,
    *,
    materialize: bool = True,
    exclude_tables: Iterable[str] = (),
    concurrency: int = 8,
    progress: Progress | None = None,
) -> BagFacts:
    """The bag of a dataset version, with its files unless `materialize` is off.

    A version with a snapshot that is in the cache costs no request; a bag without files is completed where it lies.
    DerivaMLChecksumError if a file does not arrive as promised; the rest is kept for the next try.
    """
    excluded = sorted(set(exclude_tables))
    snapshot = record.snapshot or snaptime(catalog)
    asked = record.snapshot is None
    key = cache_key(catalog.address, record.dataset_rid, snapshot, excluded)
    with locked_entry(catalog.settings, key) as entry:
        bag = entry / bag_name(record.dataset_rid)
        if bag.exists() and not _tables_whole(entry, bag):
            logger.warning("The cached bag %s was changed on this machine; it is made anew.", bag)
            shutil.rmtree(entry)
        if not bag.exists():
            fixed = DatasetVersionRecord(record.rid, record.dataset_rid, record.version, snapshot, None, None)

            def make(folder: Path) -> None:
                made = folder / bag.name
                export_dataset(catalog, fixed, made, exclude_tables=excluded)
                note_checked(folder, made, _local(made))

            make_entry(entry, make)
            asked = True
        entries = read_fetch(bag)
        paths = [file.path for file in entries]
        if materialize and (missing := changed_since_checked(entry, bag, paths)):
            lengths = {file.path: file.length for file in entries}
            require_space(entry, sum(lengths[path] for path in missing), f"Dataset {record.dataset_rid}")
            fetched = materialize_bag(catalog, bag, concurrency=concurrency, progress=progress)
            if fetched:
                asked = True
                os.sync()  # once for all files, before they count as checked
            # all that the manifest lists: what the export wrote, and what has come
            note_checked(entry, bag, list(read_manifest(bag)))
        mark_used(entry)
    return BagFacts(
        path=bag,
        dataset_rid=record.dataset_rid,
        version=str(record.version),
        snapshot=snapshot,
        files=len(entries),
        bytes=sum(file.length for file in entries),
        from_cache=not asked,
    )


def _local(bag: Path) -> list[str]:
    """Paths of the payload files that the export itself wrote."""
    fetched = {entry.path for entry in read_fetch(bag)}
    return [path for path in read_manifest(bag) if path not in fetched]


def _tables_whole(entry: Path, bag: Path) -> bool:
    manifest = read_manifest(bag)
    return all(
        (bag / path).is_file() and file_md5(bag / path) == manifest[path]
        for path in changed_since_checked(entry, bag, _local(bag))
    )
