"""Catalog, dataset, workflow and models of the digits experiment.

`make quickstart` makes the catalog; then, for instance:

    deriva-ml-run --config-dir flows/configs --info
    deriva-ml-run --config-dir flows/configs model_config=quick model_config.learning_rate=0.02
    deriva-ml-run --config-dir flows/configs dry_run=true
"""

from __future__ import annotations

from hydra_zen import builds, store
from load_digits import CATALOG, HOST, find_digits
from train_digits import train

from deriva_ml_prefect import Workflow
from deriva_ml_prefect.experiments import DerivaMLConfig, create_model_config, multirun_config, with_description

store(
    DerivaMLConfig,
    group="deriva_ml",
    name="default_deriva",
    hostname=HOST,
    catalog_id=CATALOG,
    zen_meta={"description": "the catalog of the quickstart"},
)
# which dataset that is differs from catalog to catalog, so it is looked up when the run starts
store(builds(find_digits), group="datasets", name="default_dataset")
store(with_description([], "no single assets"), group="assets", name="default_asset")
store(
    builds(
        Workflow,
        name="train-digits",
        workflow_type=["Training"],
        description="Train a linear classifier on digits",
        populate_full_signature=True,
    ),
    group="workflow",
    name="default_workflow",
)

for name, epochs in (("default_model", 15), ("quick", 3)):
    meta = {"description": f"{epochs} epochs"}
    model = builds(train, epochs=epochs, populate_full_signature=True, zen_partial=True, zen_meta=meta)
    store(model, group="model_config", name=name)

store(create_model_config(description="Train on digits"), name="deriva_model")
multirun_config("rates", ["model_config.learning_rate=0.001,0.01,0.1"], "Three learning rates on the digits")
