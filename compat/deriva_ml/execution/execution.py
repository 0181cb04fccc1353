"""One run of the user's code."""

from deriva_ml_prefect import AssetFilePath, Execution

__all__ = ["AssetFilePath", "Execution"]
