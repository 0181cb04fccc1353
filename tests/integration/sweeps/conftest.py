"""A catalog for sweeps, and the surroundings of the processes that they run in."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from deriva_ml_prefect.ml.creation import create_ml_catalog
from deriva_ml_prefect.ml.deriva_ml import DerivaML

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Surroundings:
    """What a process that takes part in a sweep needs to know."""

    ml: DerivaML
    api_url: str
    notes: Path
    """Folder where parts leave a note of each of their starts."""

    def variables(self) -> dict[str, str]:
        return {
            **os.environ,
            "PREFECT_API_URL": self.api_url,
            "PREFECT_LOGGING_LEVEL": "WARNING",
            "DERIVA_ML_HOST": self.ml.address.hostname,
            "DERIVA_ML_CATALOG": self.ml.address.catalog_id,
            "DERIVA_ML_ALLOW_DIRTY": "true",
            "NOTES": str(self.notes),
            "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }

    def start(self, *arguments: str, more: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """A Python process with these arguments."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            env={**self.variables(), **(more or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.fixture(scope="session")
def deriva_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("sweeps-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERIVA_ML_HOME", str(folder))
        yield folder
        command = [sys.executable, "-m", "deriva_ml_prefect.cli.main", "embedded", "stop"]
        subprocess.run(command, env=dict(os.environ), check=False, timeout=30)


@pytest.fixture(scope="session")
def ml(deriva_home: Path) -> DerivaML:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERIVA_ML_HOME", str(deriva_home))
        return DerivaML("embedded", create_ml_catalog("embedded", "lab").catalog_id)


@pytest.fixture
def surroundings(
    ml: DerivaML, deriva_home: Path, prefect_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Surroundings:
    monkeypatch.setenv("DERIVA_ML_HOME", str(deriva_home))
    monkeypatch.setenv("DERIVA_ML_HOST", ml.address.hostname)
    monkeypatch.setenv("DERIVA_ML_CATALOG", ml.address.catalog_id)
    notes = tmp_path / "notes"
    notes.mkdir()
    monkeypatch.setenv("NOTES", str(notes))
    monkeypatch.syspath_prepend(HERE)
    return Surroundings(ml, prefect_server, notes)
