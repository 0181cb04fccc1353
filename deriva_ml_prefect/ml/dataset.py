"""A dataset of the catalog: its members, versions and types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deriva_ml_prefect.bags.download import download_bag
from deriva_ml_prefect.bags.read import open_bag
from deriva_ml_prefect.catalog import dataset_members, datasets, files
from deriva_ml_prefect.catalog.connection import catalog_for
from deriva_ml_prefect.ml.absent import OF_DATASET, KnowsAbsent
from deriva_ml_prefect.ml.bag import DatasetBag
from deriva_ml_prefect.phases import make_dataset
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.records import DatasetVersionRecord
from deriva_ml_prefect.values.version import DatasetVersion, VersionPart


class Dataset(KnowsAbsent):
    """A handle on one dataset; every question is answered by the catalog as it is now."""

    _instead = OF_DATASET

    def __init__(self, address: Address, dataset_rid: str, *, execution_rid: str | None = None) -> None:
        self.address = address
        self.dataset_rid = dataset_rid
        self.execution_rid = execution_rid

    @property
    def dataset_types(self) -> list[str]:
        """Terms of Dataset_Type."""
        return list(datasets.read_dataset(catalog_for(self.address), self.dataset_rid).dataset_types)

    @property
    def description(self) -> str:
        return datasets.read_dataset(catalog_for(self.address), self.dataset_rid).description or ""

    @property
    def source_directory(self) -> str | None:
        """The folder that the dataset stands for, relative to the root that was read in; None if it stands for none."""
        return files.read_directory(catalog_for(self.address), self.dataset_rid)

    @property
    def is_directory(self) -> bool:
        """Whether the dataset stands for a folder of files that were added."""
        return self.source_directory is not None

    @property
    def is_source_root(self) -> bool:
        """Whether it stands for the root of the folders that were read in."""
        catalog = catalog_for(self.address)
        parents = dataset_members.list_parents(catalog, self.dataset_rid)
        return self.is_directory and not any(files.read_directory(catalog, parent) for parent in parents)

    def list_dataset_children(self, recurse: bool = False) -> list[Dataset]:
        """Datasets nested in this one."""
        find = dataset_members.list_descendants if recurse else dataset_members.list_children
        return [Dataset(self.address, rid) for rid in find(catalog_for(self.address), self.dataset_rid)]

    def list_dataset_parents(self) -> list[Dataset]:
        """Datasets that this one is nested in."""
        rids = dataset_members.list_parents(catalog_for(self.address), self.dataset_rid)
        return [Dataset(self.address, rid) for rid in rids]

    @property
    def current_version(self) -> DatasetVersion:
        """The latest version."""
        return datasets.resolve_version(catalog_for(self.address), self.dataset_rid, None).version

    def dataset_history(self) -> list[DatasetVersionRecord]:
        """All versions, oldest first."""
        return datasets.read_versions(catalog_for(self.address), self.dataset_rid)

    def add_dataset_members(
        self,
        members: Mapping[str, Sequence[str]] | Sequence[str],
        validate: bool = True,  # noqa: ARG002 (deriva-ml has it)
        description: str = "",
        execution_rid: str | None = None,
    ) -> None:
        """Add rows by table, {table: [RID]}, or as RIDs whose tables are looked for; the minor version is raised.

        Those that are members stay. `validate` is kept for callers of deriva-ml: what is no row is always refused.
        """
        make_dataset.add_members(
            self.address,
            self.dataset_rid,
            members,
            description=description,
            execution_rid=execution_rid or self.execution_rid,
        )

    def list_dataset_members(
        self, recurse: bool = False, version: str | None = None
    ) -> dict[str, list[dict[str, Any]]]:
        """Rows of the members by table, now or as they were in a version."""
        catalog = catalog_for(self.address)
        snapshot = datasets.resolve_version(catalog, self.dataset_rid, version).snapshot if version else None
        return dataset_members.list_members(catalog, self.dataset_rid, snapshot=snapshot, recurse=recurse)

    def increment_dataset_version(
        self, component: VersionPart | str, description: str = "", *, execution_rid: str | None = None
    ) -> DatasetVersion:
        """Raise the version's `major`, `minor` or `patch` part; the new version."""
        return make_dataset.raise_version(
            self.address,
            self.dataset_rid,
            VersionPart(component),
            description=description,
            execution_rid=execution_rid or self.execution_rid,
        )

    def download_dataset_bag(self, version: str | None = None, materialize: bool = True) -> DatasetBag:
        """The bag of a version, from the cache where it is."""
        catalog = catalog_for(self.address)
        record = datasets.resolve_version(catalog, self.dataset_rid, version)
        return DatasetBag(open_bag(download_bag(catalog, record, materialize=materialize).path))

    def __repr__(self) -> str:
        return f"Dataset({self.dataset_rid} in {self.address})"
