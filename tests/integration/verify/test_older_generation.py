"""A catalog with the schema of deriva-ml 1.17.10, which spells statuses and durations otherwise: verified as well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deriva_ml_prefect.catalog import vocabulary
from deriva_ml_prefect.catalog.connection import connect_server, open_catalog
from deriva_ml_prefect.catalog.rows import update_rows
from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.journal.store import close_journals
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.questions.verification.report import Against
from deriva_ml_prefect.values.address import Address
from tests.integration.catalog.test_older_generation import older_schema


@pytest.fixture
def older(home: Path) -> Iterator[DerivaML]:
    client = connect_server("embedded", load_settings())
    number = str(client.request("POST", "/ermrest/catalog", expect=(201,)).json()["id"])
    client.close()
    catalog = open_catalog(Address("embedded", number))
    catalog.client.request("POST", catalog.path("schema"), json=older_schema(), expect=(201,))
    terms = {"Workflow_Type": ["Training"], "Asset_Type": ["File"], "Asset_Role": ["Input", "Output"]}
    for table, names in terms.items():
        for name in names:
            vocabulary.add_term(catalog, ("deriva-ml", table), name)
    yield DerivaML("embedded", number)
    close_journals()


def test_older_generation(older: DerivaML, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = Workflow(name="Old", workflow_type=["Training"], url="https://example.org/old.py", checksum="0" * 40)
    assert older.preflight(workflow=workflow).ok, older.preflight(workflow=workflow).failed
    with older.create_execution(workflow=workflow, description="old") as exe:
        exe.log_metrics({"loss": 1.0}, step=1)
    staged = older.verify_execution(exe.rid)
    assert {item.what for item in staged.differences} == {"file"}
    exe.upload_execution_outputs()
    found = older.verify_execution(exe.rid)
    assert found.same, found.differences
    update_rows(older._catalog, ("deriva-ml", "Execution"), [{"RID": exe.rid, "Duration": "9.0H 0.0min 0.0sec"}])
    assert [item.what for item in older.verify_execution(exe.rid).differences] == ["execution duration"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "embedded").symlink_to(home / "embedded")
    monkeypatch.setenv("DERIVA_ML_HOME", str(elsewhere))
    found = older.verify_execution(exe.rid)
    assert found.against is Against.itself
    assert [item.what for item in found.differences] == ["execution duration"]
