"""One Prefect server for the run, with a home and a database of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of the API of a running Prefect server; flows in this process use it while the fixture lives."""
    home = tmp_path_factory.mktemp("prefect-home")
    names = {
        "PREFECT_HOME": str(home),
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


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder of the package."""
    folder = tmp_path / "home"
    monkeypatch.setenv("DERIVA_ML_HOME", str(folder))
    for name in ("DERIVA_ML_HOST", "DERIVA_ML_CATALOG"):
        if name in os.environ:
            monkeypatch.delenv(name)
    return folder
