"""Executions, their configuration, and the workflow that they run."""

from deriva_ml_prefect import Execution, ExecutionConfiguration, Workflow

__all__ = ["Execution", "ExecutionConfiguration", "Workflow"]
