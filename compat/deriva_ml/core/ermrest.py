"""Columns to be made, and the progress of an upload."""

from typing import Any

from deriva_ml.absent import Absent
from deriva_ml_prefect import ColumnDefinition, UploadProgress

FileUploadState: Any = Absent("FileUploadState")
ForeignKeyDefinition: Any = Absent("ForeignKeyDefinition")
KeyDefinition: Any = Absent("KeyDefinition")
TableDefinition: Any = Absent("TableDefinition")
VocabularyTerm: Any = Absent("VocabularyTerm")

__all__ = [
    "ColumnDefinition",
    "FileUploadState",
    "ForeignKeyDefinition",
    "KeyDefinition",
    "TableDefinition",
    "UploadProgress",
    "VocabularyTerm",
]
