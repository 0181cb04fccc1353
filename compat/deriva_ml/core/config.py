"""Which catalog an experiment runs against."""

from deriva_ml_prefect.experiments import DerivaMLConfig

__all__ = ["DerivaMLConfig"]
