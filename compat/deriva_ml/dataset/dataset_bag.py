"""A downloaded dataset."""

from deriva_ml_prefect import DatasetBag

__all__ = ["DatasetBag"]
