"""The script of `blocks/` against a real Prefect server, with a catalog that the lab has made."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from deriva_ml_prefect.blocks import DerivaCatalog, ExecutionConfiguration, find_catalog
from deriva_ml_prefect.exceptions import DerivaMLNotFoundError
from deriva_ml_prefect.ml.deriva_ml import DerivaML

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]
SCRIPT = Path(__file__).parents[3] / "blocks" / "digits.py"


def script(catalog_id: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("blocks_digits", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
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
