"""What of a record is staged: of plain values at once what pydantic makes of any, and of one feature a call."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.exceptions import DerivaMLValidationError
from deriva_ml_prefect.ml.feature import Feature, FeatureRecord, feature_of, plain_records
from deriva_ml_prefect.values.records import FeatureColumn, FeatureDefinition


def feature(name: str = "Score") -> Feature:
    types = {"Score": "float8", "Count": "int4", "Note": "text", "Day": "date", "Words": "text[]", "Facts": "jsonb"}
    columns = [FeatureColumn(column, kind, "value", None, None, True) for column, kind in types.items()]
    columns.append(FeatureColumn("Image", "text", "asset", ("lab", "Image"), "RID", True))
    return Feature(
        FeatureDefinition(
            name=name,
            schema="lab",
            table=f"Execution_Subject_{name}",
            target_schema="lab",
            target_table="Subject",
            target_column="Subject",
            target_referenced_column="RID",
            execution_column="Execution",
            feature_name_column="Feature_Name",
            columns=tuple(columns),
        )
    )


class Inner(FeatureRecord):
    """Any model of pydantic, inside a value."""


VALUES: list[dict[str, Any]] = [
    {},
    {"Score": 0.5, "Count": 7, "Note": "a note"},
    {"Score": 1, "Note": None, "RCT": "2026-01-15T14:30:00+00:00"},
    {"Day": date(2026, 1, 15)},
    {"Day": "2026-01-15"},
    {"Words": ["a", None, "b"]},
    {"Facts": {"a": [1, {"b": None}]}},
    {"Facts": True},
    {"Facts": Inner(Execution="1-A")},
    {"Image": Path("image.png"), "Execution": "1-A"},
]


@pytest.mark.parametrize("values", VALUES, ids=lambda values: ", ".join(values) or "nothing")
def test_a_record_is_what_pydantic_makes_of_it(values: dict[str, Any]) -> None:
    made = feature()
    record = made.feature_record_class()(Subject="1-AB", **values)
    found = list(plain_records(made, [record]))
    assert found == [record.model_dump(exclude={"RCT"}, exclude_none=True)]
    assert found[0].keys() >= {"Subject", "Feature_Name"}
    assert found[0] is not vars(record)


def test_a_record_of_a_class_that_a_user_derived() -> None:
    made = feature()

    class Own(made.feature_record_class()):  # type: ignore[misc]
        def model_dump(self, **options: Any) -> dict[str, Any]:
            return {**super().model_dump(**options), "Note": "from the class"}

    assert [row["Note"] for row in plain_records(made, [Own(Subject="1-AB")])] == ["from the class"]


def test_one_feature_a_call() -> None:
    made, again, other = feature(), feature(), feature("Other")
    first = made.feature_record_class()(Subject="1-AB", Score=0.5)
    # looked up a second time it is the same feature, with a class of its own
    second = again.feature_record_class()(Subject="1-AC", Score=0.25)
    assert [row["Score"] for row in plain_records(made, [first, second])] == [0.5, 0.25]
    given = plain_records(made, [first, other.feature_record_class()(Subject="1-AD")])
    assert next(given)["Subject"] == "1-AB"
    with pytest.raises(DerivaMLValidationError, match=r"takes one feature, and these were given: .*Other, .*Score"):
        next(given)
    with pytest.raises(DerivaMLValidationError, match="was given dict"):
        feature_of({"Subject": "1-AB"})  # type: ignore[arg-type]
