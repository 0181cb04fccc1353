"""DerivaML executions as Prefect flows: provenance for machine-learning experiments, kept in a DERIVA catalog.

Public names, loaded when they are first used, so that importing the package costs nothing; nothing inside imports them
from here. Catalogs: `DerivaML`, `create_ml_catalog`. Runs: `ExecutionConfiguration`, `Execution`, `deriva_execution`,
`run_nested`, `NestedRun`, `current_execution`, `tell_missed_ends`, `ExecutionStatus`, `Workflow`. Data: `DatasetSpec`,
`AssetSpec`, `Dataset`, `DatasetVersion`, `VersionPart`, `DatasetBag`, `Asset`, `AssetFilePath`, `FileSpec`, `Feature`,
`FeatureRecord`, `UploadProgress`. Tables: `ColumnDefinition`, `BuiltinTypes`. Names of the schema: `MLAsset`,
`ExecAssetType`, `ExecMetadataType`, `MLVocab`. Errors: `exceptions`. Only `ExecutionConfiguration`, `deriva_execution`,
`run_nested` and `tell_missed_ends` import Prefect.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deriva_ml_prefect import exceptions
    from deriva_ml_prefect.blocks import ExecutionConfiguration
    from deriva_ml_prefect.catalog.files import FileSpec
    from deriva_ml_prefect.config.asset import AssetSpec
    from deriva_ml_prefect.config.column import ColumnDefinition
    from deriva_ml_prefect.config.dataset import DatasetSpec
    from deriva_ml_prefect.config.workflow import Workflow
    from deriva_ml_prefect.decorators import deriva_execution
    from deriva_ml_prefect.ml.asset_file import AssetFilePath
    from deriva_ml_prefect.ml.bag import DatasetBag
    from deriva_ml_prefect.ml.creation import create_ml_catalog
    from deriva_ml_prefect.ml.current import current_execution
    from deriva_ml_prefect.ml.dataset import Dataset
    from deriva_ml_prefect.ml.deriva_ml import DerivaML
    from deriva_ml_prefect.ml.execution import Execution
    from deriva_ml_prefect.ml.feature import Feature, FeatureRecord
    from deriva_ml_prefect.ml.recorded_execution import Asset
    from deriva_ml_prefect.outage.missed import tell_missed_ends
    from deriva_ml_prefect.sweep import NestedRun, run_nested
    from deriva_ml_prefect.values.names import BuiltinTypes, ExecAssetType, ExecMetadataType, MLAsset, MLVocab
    from deriva_ml_prefect.values.progress import UploadProgress
    from deriva_ml_prefect.values.status import ExecutionStatus
    from deriva_ml_prefect.values.version import DatasetVersion, VersionPart

__all__ = [
    "Asset",
    "AssetFilePath",
    "AssetSpec",
    "BuiltinTypes",
    "ColumnDefinition",
    "Dataset",
    "DatasetBag",
    "DatasetSpec",
    "DatasetVersion",
    "DerivaML",
    "ExecAssetType",
    "ExecMetadataType",
    "Execution",
    "ExecutionConfiguration",
    "ExecutionStatus",
    "Feature",
    "FeatureRecord",
    "FileSpec",
    "MLAsset",
    "MLVocab",
    "NestedRun",
    "UploadProgress",
    "VersionPart",
    "Workflow",
    "create_ml_catalog",
    "current_execution",
    "deriva_execution",
    "exceptions",
    "run_nested",
    "tell_missed_ends",
]

_HOMES = {
    "Asset": "ml.recorded_execution",
    "AssetFilePath": "ml.asset_file",
    "AssetSpec": "config.asset",
    "BuiltinTypes": "values.names",
    "ColumnDefinition": "config.column",
    "Dataset": "ml.dataset",
    "DatasetBag": "ml.bag",
    "DatasetSpec": "config.dataset",
    "DatasetVersion": "values.version",
    "DerivaML": "ml.deriva_ml",
    "ExecAssetType": "values.names",
    "ExecMetadataType": "values.names",
    "Execution": "ml.execution",
    "ExecutionConfiguration": "blocks",
    "ExecutionStatus": "values.status",
    "Feature": "ml.feature",
    "FeatureRecord": "ml.feature",
    "FileSpec": "catalog.files",
    "MLAsset": "values.names",
    "MLVocab": "values.names",
    "NestedRun": "sweep",
    "UploadProgress": "values.progress",
    "VersionPart": "values.version",
    "Workflow": "config.workflow",
    "create_ml_catalog": "ml.creation",
    "current_execution": "ml.current",
    "deriva_execution": "decorators",
    "run_nested": "sweep",
    "tell_missed_ends": "outage.missed",
}
"""Public name → module that defines it."""


def __getattr__(name: str) -> Any:
    if name == "exceptions":
        return importlib.import_module(f"{__name__}.exceptions")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
