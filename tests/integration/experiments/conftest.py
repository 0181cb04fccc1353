"""An embedded DERIVA with one catalog, and the command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deriva_ml_prefect.ml.creation import create_ml_catalog
from deriva_ml_prefect.ml.deriva_ml import DerivaML

Run = Callable[..., subprocess.CompletedProcess[str]]
CONFIGS = Path(__file__).parent / "project" / "src" / "configs"


@pytest.fixture(scope="module")
def deriva_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home folder with an embedded DERIVA, which is stopped at the end."""
    folder = tmp_path_factory.mktemp("deriva-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERIVA_ML_HOME", str(folder))
        for name in ("DERIVA_ML_HOST", "DERIVA_ML_CATALOG", "PREFECT_API_URL"):
            patch.delenv(name, raising=False)
        patch.setenv("PREFECT_HOME", str(folder / "prefect"))
        yield folder
        command = [sys.executable, "-m", "deriva_ml_prefect.cli.main", "embedded", "stop"]
        subprocess.run(command, check=False, timeout=30)


@pytest.fixture(scope="module")
def ml(deriva_home: Path) -> DerivaML:
    """A fresh catalog."""
    return DerivaML("embedded", create_ml_catalog("embedded", "lab").catalog_id)


@pytest.fixture
def run(ml: DerivaML, tmp_path: Path) -> Run:
    """`deriva-ml-run` on the test's project."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "deriva_ml_prefect.cli.run", "-c", str(CONFIGS), "--allow-dirty"]
        where = ["--host", "embedded", "--catalog", ml.catalog_id]
        return subprocess.run(
            [*command, *where, *arguments],
            cwd=tmp_path,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return call
