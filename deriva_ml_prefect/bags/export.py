"""Makes the bag of a dataset on this machine, out of a snapshot of its catalog, without the files of its assets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deriva_ml_prefect.bags.layout import SCHEMA_FILE, asset_file, folded, old_asset_folder, table_file
from deriva_ml_prefect.bags.manifest import PayloadFile, write_tag_files
from deriva_ml_prefect.bags.tables import write_table
from deriva_ml_prefect.bags.verify import file_md5
from deriva_ml_prefect.bags.walk import Harvest, Ref, walk_dataset
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.rows import snaptime
from deriva_ml_prefect.catalog.schema import Schema, is_asset, read_schema
from deriva_ml_prefect.transfer.hashing import md5_hex_of
from deriva_ml_prefect.values.names import AssetRole, MLAsset
from deriva_ml_prefect.values.records import DatasetVersionRecord


def export_dataset(
    catalog: Catalog, record: DatasetVersionRecord, dest_folder: Path, *, exclude_tables: Iterable[str] = ()
) -> Path:
    """Write the unmaterialised bag of a dataset version into `dest_folder`, which must not exist yet; returns it.

    A development version has no snapshot: the catalog is then read as it is at this moment, all of it at one snapshot.
    """
    snapshot = record.snapshot or snaptime(catalog)
    document = catalog.client.request("GET", catalog.path("schema", snapshot=snapshot), want_json=True).json()
    schema = read_schema(document)
    harvest = walk_dataset(
        catalog, schema, record.dataset_rid, snapshot=snapshot, exclude_tables=frozenset(exclude_tables)
    )
    (dest_folder / "data").mkdir(parents=True)
    (dest_folder / SCHEMA_FILE).write_text(json.dumps(document, indent=1, sort_keys=True), encoding="utf-8")
    written = [SCHEMA_FILE]
    for ref in sorted(harvest.rows):
        table = schema.tables[ref]
        path = table_file(*ref)
        rows = sorted(harvest.rows[ref].values(), key=lambda row: str(row["RID"]))
        write_table(dest_folder / path, {name: table.typename(name) for name in table.columns}, rows)
        written.append(path)
    files = [PayloadFile(path, (dest_folder / path).stat().st_size, file_md5(dest_folder / path)) for path in written]
    files += _assets(catalog, schema, harvest, dest_folder)
    info = {
        "Bag-Software-Agent": "deriva-ml-prefect",
        "External-Identifier": f"{catalog.address}/{record.dataset_rid}@{snapshot}",
        "Dataset-RID": record.dataset_rid,
        "Dataset-Version": str(record.version),
        "Dataset-Snapshot": snapshot,
    }
    write_tag_files(dest_folder, files, info)
    return dest_folder


def _assets(catalog: Catalog, schema: Schema, harvest: Harvest, bag: Path) -> list[PayloadFile]:
    """Entries for the files of all asset rows that have bytes to fetch, and the links for older readers."""
    entries: list[PayloadFile] = []
    taken: set[str] = set()
    for ref in sorted(harvest.rows):
        if not is_asset(schema.tables[ref]):
            continue
        writers = _writers(schema, harvest, ref, catalog.address.ml_schema)
        for rid, row in sorted(harvest.rows[ref].items()):
            url, md5 = _fetchable(catalog, row), md5_hex_of(str(row.get("MD5") or ""))
            if url is None or not md5:
                continue
            name = str(row.get("Filename") or rid)
            folders = writers.get(rid) or [rid]
            paths = [asset_file(ref[1], folder, name) for folder in folders]
            if any(folded(path) in taken for path in paths):
                folders, paths = [rid], [asset_file(ref[1], rid, name)]
            taken.update(folded(path) for path in paths)
            entries += [PayloadFile(path, int(row.get("Length") or 0), md5, url) for path in paths]
            link = bag / old_asset_folder(ref[1], rid)
            link.parent.mkdir(parents=True, exist_ok=True)
            (bag / paths[0]).parent.mkdir(parents=True, exist_ok=True)  # a link to nothing would count as a file
            link.symlink_to(Path("../../assets") / Path(paths[0]).parent.relative_to("data/assets"))
    return entries


def asset_lengths(catalog: Catalog, schema: Schema, harvest: Harvest) -> list[int]:
    """Bytes of each file that a bag of these rows fetches."""
    lengths: list[int] = []
    for ref in sorted(harvest.rows):
        if not is_asset(schema.tables[ref]):
            continue
        writers = _writers(schema, harvest, ref, catalog.address.ml_schema)
        for rid, row in harvest.rows[ref].items():
            if _fetchable(catalog, row) is not None and md5_hex_of(str(row.get("MD5") or "")):
                lengths += [int(row.get("Length") or 0)] * len(writers.get(rid) or [rid])
    return lengths


def _writers(schema: Schema, harvest: Harvest, ref: Ref, ml_schema: str) -> dict[str, list[str]]:
    """For metadata files: the executions that wrote each, under whose RIDs they lie. Empty for other tables."""
    if ref != (ml_schema, MLAsset.execution_metadata.value):
        return {}
    found: dict[str, list[str]] = {}
    for other, rows in harvest.rows.items():
        keys = {fkey.target: fkey.column for fkey in schema.tables[other].foreign_keys if len(fkey.columns) == 1}
        asset, execution = keys.get(ref), keys.get((ml_schema, "Execution"))
        if asset is None or execution is None:
            continue
        for row in rows.values():
            if row.get("Asset_Role") == AssetRole.output.value:
                found.setdefault(row[asset], []).append(row[execution])
    return {rid: sorted(set(executions)) for rid, executions in found.items()}


def _fetchable(catalog: Catalog, row: Mapping[str, Any]) -> str | None:
    """The absolute address of an asset's bytes; None where the URL is only a name (`tag:`, `file:`)."""
    url = str(row.get("URL") or "")
    if url.startswith("/hatrac/"):
        return catalog.base_url + url
    return url if urlsplit(url).scheme in ("http", "https") else None
