"""How large the bag of a dataset version is, and how much of it is here: rows are asked for, files are not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from deriva_ml_prefect.bags.cache import cache_key, changed_since_checked, locked_entry
from deriva_ml_prefect.bags.export import asset_lengths
from deriva_ml_prefect.bags.layout import bag_name
from deriva_ml_prefect.bags.manifest import read_fetch
from deriva_ml_prefect.bags.walk import walk_dataset
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.rows import snaptime
from deriva_ml_prefect.catalog.schema import read_schema
from deriva_ml_prefect.values.records import DatasetVersionRecord


@dataclass(frozen=True)
class BagSize:
    files: int
    bytes: int
    cached_files: int
    cached_bytes: int


def measure_bag(
    catalog: Catalog, record: DatasetVersionRecord, *, materialize: bool = True, exclude_tables: Iterable[str] = ()
) -> BagSize:
    """Files of a dataset version and their bytes, and what of them is in the cache. Without files: nothing to fetch."""
    excluded = sorted(set(exclude_tables))
    if not materialize:
        return BagSize(0, 0, 0, 0)
    if record.snapshot is not None:
        key = cache_key(catalog.address, record.dataset_rid, record.snapshot, excluded)
        with locked_entry(catalog.settings, key) as entry:
            bag = entry / bag_name(record.dataset_rid)
            if bag.exists():
                files = {file.path: file.length for file in read_fetch(bag)}
                missing = set(changed_since_checked(entry, bag, files))
                here = [length for path, length in files.items() if path not in missing]
                return BagSize(len(files), sum(files.values()), len(here), sum(here))
    snapshot = record.snapshot or snaptime(catalog)
    document = catalog.client.request("GET", catalog.path("schema", snapshot=snapshot), want_json=True).json()
    schema = read_schema(document)
    harvest = walk_dataset(catalog, schema, record.dataset_rid, snapshot=snapshot, exclude_tables=frozenset(excluded))
    lengths = asset_lengths(catalog, schema, harvest)
    return BagSize(len(lengths), sum(lengths), 0, 0)
