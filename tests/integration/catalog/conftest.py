"""An embedded DERIVA of its own for this folder, and catalogs in it, spoken to over real HTTP."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deriva_ml_prefect.catalog.connection import Catalog, open_catalog
from deriva_ml_prefect.catalog.creation.create import create_ml_catalog
from deriva_ml_prefect.catalog.embedded_server import find_running
from deriva_ml_prefect.config.settings import Settings


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("catalog-home")
    server = subprocess.Popen(
        [sys.executable, "-m", "deriva_ml_prefect.embedded", "--data", str(home / "embedded")],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Settings(home=_when_ready(home, server), timeout=30, retries=3)
    finally:
        server.terminate()
        server.wait(20)


def _when_ready(home: Path, server: subprocess.Popen[bytes]) -> Path:
    for _ in range(200):
        if find_running(home / "embedded"):
            return home
        try:
            server.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        break
    raise RuntimeError("the embedded DERIVA did not start")


@pytest.fixture(scope="module")
def shared(settings: Settings) -> Catalog:
    """A catalog that the tests of one module share."""
    return open_catalog(create_ml_catalog("embedded", "demo", settings=settings), settings=settings)


@pytest.fixture
def catalog(settings: Settings) -> Catalog:
    """A catalog of one test's own, with domain schema `demo`."""
    return open_catalog(create_ml_catalog("embedded", "demo", settings=settings), settings=settings)


@pytest.fixture
def again(shared: Catalog) -> Catalog:
    """The shared catalog as another process would open it: nothing is known about its schema."""
    return open_catalog(shared.address, settings=shared.settings)
