"""A downloaded dataset, read without a connection."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deriva_ml_prefect.bags import read
from deriva_ml_prefect.bags.read import Bag
from deriva_ml_prefect.ml.feature import Feature, FeatureRecord
from deriva_ml_prefect.values.version import DatasetVersion


class DatasetBag:
    """A handle on one dataset of a bag on this machine: the bag's own, or one nested in it."""

    def __init__(self, bag: Bag, dataset_rid: str | None = None) -> None:
        self.bag = bag
        self.dataset_rid = dataset_rid or bag.dataset_rid

    @property
    def path(self) -> Path:
        """Folder of the bag."""
        return self.bag.path

    @property
    def current_version(self) -> DatasetVersion:
        """The version that the bag holds."""
        return DatasetVersion.parse(self.bag.version)

    @property
    def dataset_types(self) -> list[str]:
        """Terms of Dataset_Type."""
        return list(read.dataset_record(self.bag, self.dataset_rid).dataset_types)

    @property
    def description(self) -> str:
        return read.dataset_record(self.bag, self.dataset_rid).description or ""

    def list_tables(self) -> list[str]:
        """Names of the tables that the bag holds, sorted."""
        return read.list_tables(self.bag)

    def get_table_as_dict(self, table: str) -> Iterator[dict[str, Any]]:
        """Rows of a table; those of assets have in `Filename` the path of their file, where it was fetched."""
        return read.table_rows(self.bag, table)

    def get_table_as_dataframe(self, table: str) -> Any:
        """A table as a pandas data frame, one column a column, whether there are rows or not."""
        # pandas is an extra: only who asks for a frame needs it
        import pandas

        columns = list(read.find_table(self.bag, table).columns)
        return pandas.DataFrame(list(read.table_rows(self.bag, table)), columns=columns)

    def list_dataset_members(self, recurse: bool = False) -> dict[str, list[dict[str, Any]]]:
        """Rows of the members by table; `recurse` adds those of nested datasets."""
        return read.members(self.bag, self.dataset_rid, recurse=recurse)

    def list_dataset_children(self, recurse: bool = False) -> list[DatasetBag]:
        """Datasets nested in this one."""
        return [DatasetBag(self.bag, rid) for rid in read.children(self.bag, self.dataset_rid, recurse=recurse)]

    def list_dataset_parents(self, recurse: bool = False) -> list[DatasetBag]:
        """Datasets of the bag that this one is nested in."""
        return [DatasetBag(self.bag, rid) for rid in read.parents(self.bag, self.dataset_rid, recurse=recurse)]

    def list_executions(self) -> list[str]:
        """RIDs of the executions that the catalog links with the dataset."""
        return read.executions(self.bag, self.dataset_rid)

    def find_features(self, table: str | None = None) -> list[Feature]:
        """Features whose values the bag holds."""
        return [Feature(definition) for definition in read.features(self.bag, table)]

    def feature_values(self, table: str, feature_name: str) -> list[FeatureRecord]:
        """Values of a feature, as records."""
        feature = Feature(read.lookup_feature(self.bag, table, feature_name))
        return feature.records(read.feature_rows(self.bag, feature.definition))

    def __repr__(self) -> str:
        return f"DatasetBag({self.dataset_rid} in {self.path})"
