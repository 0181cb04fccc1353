"""Opening catalogs: starting the embedded DERIVA, and what deriva-py sees of it."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from deriva_ml_prefect.catalog.connection import Catalog, open_catalog
from deriva_ml_prefect.catalog.creation.create import create_ml_catalog
from deriva_ml_prefect.catalog.embedded_server import find_running
from deriva_ml_prefect.catalog.schema import find_table
from deriva_ml_prefect.catalog.tables import create_schema
from deriva_ml_prefect.config.settings import Settings
from deriva_ml_prefect.exceptions import (
    DerivaMLAuthenticationError,
    DerivaMLException,
    DerivaMLNotFoundError,
    DerivaMLOfflineError,
)
from deriva_ml_prefect.values.address import Address


def test_a_killed_server_is_started_again(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    address = create_ml_catalog("embedded", "demo", settings=settings)
    pids = []
    try:
        pids.append(json.loads((tmp_path / "embedded/server.json").read_text())["pid"])
        os.kill(pids[0], signal.SIGKILL)
        while find_running(tmp_path / "embedded"):
            time.sleep(0.05)
        catalog = open_catalog(address, settings=settings)
        pids.append(json.loads((tmp_path / "embedded/server.json").read_text())["pid"])
        assert pids[0] != pids[1]
        assert find_table(catalog, "Execution").schema == "deriva-ml"
    finally:
        os.kill(pids[-1], signal.SIGTERM)


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "embedded").write_text("a file where the data folder should be")
    with pytest.raises(DerivaMLException, match="embedded"):
        open_catalog(Address("embedded", "1"), settings=Settings(home=tmp_path))


def test_an_unknown_catalog(settings: Settings) -> None:
    with pytest.raises(
        DerivaMLNotFoundError, match=r"embedded/9999 does not exist: .* create_ml_catalog makes a new one"
    ):
        _ = open_catalog(Address("embedded", "9999"), settings=settings).model


def test_a_wrong_token(settings: Settings, shared: Catalog) -> None:
    wrong = open_catalog(shared.address, settings=settings, credential={"bearer-token": "wr0ng-t0ken"})
    with pytest.raises(DerivaMLAuthenticationError) as caught:
        _ = wrong.model
    assert "wr0ng" not in str(caught.value)


def test_nobody_at_home(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, retries=0)
    catalog = open_catalog(Address("localhost:1", "1"), settings=settings, credential={"cookie": "a=b"})
    with pytest.raises(DerivaMLOfflineError, match="localhost:1"):
        _ = catalog.model


def test_deriva_py_reads_and_writes_the_same_catalog(shared: Catalog) -> None:
    builder = shared.deriva.getPathBuilder()
    workflows = builder.schemas["deriva-ml"].tables["Workflow"]
    workflows.insert([{"Name": "by deriva-py", "URL": "u:deriva-py"}])
    assert "by deriva-py" in [row["Name"] for row in workflows.entities().fetch()]
    assert shared.deriva is shared.deriva


def test_a_schema_made_meanwhile_is_seen_after_a_look(shared: Catalog, again: Catalog) -> None:
    assert "late" not in again.model["schemas"]
    create_schema(shared, "late")
    assert "late" not in again.model["schemas"]
    again.refresh()
    assert "late" in again.model["schemas"]
