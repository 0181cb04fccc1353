"""The package `deriva_ml` of the second distribution: what it gives, and when it refuses."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import deriva_ml_prefect
from deriva_ml_prefect import exceptions, experiments

ROOT = Path(__file__).parents[2]
COMPAT = ROOT / "compat"


def run_python(program: str, *folders: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own, with folders in front of its module path."""
    path = os.pathsep.join(str(folder) for folder in folders)
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def install_original(folder: Path) -> Path:
    """A module path on which the distribution deriva-ml counts as installed."""
    info = folder / "deriva_ml-1.54.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: deriva-ml\nVersion: 1.54.1\n")
    return folder


def test_every_error_has_its_name() -> None:
    done = run_python(
        "import json, deriva_ml.core.exceptions as e, deriva_ml_prefect.exceptions as ours\n"
        "assert all(getattr(e, name) is getattr(ours, name) for name in e.__all__)\n"
        "print(json.dumps(e.__all__))\n",
        COMPAT,
    )
    assert done.returncode == 0, done.stderr
    ours = {
        name for name, value in vars(exceptions).items() if isinstance(value, type) and issubclass(value, Exception)
    }
    assert set(json.loads(done.stdout)) == ours


def test_importing_it_beside_deriva_ml_names_the_conflict(tmp_path: Path) -> None:
    site = install_original(tmp_path / "site")
    for module in ("deriva_ml", "deriva_ml.execution.state_store"):
        done = run_python(f"import {module}", COMPAT, site)
        assert done.returncode != 0
        assert "ImportError" in done.stderr
        assert "deriva-ml 1.54.1" in done.stderr
        assert "deriva-ml-prefect-compat" in done.stderr


def test_deriva_ml_prefect_does_not_mind_deriva_ml(tmp_path: Path) -> None:
    done = run_python("from deriva_ml_prefect import DerivaML", install_original(tmp_path / "site"))
    assert done.returncode == 0, done.stderr


def test_importing_deriva_ml_does_not_import_prefect() -> None:
    done = run_python("import sys, deriva_ml; print('prefect' in sys.modules)", COMPAT)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize(
    "file", sorted((COMPAT / "deriva_ml").rglob("*.py")), ids=lambda file: str(file.relative_to(COMPAT / "deriva_ml"))
)
def test_only_public_names_are_imported(file: Path) -> None:
    public = set(deriva_ml_prefect.__all__)
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            assert not [alias.name for alias in node.names if alias.name.startswith("deriva_ml_prefect")], file
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("deriva_ml_prefect"):
            names = {alias.name for alias in node.names}
            if node.module == "deriva_ml_prefect.exceptions":
                assert all(hasattr(exceptions, name) for name in names)
            elif node.module == "deriva_ml_prefect.experiments":
                assert names <= set(experiments.__all__), file
            else:
                assert node.module == "deriva_ml_prefect"
                assert names <= public, file


def test_its_wheel_holds_the_package_alone(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=COMPAT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("deriva_ml_prefect_compat-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        text = archive.read(metadata).decode()
    sources = {file.relative_to(COMPAT).as_posix() for file in (COMPAT / "deriva_ml").rglob("*.py")}
    assert files == {*sources, "deriva_ml/py.typed"}
    assert "Requires-Dist: deriva-ml-prefect==" in text
