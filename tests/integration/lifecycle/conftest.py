"""One workflow for the executions of a test, and what the catalog has of an execution."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLOfflineError
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


@pytest.fixture
def away(ml: DerivaML, monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """Inside `with away():` the catalog gives no answer; its schema was read before."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise DerivaMLOfflineError("no answer")

    @contextmanager
    def go() -> Iterator[None]:
        ml._catalog.schema  # noqa: B018 (for what it reads)
        with monkeypatch.context() as patch:
            patch.setattr(ml._catalog.client, "request", refuse)
            yield

    return go
