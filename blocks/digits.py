"""Save the block documents of the digits experiment: its catalog, and configurations of a training and an evaluation.

Run it against the Prefect server that `PREFECT_API_URL` names, after `make quickstart` has made the catalog. Running it
again replaces the documents. Flows then find the catalog as `deriva_execution(catalog="digits")`, and a deployment's
form offers the configurations `train-digits` and `evaluate-digits`.
"""

from __future__ import annotations

import os
import sys

from deriva_ml_prefect import DatasetSpec, DerivaML, ExecutionConfiguration, Workflow, exceptions
from deriva_ml_prefect.blocks import DerivaCatalog, DerivaCredentials

HOST = os.environ.get("DERIVA_ML_HOST") or "embedded"
CATALOG = os.environ.get("DERIVA_ML_CATALOG") or "digits"
CONFIGURATIONS = (
    ("train-digits", "Training", "Train on digits"),
    ("evaluate-digits", "Testing", "Evaluate the newest model on the digits"),
)
"""Name of the document and of its workflow, the workflow's type, description."""


def save_blocks() -> None:
    """Register the block types, and save one document each of the catalog and the configuration."""
    for block in (DerivaCredentials, DerivaCatalog, ExecutionConfiguration):
        block.register_type_and_schema()
    DerivaCatalog(hostname=HOST, catalog_id=CATALOG).save("digits", overwrite=True)
    datasets = [DatasetSpec(rid=found.dataset_rid) for found in DerivaML(HOST, CATALOG).find_datasets()[:1]]
    for name, kind, description in CONFIGURATIONS:
        workflow = Workflow(name=name, workflow_type=[kind])
        ExecutionConfiguration(datasets=datasets, workflow=workflow, description=description).save(name, overwrite=True)


if __name__ == "__main__":
    try:
        save_blocks()
    except exceptions.DerivaMLNotFoundError as e:
        sys.exit(f"{e} Run `make quickstart` first.")
    print("Saved deriva-catalog/digits, deriva-ml-execution-configuration/train-digits and …/evaluate-digits.")  # noqa: T201
