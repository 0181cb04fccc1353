"""Names that the `deriva-ml` schema gives to its asset tables, vocabularies and terms, and column types."""

from typing import Any

from deriva_ml.absent import Absent
from deriva_ml_prefect import BuiltinTypes, ExecAssetType, ExecMetadataType, MLAsset, MLVocab

MLTable: Any = Absent("MLTable")
Status: Any = Absent("Status")
UploadState: Any = Absent("UploadState")

__all__ = [
    "BuiltinTypes",
    "ExecAssetType",
    "ExecMetadataType",
    "MLAsset",
    "MLTable",
    "MLVocab",
    "Status",
    "UploadState",
]
