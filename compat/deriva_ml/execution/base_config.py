"""Configurations of a whole run."""

from typing import Any

from deriva_ml.absent import Absent
from deriva_ml_prefect.experiments import BaseConfig, DerivaBaseConfig, base_defaults, notebook_config, with_description

run_notebook: Any = Absent("run_notebook")

__all__ = ["BaseConfig", "DerivaBaseConfig", "base_defaults", "notebook_config", "run_notebook", "with_description"]
