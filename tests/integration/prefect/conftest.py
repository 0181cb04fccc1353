"""One Prefect server and one embedded DERIVA for the run, each with a home and a database of its own."""

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
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of the API of a running Prefect server; flows in this process use it while the fixture lives."""
    names = {
        "PREFECT_HOME": str(tmp_path_factory.mktemp("prefect-home")),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "DO_NOT_TRACK": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in names.items():
            patch.setenv(name, value)
        from prefect.settings import PREFECT_API_URL
        from prefect.testing.utilities import prefect_test_harness

        with prefect_test_harness(server_startup_timeout=90):
            yield str(PREFECT_API_URL.value())


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
