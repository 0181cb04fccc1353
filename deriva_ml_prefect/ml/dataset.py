"""A dataset of the catalog: its members, versions and types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deriva_ml_prefect.bags.download import download_bag
from deriva_ml_prefect.bags.read import open_bag
from deriva_ml_prefect.catalog import dataset_members, datasets
from deriva_ml_prefect.catalog.connection import catalog_for
from deriva_ml_prefect.ml.bag import DatasetBag
from deriva_ml_prefect.phases import make_dataset
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.records import DatasetVersionRecord
from deriva_ml_prefect.values.version import DatasetVersion, VersionPart


class Dataset:
    """A handle on one dataset; every question is answered by the catalog as it is now."""

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
    def current_version(self) -> DatasetVersion:
        """The latest version."""
        return datasets.resolve_version(catalog_for(self.address), self.dataset_rid, None).version

    def dataset_history(self) -> list[DatasetVersionRecord]:
        """All versions, oldest first."""
        return datasets.read_versions(catalog_for(self.address), self.dataset_rid)

    def add_dataset_members(
        self, members: Mapping[str, Sequence[str]], description: str = "", *, execution_rid: str | None = None
    ) -> None:
        """Add rows by table: {table: [RID]}. Those that are members stay; the minor version is raised."""
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
