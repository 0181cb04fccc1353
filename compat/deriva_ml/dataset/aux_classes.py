"""Which dataset an execution reads, and in which version."""

from deriva_ml_prefect import DatasetSpec

__all__ = ["DatasetSpec"]
