"""Features: defined as recorded, found by structure, values written once."""

from __future__ import annotations

from typing import Any

import pytest

from deriva_ml_prefect.catalog import assets, documents, executions, features, vocabulary
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.rows import insert_rows, lease_rids, new_token
from deriva_ml_prefect.catalog.tables import create_tables
from deriva_ml_prefect.exceptions import (
    DerivaMLCatalogConflict,
    DerivaMLFeatureNotFound,
    DerivaMLTableTypeError,
    DerivaMLValidationError,
)
from deriva_ml_prefect.values.records import FeatureDefinition

SUBJECTS = 1200


@pytest.fixture(scope="module")
def subjects(shared: Catalog) -> list[str]:
    create_tables(shared, [documents.table_document("demo", "Subject", columns=[documents.column("Name", "text")])])
    assets.create_asset_table(shared, "Mask")
    vocabulary.create_vocabulary(shared, "Grade")
    vocabulary.add_term(shared, "Grade", "Mild")
    vocabulary.add_term(shared, "Grade", "Severe")
    rows = insert_rows(shared, ("demo", "Subject"), [{"Name": f"s{i}"} for i in range(SUBJECTS)])
    return [row["RID"] for row in rows]


@pytest.fixture(scope="module")
def grading(shared: Catalog, subjects: list[str]) -> FeatureDefinition:
    return features.create_feature(
        shared,
        "Subject",
        "Grading",
        terms=["Grade", "Grade"],
        assets=["Mask"],
        metadata=[
            documents.column("Score", "float4"),
            documents.column("Note", "text"),
            documents.column("Sure", "boolean"),
            documents.column("Seen", "timestamptz"),
            documents.column("Count", "int4"),
        ],
        optional=["Mask", "Grade2"],
        comment="how bad it is",
    )


@pytest.fixture
def execution(shared: Catalog) -> str:
    (rid,) = lease_rids(shared, [new_token()])
    return executions.insert_execution(shared, rid, workflow_rid=None, description=f"e {rid}").rid


def test_the_table_is_as_recorded(shared: Catalog, grading: FeatureDefinition) -> None:
    table = shared.model["schemas"]["demo"]["tables"]["Execution_Subject_Grading"]
    columns = [(c["name"], c["type"]["typename"], c["nullok"], c["default"]) for c in table["column_definitions"][5:]]
    assert columns[:6] == [
        ("Execution", "text", False, None),
        ("Subject", "text", False, None),
        ("Feature_Name", "text", False, "Grading"),
        ("Mask", "text", True, None),
        ("Grade", "text", False, None),
        ("Grade2", "text", True, None),
    ]
    keys = {tuple(k["unique_columns"]): k["names"][0][1] for k in table["keys"]}
    assert keys["Execution", "Subject", "Feature_Name"] == "Execution_Subject_Grading_assoc_key"
    assert {f["on_delete"] for f in table["foreign_keys"][2:]} == {"CASCADE"}
    assert grading.qualified == "demo:Execution_Subject_Grading"
    assert [(c.name, c.kind, c.nullok) for c in grading.columns][:4] == [
        ("Mask", "asset", True),
        ("Grade", "term", False),
        ("Grade2", "term", True),
        ("Score", "value", True),
    ]
    assert vocabulary.lookup_term(shared, "Feature_Name", "Grading").description == "how bad it is"


def test_features_are_found(shared: Catalog, again: Catalog, grading: FeatureDefinition) -> None:
    assert features.lookup_feature(again, "Subject", "Grading") == grading
    assert features.find_features(again, "Subject") == [grading]
    assert features.find_features(again) == [grading]
    assert features.find_features(again, "Mask") == []
    with pytest.raises(DerivaMLFeatureNotFound, match="Did you mean Grading"):
        features.lookup_feature(again, "Subject", "Gradng")


def test_a_feature_of_an_execution(shared: Catalog, subjects: list[str], execution: str) -> None:
    made = features.create_feature(
        shared, "Execution", "Accuracy", metadata=[documents.column("Value", "float8", nullok=False)]
    )
    assert made.target_column == "Execution2"
    rows = [{"Execution": execution, "Execution2": execution, "Value": 0.5}]
    assert features.insert_feature_rows(shared, made, rows) == 1


def test_what_no_feature_can_be_made_of(shared: Catalog, grading: FeatureDefinition) -> None:
    with pytest.raises(DerivaMLTableTypeError, match="not a vocabulary"):
        features.create_feature(shared, "Subject", "X", terms=["Mask"])
    with pytest.raises(DerivaMLTableTypeError, match="not an asset table"):
        features.create_feature(shared, "Subject", "X", assets=["Grade"])
    with pytest.raises(DerivaMLValidationError, match="optional"):
        features.create_feature(shared, "Subject", "X", terms=["Grade"], optional=["Nope"])
    with pytest.raises(DerivaMLCatalogConflict):
        features.create_feature(shared, "Subject", "Grading", terms=["Grade"])


def values(execution: str, subjects: list[str], **others: Any) -> list[dict[str, Any]]:
    return [
        {"Execution": execution, "Subject": rid, "Grade": "Mild", "Score": i / 7, **others}
        for i, rid in enumerate(subjects)
    ]


def test_values_are_written_once(
    shared: Catalog, grading: FeatureDefinition, subjects: list[str], execution: str
) -> None:
    rows = values(execution, subjects, Note='a "b", c\n', Sure=True, Seen="2026-01-02T03:04:05+01:00", Count=5)
    before = shared.client.requests
    assert features.insert_feature_rows(shared, grading, rows[:1100]) == 1100
    assert shared.client.requests - before == 1
    assert features.insert_feature_rows(shared, grading, rows) == SUBJECTS
    assert features.insert_feature_rows(shared, grading, rows) == SUBJECTS
    found = features.read_feature_rows(shared, grading, execution_rid=execution)
    assert len(found) == SUBJECTS
    assert {row["Feature_Name"] for row in found} == {"Grading"}
    assert {row["Note"] for row in found} == {'a "b", c\n'}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("Grade", "Severe"),
        ("Score", 0.25),
        ("Note", "other"),
        ("Note", ""),
        ("Sure", False),
        ("Seen", "2026-01-02T03:04:05Z"),
        ("Count", 6),
        ("Score", None),
    ],
)
def test_another_value_is_a_conflict(
    shared: Catalog, grading: FeatureDefinition, subjects: list[str], execution: str, column: str, value: object
) -> None:
    rows = values(execution, subjects[:3], Note="n", Sure=True, Seen="2026-01-02T03:04:05+01:00", Count=5)
    assert features.insert_feature_rows(shared, grading, rows) == 3
    changed = [*rows[:1], {**rows[1], column: value}, *rows[2:]]
    with pytest.raises(DerivaMLCatalogConflict, match=f"{column}="):
        features.insert_feature_rows(shared, grading, changed)
    with pytest.raises(DerivaMLValidationError, match="two different values"):
        features.insert_feature_rows(shared, grading, rows + changed)


def test_a_term_that_does_not_exist_is_refused(
    shared: Catalog, grading: FeatureDefinition, subjects: list[str], execution: str
) -> None:
    rows = values(execution, subjects[:1])
    with pytest.raises(DerivaMLCatalogConflict):
        features.insert_feature_rows(shared, grading, [{**rows[0], "Grade": "Unheard of"}])
    assert features.read_feature_rows(shared, grading, execution_rid=execution) == []


@pytest.mark.parametrize(
    ("typename", "given"),
    [
        ("timestamptz", ["2026-01-02T03:04:05Z", "2026-01-02T03:04:06+01:00", None]),
        ("float4", [0.123456789, 1 / 3]),
        ("date", ["2026-01-02", "2026-01-03"]),
        ("int4", [1, 2]),
        ("text", ["a", ""]),
    ],
)
def test_qualified_values_are_found_again(
    shared: Catalog, subjects: list[str], execution: str, typename: str, given: list[Any]
) -> None:
    """Whose key holds a value that the catalog spells in its own way."""
    name = f"By_{typename}"
    columns = [documents.column("When", typename), documents.column("Value", "float8")]
    made = features.create_feature(shared, "Subject", name, metadata=columns)
    keys = f"/ermrest/catalog/{shared.address.catalog_id}/schema/demo/table/{made.table}/key"
    old = "Execution,Subject,Feature_Name"
    shared.client.request("POST", keys, json={"unique_columns": [*old.split(","), "When"]}, expect=(201,))
    shared.client.request("DELETE", f"{keys}/{old}", expect=(204,))
    shared.refresh()
    rows = [
        {"Execution": execution, "Subject": rid, "When": when, "Value": i / 7}
        for rid in subjects[:3]
        for i, when in enumerate(given)
        if when is not None
    ]
    assert features.insert_feature_rows(shared, made, rows) == len(rows)
    assert features.insert_feature_rows(shared, made, rows) == len(rows)
    with pytest.raises(DerivaMLCatalogConflict, match="Value="):
        features.insert_feature_rows(shared, made, [*rows[1:], {**rows[0], "Value": 9.0}])
    assert len(features.read_feature_rows(shared, made, execution_rid=execution)) == len(rows)
