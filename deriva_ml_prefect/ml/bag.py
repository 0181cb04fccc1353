"""A downloaded dataset, read without a connection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from deriva_ml_prefect.bags import read
from deriva_ml_prefect.bags.read import Bag
from deriva_ml_prefect.exceptions import DerivaMLMaterializeLimitExceeded
from deriva_ml_prefect.ml.absent import OF_BAG, KnowsAbsent
from deriva_ml_prefect.ml.feature import Feature, FeatureRecord
from deriva_ml_prefect.questions.frames import to_dataframe
from deriva_ml_prefect.questions.select_values import Selector
from deriva_ml_prefect.values.version import DatasetVersion


class DatasetBag(KnowsAbsent):
    """A handle on one dataset of a bag on this machine: the bag's own, or one nested in it."""

    _instead = OF_BAG

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
        return to_dataframe(read.table_rows(self.bag, table), list(read.find_table(self.bag, table).columns))

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

    def lookup_feature(self, table: str, feature_name: str) -> Feature:
        """The feature of that name of a table."""
        return Feature(read.lookup_feature(self.bag, table, feature_name))

    def feature_values(
        self,
        table: str,
        feature_name: str,
        selector: Selector[FeatureRecord] | None = None,
        materialize_limit: int | None = None,
        execution_rids: Sequence[str] | None = None,
    ) -> list[FeatureRecord]:
        """Values of a feature, as records: all, those of some executions, or with a selector one for each target row.

        More than `materialize_limit` are DerivaMLMaterializeLimitExceeded.
        """
        feature = self.lookup_feature(table, feature_name)
        rows = read.feature_rows(self.bag, feature.definition)
        if execution_rids is not None:
            rows = [row for row in rows if row[feature.definition.execution_column] in execution_rids]
        if materialize_limit is not None and len(rows) > materialize_limit:
            raise DerivaMLMaterializeLimitExceeded(
                f"Feature {feature_name} of {table} has {len(rows)} values in this bag, more than {materialize_limit}."
            )
        return feature.select(rows, selector)

    def list_workflow_executions(self, workflow: str) -> list[str]:
        """RIDs of the executions in the bag that ran a workflow (RID, URL or checksum), or workflows of a type."""
        return read.workflow_executions(self.bag, workflow)

    def __repr__(self) -> str:
        return f"DatasetBag({self.dataset_rid} in {self.path})"
