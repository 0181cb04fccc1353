"""Put 500 real handwritten digits into a catalog of the embedded DERIVA, as a versioned dataset with labels.

The images are an execution's outputs like any other, so their origin is recorded too. Doing it again changes nothing.
"""

from __future__ import annotations

import os
from typing import Any

from deriva_ml_prefect import DatasetSpec, DerivaML, ExecutionConfiguration, create_ml_catalog, exceptions

HOST = os.environ.get("DERIVA_ML_HOST") or "embedded"
CATALOG = os.environ.get("DERIVA_ML_CATALOG") or "digits"
SCHEMA = "digits"
"""Domain schema of the catalog."""
IMAGES = 500
SHEET = 50
"""Digits that one Subject stands for: consecutive rows of the data set."""


def open_catalog() -> DerivaML:
    """The catalog `digits`, made when there is none; what a broken-off run left undone is done."""
    ml = DerivaML(HOST, CATALOG)
    try:
        ml.refresh_schema()
        project = ml.default_schema
    except exceptions.DerivaMLNotFoundError:
        create_ml_catalog(HOST, SCHEMA, catalog_alias=CATALOG)
        project = ml.default_schema
    tables = ml.model.schemas[project].tables
    if "Digit" not in tables:
        ml.create_vocabulary("Digit", "The ten digits")
    for digit in range(10):
        ml.add_term("Digit", str(digit), f"The digit {digit}")
    if "Subject" not in tables:
        _create_subjects(ml)
    if "Image" not in tables:
        ml.create_asset("Image", referenced_tables=["Subject"], comment="Scans of handwritten digits, 8 x 8 pixels")
        ml.create_asset("Model", comment="Trained classifiers")
        ml.create_asset("Figure", comment="Pictures that say how good a model is")
    known = {(feature.target_table, feature.feature_name) for feature in ml.find_features("Image")}
    if ("Image", "Label") not in known:
        ml.create_feature("Image", "Label", terms=["Digit"], comment="The digit that was written")
    if ("Image", "Predicted") not in known:
        ml.create_feature("Image", "Predicted", terms=["Digit"], metadata=_prediction_columns(), comment="A guess")
    if "Image" not in ml.list_dataset_element_types():
        ml.add_dataset_element_type("Image")
    return ml


def _create_subjects(ml: DerivaML) -> None:
    from deriva.core.ermrest_model import Column, Key, Table, builtin_types

    document = Table.define(
        "Subject",
        column_defs=[Column.define("Sheet", builtin_types.text, nullok=False)],
        key_defs=[Key.define(["Sheet"])],
        comment="Consecutive digits of the data set",
    )
    ml.model.schemas[SCHEMA].create_table(document)
    ml.refresh_schema()


def _prediction_columns() -> list[dict[str, Any]]:
    from deriva.core.ermrest_model import Column, builtin_types

    return [
        Column.define("Confidence", builtin_types.float8, comment="Probability of the guess, 0 to 1"),
        Column.define("Held_Out", builtin_types.boolean, comment="Whether the training did not see the image"),
    ]


def load_dataset(ml: DerivaML) -> DatasetSpec:
    """The dataset of 500 images with their labels, loaded by an execution of its own when there is none."""
    complete = _complete_datasets(ml)
    if complete:
        return complete[0]
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    paths = ml.pathBuilder().schemas[SCHEMA].tables["Subject"]
    sheets = [f"Sheet {number:02d}" for number in range(IMAGES // SHEET)]
    paths.insert([{"Sheet": sheet} for sheet in sheets], on_conflict_skip=True)
    subjects = {row["Sheet"]: row["RID"] for row in paths.entities().fetch()}

    workflow = ml.create_workflow(
        "Load digits", "Ingest", "Images of scikit-learn's digits, with their labels", function=load_dataset
    )
    configuration = ExecutionConfiguration(workflow=workflow, description=f"Load {IMAGES} digits")
    with ml.create_execution(configuration) as execution:
        for number in range(IMAGES):
            path = execution.asset_file_path(
                "Image", f"digit_{number:04d}.png", metadata={"Subject": subjects[sheets[number // SHEET]]}
            )
            Image.fromarray((digits.images[number] * 15.9375).astype("uint8")).save(path)
    uploaded = execution.upload_execution_outputs()
    label = ml.lookup_feature("Image", "Label").feature_record_class()
    execution.add_features(
        [
            label(Image=image.asset_rid, Digit=str(digits.target[int(image.name[6:10])]))
            for image in uploaded["Image"]
            if image.asset_rid
        ]
    )
    execution.upload_execution_outputs()
    dataset = execution.create_dataset(["Complete", "Labeled"], description=f"{IMAGES} handwritten digits")
    dataset.add_dataset_members({"Image": [str(image.asset_rid) for image in uploaded["Image"]]})
    return DatasetSpec(rid=dataset.dataset_rid, version=str(dataset.current_version))


def find_digits() -> list[DatasetSpec]:
    """The dataset of the digits, for a configuration; an empty list is never given."""
    found = _complete_datasets(DerivaML(HOST, CATALOG))
    if not found:
        raise exceptions.DerivaMLDatasetNotFound(f"Catalog {HOST}/{CATALOG} has no digits yet: run `make quickstart`.")
    return found[:1]


def _complete_datasets(ml: DerivaML) -> list[DatasetSpec]:
    complete = [found for found in ml.find_datasets() if len(found.list_dataset_members()["Image"]) == IMAGES]
    return [DatasetSpec(rid=found.dataset_rid, version=str(found.current_version)) for found in complete]


if __name__ == "__main__":
    print(f"Dataset {load_dataset(open_catalog()).rid} of the digits is in catalog {HOST}/{CATALOG}.")
