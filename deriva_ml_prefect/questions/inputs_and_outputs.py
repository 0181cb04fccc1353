"""What an execution read and made: datasets with their versions, and assets by role."""

from __future__ import annotations

from dataclasses import dataclass

from deriva_ml_prefect.catalog import assets, datasets, executions
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.values.names import MLAsset
from deriva_ml_prefect.values.records import AssetRecord
from deriva_ml_prefect.values.rid import RID


@dataclass(frozen=True)
class InputDataset:
    rid: RID
    version: str | None
    """None where the catalog's generation does not record which version was read."""
    description: str | None


def input_datasets(catalog: Catalog, rid: RID) -> tuple[InputDataset, ...]:
    """The datasets that an execution read."""
    found = []
    for dataset_rid, version_rid in executions.list_input_datasets(catalog, rid):
        versions = {item.rid: item for item in datasets.read_versions(catalog, dataset_rid)}
        version = versions.get(version_rid) if version_rid else None
        description = datasets.read_dataset(catalog, dataset_rid).description
        found.append(InputDataset(dataset_rid, str(version.version) if version else None, description))
    return tuple(found)


def execution_assets(catalog: Catalog, rid: RID, role: str | None = None) -> tuple[AssetRecord, ...]:
    """The assets that an execution read or made, those of one role if given; metadata files come last."""
    tables = assets.linked_asset_tables(catalog)
    found: list[AssetRecord] = []
    for table in sorted(tables, key=lambda table: (table.name == MLAsset.execution_metadata, table.name)):
        found += assets.list_assets(catalog, table, execution_rid=rid, role=role)
    return tuple(found)
