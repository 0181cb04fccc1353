"""A dataset of the catalog."""

from deriva_ml_prefect import Dataset

__all__ = ["Dataset"]
