"""Finding the workspace that knows an execution."""

from __future__ import annotations

from pathlib import Path

import pytest

from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.exceptions import DerivaMLConfigurationError
from deriva_ml_prefect.journal.executions import add_execution, mark_registered
from deriva_ml_prefect.journal.store import close_journals, open_journal
from deriva_ml_prefect.questions.workspaces import find_workspaces
from deriva_ml_prefect.values.address import Address

ONE = Address("embedded", "1", domain_schemas=("lab",))
TWO = Address("www.example.org", "7")


def add(address: Address, rid: str) -> None:
    journal = open_journal(load_settings().workspace(address))
    add_execution(journal, rid, address=address.as_dict(), workflow_rid=None, description="", configuration={})


def test_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVA_ML_HOME", str(tmp_path))
    assert find_workspaces("1-A") == []
    add(ONE, "1-A")
    add(TWO, "1-A")
    add(TWO, "1-B")
    assert find_workspaces("1-B") == [TWO]
    assert find_workspaces("1-C") == []
    assert find_workspaces("1-A") == [TWO, ONE]
    mark_registered(open_journal(load_settings().workspace(ONE)), "1-A", "Created")
    assert find_workspaces("1-A") == [ONE, TWO]
    close_journals()


def test_damaged_journal_is_named_where_no_other_knows_the_execution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERIVA_ML_HOME", str(tmp_path))
    folder = load_settings().workspace(ONE)
    folder.mkdir(parents=True)
    (folder / "journal.db").write_bytes(b"x" * 5000)
    with pytest.raises(DerivaMLConfigurationError, match="is damaged"):
        find_workspaces("1-A")
    add(TWO, "1-A")
    assert find_workspaces("1-A") == [TWO]
    with pytest.raises(DerivaMLConfigurationError, match="is damaged"):
        find_workspaces("1-B")
    close_journals()
