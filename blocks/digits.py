"""Save the block documents of the digits experiment: its catalog, and the configuration of a training.

Run it against the Prefect server that `PREFECT_API_URL` names, after `make quickstart` has made the catalog. Running it
again replaces the documents. Flows then find the catalog as `deriva_execution(catalog="digits")`, and a deployment's
form offers the configuration `train-digits`.
"""

from __future__ import annotations

import sys

from deriva_ml_prefect import DatasetSpec, DerivaML, ExecutionConfiguration, Workflow, exceptions
from deriva_ml_prefect.blocks import DerivaCatalog, DerivaCredentials

HOST = "embedded"
CATALOG = "digits"


def save_blocks() -> None:
    """Register the block types, and save one document each of the catalog and the configuration."""
    for block in (DerivaCredentials, DerivaCatalog, ExecutionConfiguration):
        block.register_type_and_schema()
    DerivaCatalog(hostname=HOST, catalog_id=CATALOG).save("digits", overwrite=True)
    datasets = DerivaML(HOST, CATALOG).find_datasets()
    ExecutionConfiguration(
        datasets=[DatasetSpec(rid=dataset.dataset_rid) for dataset in datasets[:1]],
        workflow=Workflow(name="train-digits", workflow_type=["Training"]),
        description="Train on digits",
    ).save("train-digits", overwrite=True)


if __name__ == "__main__":
    try:
        save_blocks()
    except exceptions.DerivaMLNotFoundError as e:
        sys.exit(f"{e} Run `make quickstart` first.")
    print("Saved deriva-catalog/digits and deriva-ml-execution-configuration/train-digits.")  # noqa: T201
