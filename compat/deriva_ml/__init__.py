"""The package name of deriva-ml over deriva-ml-prefect, for programs that import `deriva_ml`.

Entry points: the modules that such programs import names from, each with those names of `deriva_ml_prefect` that
deriva-ml has in the module of the same path. Importing this package raises ImportError when the distribution
deriva-ml is installed. A name that deriva-ml-prefect has nothing for can be imported, and raises DerivaMLNotProvided
when it is used.

There is no behaviour here of its own, and only public names of deriva_ml_prefect are used.
"""

from typing import TYPE_CHECKING, Any

from deriva_ml import conflict

conflict.refuse_original()

from deriva_ml.absent import Absent  # noqa: E402 (the conflict is to be told first)
from deriva_ml.lazily import loader  # noqa: E402

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

from deriva_ml.core.constants import RID, DerivaAssetColumns, DerivaSystemColumns  # noqa: E402
from deriva_ml_prefect.exceptions import DerivaMLException, DerivaMLInvalidTerm, DerivaMLTableTypeError  # noqa: E402

FileUploadState: Any = Absent("FileUploadState")
ForeignKeyDefinition: Any = Absent("ForeignKeyDefinition")
KeyDefinition: Any = Absent("KeyDefinition")
TableDefinition: Any = Absent("TableDefinition")
UploadState: Any = Absent("UploadState")

__all__ = [
    "BuiltinTypes",
    "ColumnDefinition",
    "DerivaAssetColumns",
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
    "ForeignKeyDefinition",
    "KeyDefinition",
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
