"""Which asset an execution reads, and the path of its file."""

from typing import TYPE_CHECKING, Any

from deriva_ml.lazily import loader

if TYPE_CHECKING:
    from deriva_ml_prefect import AssetFilePath, AssetSpec
    from deriva_ml_prefect.experiments import AssetSpecConfig


__all__ = ["AssetFilePath", "AssetSpec", "AssetSpecConfig"]

_homes = {
    "deriva_ml_prefect": (
        "AssetFilePath",
        "AssetSpec",
    ),
    "deriva_ml_prefect.experiments": ("AssetSpecConfig",),
}

_load = loader(__name__, _homes)


def __getattr__(name: str) -> Any:
    return _load(name)
