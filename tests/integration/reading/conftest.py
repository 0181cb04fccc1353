"""Runs to be read back: finished, with outputs and metrics of the test's own."""

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
    return ml.create_workflow("Reading back", "Training", "Runs of the tests")


@pytest.fixture
def run(ml: DerivaML, workflow: Workflow) -> Callable[..., Execution]:
    """An uploaded execution; the body is run in its with block, keywords go to the configuration."""

    def go(body: Callable[[Execution], object] = lambda _: None, **values: Any) -> Execution:
        exe = ml.create_execution(ExecutionSpec(**{"workflow": workflow, **values}))
        with exe:
            body(exe)
        exe.upload_execution_outputs()
        return exe

    return go
