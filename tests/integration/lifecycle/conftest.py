"""One workflow for the executions of a test, and what the catalog has of an execution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution


@pytest.fixture
def workflow(ml: DerivaML) -> Workflow:
    made = ml.create_workflow("Life cycle", "Training", "Runs of the tests")
    # an execution keeps uncommitted changes of its code's repository, and these tests count the files of theirs
    return made.model_copy(update={"url": "https://example.org/lifecycle.py", "git_root": None})


@pytest.fixture
def begin(ml: DerivaML, workflow: Workflow) -> Callable[..., Execution]:
    """Create an execution; keywords go to its configuration."""

    def create(**values: Any) -> Execution:
        return ml.create_execution(ExecutionSpec(workflow=workflow, **values))

    return create
