"""One embedded DERIVA for the flows, with a home of its own; the Prefect server is the test run's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deriva_ml_prefect.ml.creation import create_ml_catalog
from deriva_ml_prefect.ml.deriva_ml import DerivaML


@pytest.fixture(scope="session")
def deriva_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home folder with an embedded DERIVA, which is stopped at the end."""
    folder = tmp_path_factory.mktemp("deriva-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERIVA_ML_HOME", str(folder))
        patch.setenv("DERIVA_ML_ALLOW_DIRTY", "true")
        for name in ("DERIVA_ML_HOST", "DERIVA_ML_CATALOG"):
            patch.delenv(name, raising=False)
        yield folder
        command = [sys.executable, "-m", "deriva_ml_prefect.cli.main", "embedded", "stop"]
        subprocess.run(command, env=dict(os.environ), check=False, timeout=30)


@pytest.fixture(scope="session")
def ml(deriva_home: Path) -> DerivaML:
    """A fresh catalog."""
    return DerivaML("embedded", create_ml_catalog("embedded", "lab").catalog_id)


@pytest.fixture(autouse=True)
def _home_of_these_tests(deriva_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other folders of tests, which the same process may run in between, have a home of their own."""
    monkeypatch.setenv("DERIVA_ML_HOME", str(deriva_home))
