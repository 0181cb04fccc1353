"""What an execution is asked to do."""

from deriva_ml_prefect import AssetSpec, ExecutionConfiguration

__all__ = ["AssetSpec", "ExecutionConfiguration"]
