"""The names that programs may rely on, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import deriva_ml_prefect

NAMES = {
    "Asset", "AssetFilePath", "BuiltinTypes", "ColumnDefinition", "DatasetVersion", "Feature", "FeatureRecord",
    "FileSpec", "UploadProgress", "VersionPart",
    "AssetSpec", "Dataset", "DatasetBag", "DatasetSpec", "DerivaML", "ExecAssetType", "ExecMetadataType", "Execution",
    "ExecutionConfiguration", "ExecutionStatus", "MLAsset", "MLVocab", "NestedRun", "Workflow", "create_ml_catalog",
    "current_execution", "deriva_execution", "exceptions", "run_nested", "tell_missed_ends",
}  # fmt: skip

ERRORS = {
    "DerivaMLException", "DerivaMLConfigurationError", "DerivaMLSchemaError", "DerivaMLAuthenticationError",
    "DerivaMLOfflineError", "DerivaMLDataError", "DerivaMLNotFoundError", "DerivaMLDatasetNotFound",
    "DerivaMLTableNotFound", "DerivaMLInvalidTerm", "DerivaMLFeatureNotFound", "DerivaMLTableTypeError",
    "DerivaMLValidationError", "DerivaMLCycleError", "DerivaMLStateInconsistency", "DerivaMLExecutionError",
    "DerivaMLWorkflowError", "DerivaMLDirtyWorkflowError", "DerivaMLUploadError", "DerivaMLReadOnlyError",
    "InvalidTransitionError",
}  # fmt: skip
"""deriva-ml's names; there may be more."""


def test_public_names() -> None:
    assert set(deriva_ml_prefect.__all__) == NAMES
    assert set(dir(deriva_ml_prefect)) >= NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_name_is_there(name: str) -> None:
    assert getattr(deriva_ml_prefect, name) is not None


def test_errors_have_deriva_mls_names() -> None:
    assert set(vars(deriva_ml_prefect.exceptions)) >= ERRORS


def test_no_other_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'DerivaFlow'"):
        deriva_ml_prefect.DerivaFlow  # noqa: B018


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import deriva_ml_prefect", {"prefect", "pydantic", "httpx", "urllib3", "deriva"}),
        ("from deriva_ml_prefect import DerivaML, DatasetSpec, Execution, create_ml_catalog", {"prefect", "deriva"}),
    ],
)
def test_cost_of_importing(code: str, absent: set[str]) -> None:
    script = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert not absent & set(done.stdout.split())
