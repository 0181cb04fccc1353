"""The scripts of `blocks/` against a real Prefect server, with a catalog that the lab has made."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import pytest

from deriva_ml_prefect.blocks import DerivaCatalog, DerivaCredentials, ExecutionConfiguration, find_catalog
from deriva_ml_prefect.catalog.connection import catalog_for
from deriva_ml_prefect.exceptions import DerivaMLConfigurationError, DerivaMLNotFoundError
from deriva_ml_prefect.ml.deriva_ml import DerivaML

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]
SCRIPTS = Path(__file__).parents[3] / "blocks"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"blocks_{name}", SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def script(catalog_id: str) -> ModuleType:
    module = load("digits")
    module.CATALOG = catalog_id  # type: ignore[attr-defined]
    return module


def test_documents_are_saved_and_replaced(ml: DerivaML) -> None:
    for _ in range(2):
        script(ml.catalog_id).save_blocks()
    assert find_catalog("digits").catalog_id == ml.catalog_id
    assert DerivaCatalog.load("digits").hostname == "embedded"
    loaded = ExecutionConfiguration.load("train-digits")
    assert loaded.workflow is not None
    assert loaded.workflow.name == "train-digits"


def test_catalog_that_is_not_there_is_named(ml: DerivaML) -> None:
    with pytest.raises(DerivaMLNotFoundError):
        script("no-such-catalog").save_blocks()


def test_a_lab_saves_its_catalog_and_who_flows_are_to_it(
    ml: DerivaML, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = catalog_for(ml.address)
    token = catalog.client.credential.values["bearer-token"]
    arguments = ["lab-of-test", "--host", urlsplit(catalog.base_url).netloc, "--catalog", ml.catalog_id]
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{token}\n"))
    assert load("lab").main([*arguments, "--bearer-token"]) == 0
    assert token not in capsys.readouterr().out
    found = find_catalog("lab-of-test")
    assert found.credential() == {"bearer-token": token}

    # another token in the document of the credential counts for the catalog
    DerivaCredentials(bearer_token="another").save("lab-of-test", overwrite=True)
    assert find_catalog("lab-of-test").credential() == {"bearer-token": "another"}


def test_a_token_that_the_lab_refuses_is_not_saved(
    ml: DerivaML, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = catalog_for(ml.address)
    arguments = ["lab-refused", "--host", urlsplit(catalog.base_url).netloc, "--catalog", ml.catalog_id]
    monkeypatch.setattr("sys.stdin", io.StringIO("wrong-token\n"))
    assert load("lab").main([*arguments, "--bearer-token"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("Nothing was saved. ")
    assert "wrong-token" not in told
    with pytest.raises(DerivaMLConfigurationError, match="neither HOST/CATALOG nor the name"):
        find_catalog("lab-refused")
