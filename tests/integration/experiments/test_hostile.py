"""Overrides on the command line that mean something to YAML, to Hydra or to a shell."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from deriva_ml_prefect.ml.deriva_ml import DerivaML
from tests.integration.experiments.test_run import rids_of

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_secret_that_is_resolved_from_the_environment(
    ml: DerivaML, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reaches the code, and no row, file or folder of this machine."""
    token = f"key-{secrets.token_hex(12)}"
    monkeypatch.setenv("LAB_API_TOKEN", token)
    done = run(
        "description=${oc.env:LAB_API_TOKEN}", "model_config.label=${oc.env:LAB_API_TOKEN}", "model_config.show=true"
    )
    assert done.returncode == 0, done.stderr
    assert f"the label has {len(token)} characters" in done.stdout
    (rid,) = rids_of(done)
    assert token not in str(ml.lookup_execution(rid))
    for asset in ml.lookup_execution(rid).list_assets("Output"):
        assert token not in asset.download(tmp_path / "copies").read_text()
    assert token not in done.stdout + done.stderr
    for folder in (Path(os.environ["DERIVA_ML_HOME"]), tmp_path):
        for path in (path for path in folder.rglob("*") if path.is_file()):
            assert token.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("no", "'no'"),
        ("yes", "'yes'"),
        ("010", "'010'"),
        ("12:30", "'12:30'"),
        ("'it''s \"quoted\"'", None),
        ('"it\'s"', '"it\'s"'),
        ("!!python/object/apply:os.system [touch]", None),
        ("$(touch pwned)", None),
    ],
)
def test_text_stays_the_text_that_was_given(given: str, found: str | None, run: Run, tmp_path: Path) -> None:
    """Or it is refused by Hydra's grammar, in one line that quotes it; nothing is executed."""
    done = run(f"model_config.label={given}", "model_config.show=true")
    assert not (tmp_path / "pwned").exists()
    assert "Traceback" not in done.stderr
    if found is None:
        assert done.returncode != 0 or f"the label is {given!r}" in done.stdout
    else:
        assert f"the label is {found}" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["model_config.epochs=no"], "epochs"),
        (["model_config=../../../etc/passwd"], "passwd"),
        (["nowhere.at.all=1"], "nowhere"),
        (["model_config.epochs="], "epochs"),
        (["model_config.label=${nowhere}"], "nowhere"),
        (["model_config.label=${oc.env:NO_SUCH_VARIABLE_AT_ALL}"], "NO_SUCH_VARIABLE_AT_ALL"),
        (["model_config.label={a: &a [*a]}"], "label"),
    ],
    ids=["no for a number", "path as a choice", "unknown", "nothing", "unknown value", "no variable", "alias"],
)
def test_override_that_cannot_be_is_named(overrides: list[str], told: str, run: Run, ml: DerivaML) -> None:
    before = len(ml.find_executions())
    done = run(*overrides)
    assert done.returncode != 0
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert len(ml.find_executions()) == before
