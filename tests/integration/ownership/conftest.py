"""One workflow, and quick signs of life."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution

WaitFor = Callable[[Callable[[], Any]], Any]


@pytest.fixture
def workflow(ml: DerivaML) -> Workflow:
    made = ml.create_workflow("Ownership", "Training", "Runs of the tests")
    return made.model_copy(update={"url": "https://example.org/ownership.py", "git_root": None})


@pytest.fixture
def begin(ml: DerivaML, workflow: Workflow) -> Callable[..., Execution]:
    def create(**values: Any) -> Execution:
        return ml.create_execution(ExecutionSpec(workflow=workflow), **values)

    return create


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> float:
    """Seconds between two signs of life in this test."""
    monkeypatch.setenv("DERIVA_ML_HEARTBEAT", "0.2")
    return 0.2


@pytest.fixture
def wait_for() -> WaitFor:
    """Ask again and again until the answer is true; the answer."""

    def wait(condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if found := condition():
                return found
            time.sleep(0.02)
        raise AssertionError("it never happened")

    return wait
