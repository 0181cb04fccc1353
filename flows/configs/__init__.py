"""The digits experiment as hydra-zen configurations, for `deriva-ml-run --config-dir flows/configs`."""
