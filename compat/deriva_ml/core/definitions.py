"""Names, columns, files and types, in one module."""

from typing import Any

from deriva_ml.absent import Absent
from deriva_ml.core.constants import DRY_RUN_RID, ML_SCHEMA, RID, DerivaAssetColumns, DerivaSystemColumns
from deriva_ml_prefect import (
    BuiltinTypes,
    ColumnDefinition,
    ExecAssetType,
    ExecMetadataType,
    FileSpec,
    MLAsset,
    MLVocab,
)

FileUploadState: Any = Absent("FileUploadState")
ForeignKeyDefinition: Any = Absent("ForeignKeyDefinition")
KeyDefinition: Any = Absent("KeyDefinition")
MLTable: Any = Absent("MLTable")
Status: Any = Absent("Status")
TableDefinition: Any = Absent("TableDefinition")
UploadState: Any = Absent("UploadState")
VocabularyTerm: Any = Absent("VocabularyTerm")

__all__ = [
    "BuiltinTypes",
    "ColumnDefinition",
    "DRY_RUN_RID",
    "DerivaAssetColumns",
    "DerivaSystemColumns",
    "ExecAssetType",
    "ExecMetadataType",
    "FileSpec",
    "FileUploadState",
    "ForeignKeyDefinition",
    "KeyDefinition",
    "MLAsset",
    "MLTable",
    "MLVocab",
    "ML_SCHEMA",
    "RID",
    "Status",
    "TableDefinition",
    "UploadState",
    "VocabularyTerm",
]
