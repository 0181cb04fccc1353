"""Configured runs: hydra-zen configurations of an experiment, and the model function that they run.

Entry points for a project's `configs` package: `DerivaMLConfig`, `DatasetSpecConfig`, `AssetSpecConfig`, `BaseConfig`,
`DerivaBaseConfig`, `base_defaults`, `create_model_config`, `run_model`, `with_description`, `multirun_config`,
`notebook_config`, `load_configs`, `DerivaMLModel`. `launch.launch` is what `deriva-ml-run` does.

Groups and names are deriva-ml's: `deriva_ml, datasets, assets, workflow, model_config, script_config, experiment`, each
with its default (`default_deriva`, `default_dataset`, `default_asset`, `default_workflow`, `default_model`), and
`deriva_model` on top. This room knows hydra-zen; how an execution runs is not decided here.
"""

from deriva_ml_prefect.experiments.builders import (
    BaseConfig,
    DerivaBaseConfig,
    base_defaults,
    create_model_config,
    notebook_config,
)
from deriva_ml_prefect.experiments.described import DescribedList, with_description
from deriva_ml_prefect.experiments.loading import load_configs
from deriva_ml_prefect.experiments.model_function import DerivaMLModel
from deriva_ml_prefect.experiments.model_run import run_model
from deriva_ml_prefect.experiments.specs import AssetSpecConfig, DatasetSpecConfig, DerivaMLConfig
from deriva_ml_prefect.experiments.sweeps import MultirunSpec, multirun_config

__all__ = [
    "AssetSpecConfig",
    "BaseConfig",
    "DatasetSpecConfig",
    "DerivaBaseConfig",
    "DerivaMLConfig",
    "DerivaMLModel",
    "DescribedList",
    "MultirunSpec",
    "base_defaults",
    "create_model_config",
    "load_configs",
    "multirun_config",
    "notebook_config",
    "run_model",
    "with_description",
]
