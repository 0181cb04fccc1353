"""Settings from the environment, and where things lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from deriva_ml_prefect.config.settings import Settings, load_settings
from deriva_ml_prefect.exceptions import DerivaMLConfigurationError
from deriva_ml_prefect.values.address import Address


def test_defaults() -> None:
    settings = load_settings({})
    assert settings == Settings(home=Path.home() / ".deriva-ml-prefect")
    assert settings.address is None


def test_everything_named(tmp_path: Path) -> None:
    settings = load_settings({
        "DERIVA_ML_HOME": str(tmp_path),
        "DERIVA_ML_HOST": "embedded",
        "DERIVA_ML_CATALOG": "7",
        "DERIVA_ML_ALLOW_DIRTY": " True ",
        "DERIVA_ML_TIMEOUT": "2.5",
        "DERIVA_ML_RETRIES": "0",
        "DERIVA_ML_HEARTBEAT": "5",
        "DERIVA_ML_PROGRESS": "Lines",
    })  # fmt: skip
    assert settings == Settings(
        tmp_path, "embedded", "7", allow_dirty=True, timeout=2.5, retries=0, heartbeat=5, progress="lines"
    )
    assert settings.address == Address("embedded", "7")
    assert settings.cache == tmp_path / "cache"


@pytest.mark.parametrize(
    "wrong",
    [
        {"DERIVA_ML_TIMEOUT": "soon"},
        {"DERIVA_ML_TIMEOUT": "-1"},
        {"DERIVA_ML_TIMEOUT": "nan"},
        {"DERIVA_ML_RETRIES": "inf"},
        {"DERIVA_ML_RETRIES": "many"},
        {"DERIVA_ML_HEARTBEAT": "-1"},
        {"DERIVA_ML_PROGRESS": "loud"},
        {"DERIVA_ML_ALLOW_DIRTY": "perhaps"},
    ],
)
def test_values_that_cannot_be_read(wrong: dict[str, str]) -> None:
    with pytest.raises(DerivaMLConfigurationError, match=next(iter(wrong))):
        load_settings(wrong)


@pytest.mark.parametrize("name", ["..", ".", "../../etc", "a/b", "a\\b", "a\0b", "localhost:8080"])
def test_workspace_stays_below_the_home(name: str) -> None:
    home = Path("/home/of/mine")
    for address in (Address(name, "1"), Address("embedded", name)):
        folder = Settings(home).workspace(address)
        assert folder.parent.parent == home / "workspaces"
        assert ".." not in folder.parts
        assert "\0" not in str(folder)


def test_relative_home_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings({"DERIVA_ML_HOME": "here"}).home == tmp_path / "here"
