"""The code that an execution runs."""

from deriva_ml_prefect import Workflow

__all__ = ["Workflow"]
