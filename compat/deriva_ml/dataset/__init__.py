"""Datasets, and the bags that they are downloaded as."""

from typing import TYPE_CHECKING, Any

from deriva_ml.lazily import loader

if TYPE_CHECKING:
    from deriva_ml_prefect import Dataset, DatasetBag, DatasetSpec, DatasetVersion, VersionPart
    from deriva_ml_prefect.experiments import DatasetSpecConfig


__all__ = ["Dataset", "DatasetBag", "DatasetSpec", "DatasetSpecConfig", "DatasetVersion", "VersionPart"]

_homes = {
    "deriva_ml_prefect": (
        "Dataset",
        "DatasetBag",
        "DatasetSpec",
        "DatasetVersion",
        "VersionPart",
    ),
    "deriva_ml_prefect.experiments": ("DatasetSpecConfig",),
}

_load = loader(__name__, _homes)


def __getattr__(name: str) -> Any:
    return _load(name)
