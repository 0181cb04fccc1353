"""The status of an execution."""

from deriva_ml_prefect import ExecutionStatus

__all__ = ["ExecutionStatus"]
