"""The commands as processes: what they cost, what they say, and how they end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULES = ["main", "run", "notebook"]
HEAVY = ("prefect", "pandas", "sqlalchemy", "deriva", "hydra", "hydra_zen", "papermill", "pydantic", "httpx", "urllib3")


def call(module: str, *arguments: str, home: Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("DERIVA_ML", "PREFECT"))}
    env["DERIVA_ML_HOME"] = str(home)
    command = [sys.executable, "-m", f"deriva_ml_prefect.cli.{module}", *arguments]
    return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("module", MODULES)
def test_help_imports_nothing_heavy(module: str, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        f"from deriva_ml_prefect.cli import {module}\n"
        f"try:\n    {module}.main(['--help'])\n"
        "except SystemExit as e:\n    assert not e.code\n"
        "print('loaded', *sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert not set(HEAVY) & set(loaded)
    assert "usage:" in done.stdout


def test_ls_imports_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom deriva_ml_prefect.cli import main\nmain.main(['ls'])\nprint('loaded', *sorted(sys.modules))\n"
    )
    env = {**os.environ, "DERIVA_ML_HOME": str(tmp_path), "DERIVA_ML_HOST": "", "DERIVA_ML_CATALOG": ""}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert "sqlite3" in loaded
    assert not {*HEAVY, "logging", "dataclasses"} & set(loaded)


@pytest.mark.parametrize("module", MODULES)
def test_wrong_usage_ends_with_2(module: str, tmp_path: Path) -> None:
    assert call(module, "--no-such-option", home=tmp_path).returncode == 2


def test_unknown_execution_is_one_line_and_status_1(tmp_path: Path) -> None:
    done = call("main", "show", "1-ABCD", home=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "No workspace in" in line
    assert "--host and --catalog" in line


def test_resume_of_what_the_workspace_does_not_know(tmp_path: Path) -> None:
    done = call("main", "resume", "1-ABCD", "--host", "www.example.org", "--catalog", "1", home=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "does not know execution 1-ABCD" in line


def test_embedded_has_its_commands(tmp_path: Path) -> None:
    done = call("main", "embedded", "status", home=tmp_path)
    assert done.returncode == 1
    assert str(tmp_path) in done.stdout


def test_run_without_configurations(tmp_path: Path) -> None:
    done = call("run", home=tmp_path, cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "no folder of configurations src/configs" in line


def notebook(folder: Path) -> Path:
    cell = {
        "cell_type": "code",
        "execution_count": None,
        "id": "p",
        "metadata": {"tags": ["parameters"]},
        "outputs": [],
        "source": "epochs: int = 10  # passes over the data\nname = 'a'",
    }
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path = folder / "train.ipynb"
    path.write_text(json.dumps({"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
    return path


def test_notebook_is_inspected(tmp_path: Path) -> None:
    done = call("notebook", str(notebook(tmp_path)), "--inspect", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["epochs: int = 10  # passes over the data", "name = 'a'"]


def test_notebook_is_not_run_and_that_is_said(tmp_path: Path) -> None:
    done = call("notebook", str(notebook(tmp_path)), "-p", "epochs", "3", home=tmp_path)
    assert done.returncode == 1
    assert "cannot run notebooks yet; nothing was run" in done.stderr


@pytest.mark.parametrize("content", [None, "not json"])
def test_what_is_no_notebook_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "x.ipynb"
    if content is not None:
        path.write_text(content)
    done = call("notebook", str(path), "--inspect", home=tmp_path)
    assert done.returncode == 1
    assert "x.ipynb" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
