"""Datasets, and the bags that they are downloaded as."""

from deriva_ml_prefect import Dataset, DatasetBag, DatasetSpec

__all__ = ["Dataset", "DatasetBag", "DatasetSpec"]
