"""Which catalog a command means."""

from __future__ import annotations

from pathlib import Path

import pytest

from deriva_ml_prefect.cli.catalog_choice import choose_address
from deriva_ml_prefect.cli.main import main
from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.exceptions import DerivaMLConfigurationError
from deriva_ml_prefect.journal.executions import add_execution
from deriva_ml_prefect.journal.store import open_journal
from deriva_ml_prefect.values.address import Address


@pytest.fixture(autouse=True)
def _empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVA_ML_HOME", str(tmp_path))
    monkeypatch.delenv("DERIVA_ML_HOST", raising=False)
    monkeypatch.delenv("DERIVA_ML_CATALOG", raising=False)


def know(rid: str, address: Address) -> None:
    add_execution(
        open_journal(load_settings().workspace(address)),
        rid,
        address=address.as_dict(),
        workflow_rid=None,
        description="",
        configuration={},
    )


def test_named_catalog_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVA_ML_HOST", "other.example.org")
    know("1-ABCD", Address("embedded", "1"))
    assert choose_address("www.example.org", "7", rid="1-ABCD") == Address("www.example.org", "7")


def test_environment_completes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVA_ML_HOST", "www.example.org")
    assert choose_address(None, "7", rid="1-ABCD") == Address("www.example.org", "7")


def test_workspace_that_knows_the_execution() -> None:
    address = Address("embedded", "3", domain_schemas=("lab",))
    know("1-ABCD", address)
    know("1-EFGH", Address("embedded", "4"))
    assert choose_address(None, None, rid="1-ABCD") == address


def test_several_workspaces_are_named() -> None:
    know("1-ABCD", Address("embedded", "3"))
    know("1-ABCD", Address("embedded", "4"))
    with pytest.raises(DerivaMLConfigurationError, match="embedded/3, embedded/4"):
        choose_address(None, None, rid="1-ABCD")
    assert choose_address(None, "4", rid="1-ABCD") == Address("embedded", "4")


def test_none_is_an_error() -> None:
    with pytest.raises(DerivaMLConfigurationError, match="No workspace"):
        choose_address(None, None, rid="1-ABCD")


@pytest.mark.parametrize("command", [["show"], ["verify"], ["resume"], ["abort", "--yes"]], ids=lambda c: c[0])
@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("1-abcd", "Did you mean '1-ABCD'?"),
        ("1-ABCD@2PX-WS30-E58W", "is not a RID"),
        ("../../x", "is not a RID"),
        ("\x1b[31m1", "'\\x1b[31m1' is not a RID"),
        ("1-" + "A" * 10_000, "…"),
    ],
    ids=["lower case", "snapshot", "parent", "escape", "10,000 characters"],
)
def test_what_is_no_rid_is_told_so(
    command: list[str], named: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *options = command
    assert main([name, named, *options]) == (2 if name == "verify" else 1)
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert len(line) < 200
    assert list(tmp_path.iterdir()) == []
