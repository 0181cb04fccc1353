"""Generations of the schema and their mixtures, and what their statuses mean."""

from __future__ import annotations

from typing import Any

import pytest

from deriva_ml_prefect.catalog.dialect import (
    Dialect,
    detect_dialect,
    read_detail,
    read_status,
    stored_texts,
    write_detail,
    write_status,
)
from deriva_ml_prefect.catalog.schema import read_schema
from deriva_ml_prefect.exceptions import DerivaMLSchemaError, DerivaMLStateInconsistency
from deriva_ml_prefect.values.status import ExecutionStatus as S


def dialect_of(document: dict[str, Any]) -> Dialect:
    return detect_dialect(read_schema(document), "deriva-ml")


def test_newer(newer: dict[str, Any]) -> None:
    dialect = dialect_of(newer)
    assert dialect.status_enforced
    assert dialect.workflow_type_table
    assert not dialect.workflow_type_column
    assert not dialect.workflow_type_required
    assert dialect.durations == {
        "execution": "Execution_Duration",
        "download": "Download_Duration",
        "upload": "Upload_Duration",
    }
    assert not dialect.single_duration
    assert dialect.nested_executions
    assert dialect.directory_datasets
    assert dialect.dataset_execution_version
    assert dialect.minid_spec_hash


def test_older(older: dict[str, Any]) -> None:
    dialect = dialect_of(older)
    assert not dialect.status_enforced
    assert not dialect.workflow_type_table
    assert dialect.workflow_type_column
    assert dialect.workflow_type_required
    assert dialect.durations == {}
    assert dialect.single_duration
    assert not dialect.nested_executions
    assert not dialect.directory_datasets
    assert not dialect.dataset_execution_version
    assert not dialect.minid_spec_hash


def test_both(both: dict[str, Any]) -> None:
    dialect = dialect_of(both)
    assert dialect.status_enforced
    assert dialect.workflow_type_table
    assert dialect.workflow_type_column
    assert not dialect.workflow_type_required
    assert dialect.single_duration
    assert len(dialect.durations) == 3


def test_mixtures_are_found_feature_by_feature(both: dict[str, Any], without: Any) -> None:
    tables = both["schemas"]["deriva-ml"]["tables"]
    without(tables["Execution"], "Upload_Duration")
    del tables["Execution_Execution"]
    tables["Execution"]["foreign_keys"] = []
    dialect = dialect_of(both)
    assert dialect.durations == {"execution": "Execution_Duration", "download": "Download_Duration"}
    assert not dialect.nested_executions
    assert not dialect.status_enforced
    assert dialect.workflow_type_table


def test_a_catalog_without_the_schema_is_named(both: dict[str, Any]) -> None:
    del both["schemas"]["deriva-ml"]
    with pytest.raises(DerivaMLSchemaError, match="create_ml_catalog"):
        dialect_of(both)


@pytest.mark.parametrize("status", list(S))
@pytest.mark.parametrize("detail", [None, "", "words", "Failed: no", "Running", "a: b"])
def test_every_status_survives_both_generations(
    newer: dict[str, Any], status: S, detail: str | None, request: pytest.FixtureRequest
) -> None:
    dialect = dialect_of(newer)
    assert write_status(dialect, status) == status
    assert write_detail(dialect, status, detail) == detail
    assert read_status(dialect, write_status(dialect, status), detail) is status
    assert read_detail(dialect, status, detail) == detail


@pytest.mark.parametrize("status", list(S))
@pytest.mark.parametrize("detail", [None, "words", "upload of 3 files", "a: b"])
def test_every_status_survives_the_older_generation(older: dict[str, Any], status: S, detail: str | None) -> None:
    dialect = dialect_of(older)
    text, kept = write_status(dialect, status), write_detail(dialect, status, detail)
    assert text in {"Created", "Running", "Completed", "Failed", "Aborted"}
    assert read_status(dialect, text, kept) is status
    assert read_detail(dialect, text, kept) == detail
    assert text in stored_texts(dialect, status)


@pytest.mark.parametrize(
    ("text", "detail", "status"),
    [
        (None, None, S.Created),
        ("Initializing", "x", S.Created),
        ("Pending", None, S.Created),
        ("Running", "Uploading", S.Running),
        ("Completed", "Uploaded 3 assets", S.Uploaded),
        ("Completed", "Algorithm execution ended.", S.Stopped),
        ("Completed", "Successfully end the execution.", S.Uploaded),
        ("Completed", None, S.Stopped),
        ("Failed", "Uploaded: no", S.Failed),
        ("Running", "Stopped: is no detail of Running", S.Running),
    ],
)
def test_what_older_releases_left(
    older: dict[str, Any], both: dict[str, Any], text: str, detail: str, status: S
) -> None:
    assert read_status(dialect_of(older), text, detail) is status
    assert read_status(dialect_of(both), text, detail) is status


def test_an_unknown_status_is_named(newer: dict[str, Any]) -> None:
    with pytest.raises(DerivaMLStateInconsistency, match="'Exploded'"):
        read_status(dialect_of(newer), "Exploded")
