"""Names of the schema, errors, and the connection."""

from typing import TYPE_CHECKING, Any

from deriva_ml.absent import Absent
from deriva_ml.lazily import loader

if TYPE_CHECKING:
    from deriva_ml_prefect import (
        BuiltinTypes,
        ColumnDefinition,
        DerivaML,
        ExecAssetType,
        ExecMetadataType,
        FileSpec,
        MLAsset,
        MLVocab,
    )
    from deriva_ml_prefect.experiments import DerivaMLConfig

from deriva_ml.core.constants import RID, DerivaSystemColumns
from deriva_ml_prefect.exceptions import DerivaMLException, DerivaMLInvalidTerm, DerivaMLTableTypeError

FileUploadState: Any = Absent("FileUploadState")
TableDefinition: Any = Absent("TableDefinition")
UploadState: Any = Absent("UploadState")

__all__ = [
    "BuiltinTypes",
    "ColumnDefinition",
    "DerivaML",
    "DerivaMLConfig",
    "DerivaMLException",
    "DerivaMLInvalidTerm",
    "DerivaMLTableTypeError",
    "DerivaSystemColumns",
    "ExecAssetType",
    "ExecMetadataType",
    "FileSpec",
    "FileUploadState",
    "MLAsset",
    "MLVocab",
    "RID",
    "TableDefinition",
    "UploadState",
]

_homes = {
    "deriva_ml_prefect": (
        "BuiltinTypes",
        "ColumnDefinition",
        "DerivaML",
        "ExecAssetType",
        "ExecMetadataType",
        "FileSpec",
        "MLAsset",
        "MLVocab",
    ),
    "deriva_ml_prefect.experiments": ("DerivaMLConfig",),
}

_load = loader(__name__, _homes)


def __getattr__(name: str) -> Any:
    return _load(name)
