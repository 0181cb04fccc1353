"""Values of features as records and data frames, and the choice among several for one row."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLMaterializeLimitExceeded, DerivaMLValidationError
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.ml.feature import FeatureRecord

Run = Callable[..., Execution]


def grade(ml: DerivaML, **grades: str) -> Callable[[Execution], object]:
    record = ml.feature_record_class("Subject", "Diagnosis")
    return lambda exe: exe.add_features([record(Subject=rid, Grade=term) for rid, term in grades.items()])


def test_selectors(ml: DerivaML, run: Run, subjects: tuple[str, ...]) -> None:
    a, b = subjects[20:22]
    other = Workflow(name="Raters", workflow_type=["Testing"], url="https://example.org/raters", checksum="d" * 40)
    first = run(grade(ml, **{a: "Mild", b: "Mild"}), workflow=other)
    second = run(grade(ml, **{a: "Severe"}))
    third = run(grade(ml, **{a: "Mild"}))
    runs = [exe.execution_rid for exe in (first, second, third)]

    def chosen(selector: object) -> dict[str, tuple[str, str]]:
        values = ml.feature_values("Subject", "Diagnosis", selector, execution_rids=runs)  # type: ignore[arg-type]
        return {value.Subject: (value.Execution, value.Grade) for value in values}

    assert len(ml.feature_values("Subject", "Diagnosis", execution_rids=runs)) == 4
    assert chosen(FeatureRecord.select_newest) == {a: (third.rid, "Mild"), b: (first.rid, "Mild")}
    assert chosen(FeatureRecord.select_latest) == chosen(FeatureRecord.select_newest)
    assert chosen(FeatureRecord.select_first) == {a: (first.rid, "Mild"), b: (first.rid, "Mild")}
    assert chosen(FeatureRecord.select_by_execution(second.rid)) == {a: (second.rid, "Severe")}
    by_raters = chosen(FeatureRecord.select_by_workflow("https://example.org/raters", container=ml))
    assert by_raters == {a: (first.rid, "Mild"), b: (first.rid, "Mild")}
    assert chosen(FeatureRecord.select_by_workflow("Testing", container=ml)) == by_raters
    assert chosen(FeatureRecord.select_majority_vote("Grade"))[a] == (third.rid, "Mild")
    of_class = ml.feature_record_class("Subject", "Diagnosis").select_majority_vote()
    assert chosen(of_class)[a] == (third.rid, "Mild")
    with pytest.raises(DerivaMLValidationError, match="needs a column"):
        FeatureRecord.select_majority_vote()

    assert len(ml.feature_values("Subject", "Diagnosis", materialize_limit=4, execution_rids=runs)) == 4
    with pytest.raises(DerivaMLMaterializeLimitExceeded, match="more than 3"):
        ml.feature_values("Subject", "Diagnosis", materialize_limit=3, execution_rids=runs)


def test_data_frame(ml: DerivaML, run: Run, subjects: tuple[str, ...]) -> None:
    exe = run(grade(ml, **{subjects[30]: "Severe"}))
    frame = ml.feature_values_as_dataframe("Subject", "Diagnosis", execution_rid=exe.execution_rid)
    assert frame[["Execution", "Subject", "Grade", "Feature_Name"]].values.tolist() == [
        [exe.execution_rid, subjects[30], "Severe", "Diagnosis"]
    ]
    none = ml.feature_values_as_dataframe("Subject", "Diagnosis", execution_rids=[])
    assert list(none.columns) == list(frame.columns)
    assert len(none) == 0


def test_names_of_tables_answer_as_tables_do(ml: DerivaML) -> None:
    feature = ml.lookup_feature("Subject", "Diagnosis")
    assert (feature.feature_table.schema.name, feature.feature_table.name) == (
        "lab",
        "Execution_Subject_Diagnosis",
    )
    assert feature.target_table == feature.target_table.name == "Subject"
    assert {each.feature_name for each in ml.find_features("Subject")} >= {"Diagnosis", "Score", "Outline"}
    assert ml.find_features(feature.target_table)
