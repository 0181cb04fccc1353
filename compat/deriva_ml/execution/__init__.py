"""Executions, their configuration, the workflow that they run, and configured runs."""

from typing import TYPE_CHECKING, Any

from deriva_ml.absent import Absent
from deriva_ml.lazily import loader

if TYPE_CHECKING:
    from deriva_ml_prefect import Execution, ExecutionConfiguration, ExecutionStatus, Workflow
    from deriva_ml_prefect.experiments import (
        BaseConfig,
        DerivaBaseConfig,
        DerivaMLModel,
        base_defaults,
        create_model_config,
        load_configs,
        multirun_config,
        notebook_config,
        run_model,
        with_description,
    )

AssetRIDConfig: Any = Absent("AssetRIDConfig")
run_notebook: Any = Absent("run_notebook")

__all__ = [
    "AssetRIDConfig",
    "BaseConfig",
    "DerivaBaseConfig",
    "DerivaMLModel",
    "Execution",
    "ExecutionConfiguration",
    "ExecutionStatus",
    "Workflow",
    "base_defaults",
    "create_model_config",
    "load_configs",
    "multirun_config",
    "notebook_config",
    "run_model",
    "run_notebook",
    "with_description",
]

_homes = {
    "deriva_ml_prefect": (
        "Execution",
        "ExecutionConfiguration",
        "ExecutionStatus",
        "Workflow",
    ),
    "deriva_ml_prefect.experiments": (
        "BaseConfig",
        "DerivaBaseConfig",
        "DerivaMLModel",
        "base_defaults",
        "create_model_config",
        "load_configs",
        "multirun_config",
        "notebook_config",
        "run_model",
        "with_description",
    ),
}

_load = loader(__name__, _homes)


def __getattr__(name: str) -> Any:
    return _load(name)
