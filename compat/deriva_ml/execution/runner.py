"""A configured run."""

from deriva_ml_prefect.experiments import create_model_config, run_model

__all__ = ["create_model_config", "run_model"]
