"""Configurations of a whole run: the model's, a notebook's, and what both have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra_zen import builds, store

from deriva_ml_prefect.experiments.model_run import run_model
from deriva_ml_prefect.ml.deriva_ml import DerivaML

base_defaults: list[Any] = [
    "_self_",
    {"deriva_ml": "default_deriva"},
    {"datasets": "default_dataset"},
    {"assets": "default_asset"},
]
"""Hydra's defaults of a run that reads data; build longer lists on it."""

MODEL_DEFAULTS: list[Any] = [
    *base_defaults,
    {"workflow": "default_workflow"},
    {"model_config": "default_model"},
    {"optional script_config": "none"},
]
"""Hydra's defaults of a run of a model."""


@dataclass
class BaseConfig:
    """What every run has; subclass it with a notebook's own fields."""

    deriva_ml: Any = None
    datasets: Any = None
    assets: Any = None
    dry_run: bool = False
    description: str = ""
    config_choices: dict[str, str] = field(default_factory=dict)
    script_config: Any = None


DerivaBaseConfig = builds(BaseConfig, populate_full_signature=True, hydra_defaults=base_defaults)
store(DerivaBaseConfig, name="deriva_base")


def create_model_config(
    ml_class: type[DerivaML] | None = None,
    description: str = "Model execution",
    hydra_defaults: list[Any] | None = None,
) -> Any:
    """Configuration of `run_model` with its whole signature; store it as `deriva_model`.

    `ml_class` is the lab's own subclass of DerivaML. `hydra_defaults` replaces `MODEL_DEFAULTS`.
    """
    return builds(
        run_model,
        ml_class=ml_class,
        description=description,
        populate_full_signature=True,
        hydra_defaults=hydra_defaults if hydra_defaults is not None else MODEL_DEFAULTS,
    )


def notebook_config(
    name: str, config_class: type[Any] | None = None, defaults: dict[str, str] | None = None, **fields: Any
) -> Any:
    """Configuration of a notebook, stored under `name`. `defaults` choose from `deriva_ml`, `datasets` and `assets`."""
    chosen = {"deriva_ml": "default_deriva", "datasets": "default_dataset", "assets": "default_asset"}
    chosen.update(defaults or {})
    hydra_defaults: list[Any] = ["_self_", *({group: option} for group, option in chosen.items())]
    config = builds(config_class or BaseConfig, populate_full_signature=True, hydra_defaults=hydra_defaults, **fields)
    store(config, name=name)
    return config
