"""Assets, and the files that they are."""

from typing import TYPE_CHECKING, Any

from deriva_ml.lazily import loader

if TYPE_CHECKING:
    from deriva_ml_prefect import Asset, AssetFilePath, AssetSpec
    from deriva_ml_prefect.experiments import AssetSpecConfig


__all__ = ["Asset", "AssetFilePath", "AssetSpec", "AssetSpecConfig"]

_homes = {
    "deriva_ml_prefect": (
        "Asset",
        "AssetFilePath",
        "AssetSpec",
    ),
    "deriva_ml_prefect.experiments": ("AssetSpecConfig",),
}

_load = loader(__name__, _homes)


def __getattr__(name: str) -> Any:
    return _load(name)
