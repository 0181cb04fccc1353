"""Schema documents of catalogs of each generation, made from the description that new catalogs are made from."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from deriva_ml_prefect.catalog.creation.description import schema_documents

ONLY_NEWER = ("Execution_Status", "Workflow_Workflow_Type", "Execution_Execution", "Directory_Dataset")


def drop_columns(table: dict[str, Any], *names: str) -> None:
    table["column_definitions"] = [c for c in table["column_definitions"] if c["name"] not in names]
    table["foreign_keys"] = [
        f for f in table["foreign_keys"] if f["foreign_key_columns"][0]["column_name"] not in names
    ]


def drop_reference(table: dict[str, Any], column: str) -> None:
    table["foreign_keys"] = [f for f in table["foreign_keys"] if f["foreign_key_columns"][0]["column_name"] != column]


@pytest.fixture
def both() -> dict[str, Any]:
    """What create_ml_catalog makes: the newer generation with what the older needs."""
    return copy.deepcopy(schema_documents("demo"))


@pytest.fixture
def newer(both: dict[str, Any]) -> dict[str, Any]:
    tables = both["schemas"]["deriva-ml"]["tables"]
    drop_columns(tables["Workflow"], "Workflow_Type")
    drop_columns(tables["Execution"], "Duration")
    return both


@pytest.fixture
def older(both: dict[str, Any]) -> dict[str, Any]:
    """Release 1.17.10."""
    tables = both["schemas"]["deriva-ml"]["tables"]
    for name in ONLY_NEWER:
        del tables[name]
    drop_columns(tables["Execution"], "Execution_Duration", "Download_Duration", "Upload_Duration")
    drop_reference(tables["Execution"], "Status")
    drop_columns(tables["Dataset_Version"], "Minid_Spec_Hash")
    drop_columns(tables["Dataset_Execution"], "Dataset_Version")
    for column in tables["Workflow"]["column_definitions"]:
        if column["name"] == "Workflow_Type":
            column["nullok"] = False
    return both


@pytest.fixture
def without() -> Callable[..., None]:
    return drop_columns
