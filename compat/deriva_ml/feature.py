"""Features of a table, and the records of their values."""

from deriva_ml_prefect import Feature, FeatureRecord

__all__ = ["Feature", "FeatureRecord"]
