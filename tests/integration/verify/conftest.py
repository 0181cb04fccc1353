"""An execution with everything that can be verified, Uploaded; and the catalog, to damage what it holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution


@pytest.fixture
def workflow(ml: DerivaML) -> Workflow:
    made = ml.create_workflow("To be verified", "Training", "Runs of the tests")
    return made.model_copy(update={"url": "https://example.org/verify.py", "git_root": None})


@pytest.fixture
def catalog(ml: DerivaML) -> Catalog:
    return ml._catalog


@pytest.fixture
def dataset(ml: DerivaML, subjects: tuple[str, ...], workflow: Workflow) -> str:
    """A dataset of two subjects."""
    with ml.create_execution(ExecutionSpec(workflow=workflow, description="Makes a dataset")) as exe:
        made = exe.create_dataset(description="Two subjects")
        ml.add_dataset_element_type("Subject")
        made.add_dataset_members({"Subject": list(subjects[:2])})
    exe.upload_execution_outputs()
    return made.dataset_rid


@pytest.fixture
def stage(ml: DerivaML, workflow: Workflow, tmp_path: Path, subjects: tuple[str, ...]) -> Callable[..., Execution]:
    """Run an execution that stages files and values; keywords go to its configuration."""

    def run(**values: Any) -> Execution:
        unique = tmp_path.name
        with ml.create_execution(ExecutionSpec(workflow=workflow, description="Verified", **values)) as exe:
            for number in range(3):
                path = exe.asset_file_path(
                    "Image",
                    f"{unique}-{number}.png",
                    asset_types=["Image", "Derived"],
                    description=f"number {number}",
                    metadata={"Camera": f"C{number}", "Exposure": number},
                )
                path.write_bytes(f"{unique} {number}".encode() * 1000)
            mask = exe.asset_file_path("Mask", f"{unique}-mask.png")
            mask.write_bytes(unique.encode())
            exe.log_metrics({"loss": 0.5, "run": unique}, step=1)
            score = ml.feature_record_class("Subject", "Score")
            outline = ml.feature_record_class("Subject", "Outline")
            exe.add_features([score(Subject=rid, Score=i / 3) for i, rid in enumerate(subjects)])
            exe.add_features([outline(Subject=subjects[0], Mask=mask)])
        return exe

    return run


@pytest.fixture
def uploaded(stage: Callable[..., Execution]) -> Execution:
    exe = stage()
    exe.upload_execution_outputs()
    return exe
