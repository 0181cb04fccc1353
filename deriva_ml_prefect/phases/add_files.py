"""Files that stay where they are, into the catalog: a row a file, and a dataset a folder, nested like the folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, replace

from deriva_ml_prefect.catalog import dataset_members, datasets, files, vocabulary
from deriva_ml_prefect.catalog.files import FileSpec, Folder
from deriva_ml_prefect.phases.context import Context, catalog_of, journal_of
from deriva_ml_prefect.phases.lease import lease_rids
from deriva_ml_prefect.phases.scrubbing import clean_prose
from deriva_ml_prefect.values.names import MLVocab
from deriva_ml_prefect.values.rid import RID

_FILE = "File"
_DIRECTORY = "Directory"
_DATASET = "Dataset"


def add_files(
    context: Context,
    specs: Iterable[FileSpec],
    *,
    dataset_types: Sequence[str] = (),
    root_name: str | None = None,
    description: str = "",
) -> RID:
    """RID of the dataset of the root folder. The same files given again by this execution are the same datasets.

    Types are checked before anything is written. Each dataset gets its first version when everything is in it, those
    of inner folders before those around them.
    """
    catalog = catalog_of(context)
    description = clean_prose(description)
    listed = [
        replace(spec, description=clean_prose(spec.description)) for spec in {spec.url: spec for spec in specs}.values()
    ]
    always = [_FILE, *([_DIRECTORY] if catalog.dialect.directory_datasets else [])]
    types = vocabulary.term_names(catalog, MLVocab.dataset_type, [*always, *dataset_types])
    kinds = {_FILE, *(term for spec in listed for term in spec.file_types)}
    terms = vocabulary.require_terms(catalog, MLVocab.asset_type, sorted(kinds))
    listed = [replace(spec, file_types=tuple(terms[term].name for term in spec.file_types)) for spec in listed]
    root = files.plan_folders(listed, root_name=root_name)

    file_rids = files.insert_files(catalog, listed, context.rid)
    folders = list(root.deepest_first())
    leased = _lease(context, folders, _digest(listed, types, root.path, description))
    dataset_of = {id(folder): leased[2 * i] for i, folder in enumerate(folders)}
    for folder in folders:
        rid = dataset_of[id(folder)]
        datasets.insert_dataset(catalog, rid, types=types, description=description)
        files.write_directory(catalog, rid, folder.path)
        members = {
            (catalog.address.ml_schema, _FILE): [file_rids[spec.url] for spec in folder.files],
            (catalog.address.ml_schema, _DATASET): [dataset_of[id(inner)] for inner in folder.folders],
        }
        dataset_members.add_members(catalog, rid, {table: found for table, found in members.items() if found})
    for i, folder in enumerate(folders):
        datasets.add_version(
            catalog,
            dataset_of[id(folder)],
            leased[2 * i + 1],
            version=datasets.FIRST_VERSION,
            description=description,
            execution_rid=context.rid,
        )
    return dataset_of[id(root)]


def _digest(specs: Sequence[FileSpec], types: Sequence[str], root: str, description: str) -> str:
    told = [sorted(astuple(spec) for spec in specs), list(types), root, description]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _lease(context: Context, folders: Sequence[Folder], digest: str) -> list[RID]:
    """Two RIDs a folder, dataset and version, under tokens that the journal has before the catalog is asked."""
    purposes = [
        f"files {context.rid} {digest} {number} {kind}" for number in range(len(folders)) for kind in ("", "version")
    ]
    return lease_rids(catalog_of(context), journal_of(context), purposes)
