"""Presets."""

from hydra_zen import make_config, store

from configs.base import ModelConfig

store(
    make_config(bases=(ModelConfig,), hydra_defaults=["_self_", {"override /model_config": "quick"}]),
    group="experiment",
    package="_global_",
    name="line_quick",
)
