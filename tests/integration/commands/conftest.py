"""The command as a person gives it, in a process of its own; and executions for it to work on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def call(home: Path) -> Call:
    """Run `deriva-ml-prefect` with arguments; `home=` names another home, further keywords are variables."""

    def run(*arguments: str, home: Path = home, text: str | None = None, **variables: str) -> Any:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("DERIVA_ML", "PREFECT"))}
        env |= {"DERIVA_ML_HOME": str(home), **variables}
        command = [sys.executable, "-m", "deriva_ml_prefect.cli.main", *arguments]
        return subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=120, check=False, input=text or ""
        )

    return run


@pytest.fixture
def workflow(ml: DerivaML, tmp_path: Path) -> Workflow:
    made = ml.create_workflow(f"Commands {tmp_path.name}", "Training", "Runs of the tests")
    code = {"url": f"https://example.org/{tmp_path.name}.py", "checksum": tmp_path.name, "git_root": None}
    return made.model_copy(update=code)


@pytest.fixture
def run(ml: DerivaML, workflow: Workflow, tmp_path: Path) -> Callable[..., Execution]:
    """An execution with one file, uploaded unless `upload` is False; keywords go to its configuration."""

    def make(*, upload: bool = True, **values: Any) -> Execution:
        with ml.create_execution(ExecutionSpec(workflow=workflow, **values)) as exe:
            exe.asset_file_path("Image", f"{tmp_path.name}.png").write_bytes(exe.execution_rid.encode() * 100)
        if upload:
            exe.upload_execution_outputs()
        return exe

    return make
