"""Datasets into the catalog: every row under a RID that was leased and noted before."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from deriva_ml_prefect.catalog import dataset_members, datasets, vocabulary
from deriva_ml_prefect.catalog.connection import catalog_for
from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.exceptions import DerivaMLValidationError
from deriva_ml_prefect.journal.store import open_journal
from deriva_ml_prefect.phases.lease import lease_rids
from deriva_ml_prefect.phases.scrubbing import clean_prose
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.names import MLVocab
from deriva_ml_prefect.values.rid import RID, check_rid
from deriva_ml_prefect.values.version import DatasetVersion, VersionPart

FIRST_VERSION = DatasetVersion(0, 1, 0)


def make_dataset(
    address: Address, *, types: Sequence[str], version: str | None, description: str, execution_rid: RID | None
) -> RID:
    """Insert a dataset with its types and first version; its RID."""
    catalog = catalog_for(address)
    names = vocabulary.term_names(catalog, MLVocab.dataset_type, types)
    first = DatasetVersion.parse(version) if version else FIRST_VERSION
    purpose = f"dataset {uuid.uuid4()}"
    dataset_rid, version_rid = _lease(address, [purpose, f"{purpose} version"])
    datasets.create_dataset(
        catalog,
        dataset_rid,
        types=names,
        description=clean_prose(description),
        version=first,
        execution_rid=execution_rid,
        version_rid=version_rid,
    )
    return dataset_rid


def add_members(
    address: Address,
    dataset_rid: RID,
    members: Mapping[str, Sequence[RID]] | Sequence[RID],
    *,
    description: str,
    execution_rid: RID | None,
) -> None:
    """Add members, by table or as RIDs, and raise the minor version. Nothing given is DerivaMLValidationError."""
    if not (any(members.values()) if isinstance(members, Mapping) else members):
        raise DerivaMLValidationError(f"No members were given for dataset {dataset_rid}.")
    catalog = catalog_for(address)
    if isinstance(members, Mapping):
        for table, rids in members.items():
            for rid in rids:
                check_rid(rid, f"Member of table {table}")
        dataset_members.add_members(catalog, dataset_rid, {**members})
    else:
        given = [members] if isinstance(members, str) else members
        dataset_members.add_members(catalog, dataset_rid, dataset_members.tables_of_members(catalog, given))
    raise_version(
        address, dataset_rid, VersionPart.minor, description=description or "Added members", execution_rid=execution_rid
    )


def raise_version(
    address: Address, dataset_rid: RID, part: VersionPart, *, description: str, execution_rid: RID | None
) -> DatasetVersion:
    """Insert the next version of a dataset, with the snapshot that holds it."""
    catalog = catalog_for(address)
    present = datasets.resolve_version(catalog, dataset_rid, None).version
    version = present.raised(part)
    (version_rid,) = _lease(address, [f"dataset {dataset_rid} version {version}"])
    datasets.add_version(
        catalog,
        dataset_rid,
        version_rid,
        version=version,
        description=clean_prose(description),
        execution_rid=execution_rid,
    )
    return version


def _lease(address: Address, purposes: list[str]) -> list[RID]:
    return lease_rids(catalog_for(address), open_journal(load_settings().workspace(address)), purposes)
