"""The connection to a catalog."""

from deriva_ml_prefect import DerivaML

__all__ = ["DerivaML"]
