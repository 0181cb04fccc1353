"""Feature values: staged, flushed after the assets, sent again after a failure, once each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from deriva.core.ermrest_model import Column, Schema, Table, builtin_types

from deriva_ml_prefect.config.column import ColumnDefinition
from deriva_ml_prefect.exceptions import (
    DerivaMLException,
    DerivaMLInvalidTerm,
    DerivaMLUploadError,
    DerivaMLValidationError,
)
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.ml.feature import FeatureRecord
from deriva_ml_prefect.phases import stage
from deriva_ml_prefect.values.names import BuiltinTypes
from deriva_ml_prefect.values.status import ExecutionStatus

Begin = Callable[..., Execution]
Away = Callable[[], AbstractContextManager[None]]
S = ExecutionStatus


def values(ml: DerivaML, exe: Execution, feature: str, column: str) -> dict[str, Any]:
    """Target → value of one execution; a target that has two values is an error."""
    records = ml.feature_values("Subject", feature, execution_rid=exe.execution_rid)
    found = {str(record.Subject): getattr(record, column) for record in records}
    assert len(found) == len(records)
    return found


@pytest.mark.spec("features.count", "features.not-yet")
def test_staged_then_inserted(ml: DerivaML, subjects: tuple[str, ...], begin: Begin) -> None:
    record = ml.feature_record_class("Subject", "Diagnosis")
    one, two, *_ = subjects
    with begin() as exe:
        assert exe.add_features([record(Subject=one, Grade="Mild"), record(Subject=two, Grade="Severe")]) == 2
        assert exe.staged().features == {"Subject.Diagnosis": 2}
        assert values(ml, exe, "Diagnosis", "Grade") == {}
    exe.upload_execution_outputs()
    assert values(ml, exe, "Diagnosis", "Grade") == {one: "Mild", two: "Severe"}
    assert exe.staged().features == {"Subject.Diagnosis": 0}


def test_features_of_one_name_in_two_schemas_are_counted_apart(
    ml: DerivaML, subjects: tuple[str, ...], begin: Begin
) -> None:
    twin = ml.model.create_schema(Schema.define("twin"))
    try:
        twin.create_table(Table.define("Subject", [Column.define("Name", builtin_types.text)]))
        ml.refresh_schema()
        ml.create_feature("twin:Subject", "Diagnosis", metadata=[ColumnDefinition(name="Note", type=BuiltinTypes.text)])
        (row,) = ml.pathBuilder().schemas["twin"].tables["Subject"].insert([{"Name": "twin"}])
        lab, other = (ml.feature_record_class(f"{schema}:Subject", "Diagnosis") for schema in ("lab", "twin"))
        with begin() as exe:
            exe.add_features([lab(Subject=rid, Grade="Mild") for rid in subjects[:2]])
            exe.add_features([other(Subject=row["RID"], Note="well")])
            assert exe.staged().features == {"lab:Subject.Diagnosis": 2, "twin:Subject.Diagnosis": 1}
        exe.upload_execution_outputs()
        told = ml.summarize_execution(exe.execution_rid).features
        assert told == {"lab:Subject.Diagnosis": 2, "twin:Subject.Diagnosis": 1}
    finally:
        ml.refresh_schema()
        ml.model.schemas["twin"].drop(cascade=True)
        ml.refresh_schema()


@pytest.mark.spec("features.same-twice", "features.different")
def test_equal_twice_is_one_and_different_is_an_error(ml: DerivaML, subjects: tuple[str, ...], begin: Begin) -> None:
    record = ml.feature_record_class("Subject", "Diagnosis")
    one = subjects[0]
    with begin() as exe:
        assert exe.add_features([record(Subject=one, Grade="Mild")] * 2) == 2
        exe.add_features([record(Subject=one, Grade="Mild")])
        with pytest.raises(DerivaMLValidationError, match=f"{one} is staged twice"):
            exe.add_features([record(Subject=subjects[1], Grade="Mild"), record(Subject=one, Grade="Severe")])
        assert exe.staged().features == {"Subject.Diagnosis": 1}
    exe.upload_execution_outputs()
    assert values(ml, exe, "Diagnosis", "Grade") == {one: "Mild"}


@pytest.mark.spec("features.one-definition")
def test_one_feature_a_call(ml: DerivaML, subjects: tuple[str, ...], begin: Begin) -> None:
    diagnosis, score = (ml.feature_record_class("Subject", name) for name in ("Diagnosis", "Score"))
    exe = begin()
    with pytest.raises(DerivaMLValidationError, match=r"Subject\.Diagnosis, Subject\.Score"):
        exe.add_features([diagnosis(Subject=subjects[0], Grade="Mild"), score(Subject=subjects[0], Score=1.0)])
    with pytest.raises(ValueError, match="no records"):
        exe.add_features([])
    assert exe.staged().features == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_no_catalog_keeps_is_refused(ml: DerivaML, subjects: tuple[str, ...], begin: Begin, value: float) -> None:
    score = ml.feature_record_class("Subject", "Score")
    exe = begin()
    with pytest.raises(DerivaMLValidationError):
        exe.add_features([score(Subject=subjects[0], Score=value)])
    assert exe.staged().features == {}


def test_numbers_come_back_exactly(ml: DerivaML, subjects: tuple[str, ...], begin: Begin) -> None:
    score = ml.feature_record_class("Subject", "Score")
    wanted = dict(zip(subjects, [0.1, -0.0, 1e-300, 1.7976931348623157e308, 2 / 3, None], strict=False))
    with begin() as exe:
        exe.add_features([score(Subject=rid, Score=number) for rid, number in wanted.items()])
    exe.upload_execution_outputs()
    assert values(ml, exe, "Score", "Score") == wanted


@pytest.mark.spec("files.feature-path", "features.after-assets")
def test_path_of_an_asset_becomes_its_rid(
    ml: DerivaML, subjects: tuple[str, ...], begin: Begin, tmp_path: Path
) -> None:
    outline = ml.feature_record_class("Subject", "Outline")
    source = tmp_path / "made-before.png"
    source.write_bytes(b"made before")
    with begin() as exe:
        new = exe.asset_file_path("Mask", "new.png")
        new.write_bytes(b"new mask")
        linked = exe.asset_file_path("Mask", source, rename_file="linked.png")
        one, two, three, *_ = subjects
        exe.add_features([outline(Subject=one, Mask=new), outline(Subject=two, Mask=str(linked))])
        exe.add_features([outline(Subject=three, Mask=source)])
    uploaded = {path.file_name: path.asset_rid for path in exe.upload_execution_outputs()["Mask"]}
    assert values(ml, exe, "Outline", "Mask") == {
        one: uploaded["new.png"],
        two: uploaded["linked.png"],
        three: uploaded["linked.png"],
    }


def test_failed_flush_is_sent_again(ml: DerivaML, subjects: tuple[str, ...], begin: Begin, away: Away) -> None:
    """A term that is not there fails one feature; the other goes through; both are there after the repair."""
    diagnosis, score = (ml.feature_record_class("Subject", name) for name in ("Diagnosis", "Score"))
    one, two, three, *_ = subjects
    with begin() as exe:
        exe.asset_file_path("Image", "beside.png").write_bytes(b"beside")
        with away():
            exe.add_features([diagnosis(Subject=one, Grade="Moderate"), diagnosis(Subject=two, Grade="Mild")])
        exe.add_features([score(Subject=one, Score=0.5)])
    for _ in range(2):
        with pytest.raises(DerivaMLUploadError) as caught:
            exe.upload_execution_outputs(retry_delay=0)
        assert [key.split("/")[1] for key, _ in caught.value.failed] == ["lab.Execution_Subject_Diagnosis"]
        assert ml.lookup_execution(exe.execution_rid).status is S.Failed
        assert values(ml, exe, "Diagnosis", "Grade") == {}
        assert values(ml, exe, "Score", "Score") == {one: 0.5}
        assert exe.staged().features == {"Subject.Diagnosis": 2, "Subject.Score": 0}
    ml.add_term("Grade", "Moderate", "In between")
    exe.add_features([diagnosis(Subject=three, Grade="Moderate")])
    exe.add_features([score(Subject=two, Score=0.25)])
    exe.upload_execution_outputs(retry_delay=0)
    assert ml.lookup_execution(exe.execution_rid).status is S.Uploaded
    assert values(ml, exe, "Diagnosis", "Grade") == {one: "Moderate", two: "Mild", three: "Moderate"}
    assert values(ml, exe, "Score", "Score") == {one: 0.5, two: 0.25}


def test_features_after_uploaded_are_not_forgotten(ml: DerivaML, subjects: tuple[str, ...], begin: Begin) -> None:
    score = ml.feature_record_class("Subject", "Score")
    with begin() as exe:
        pass
    exe.upload_execution_outputs()
    exe.add_features([score(Subject=subjects[0], Score=1.5)])
    exe.upload_execution_outputs()
    assert values(ml, exe, "Score", "Score") == {subjects[0]: 1.5}
    assert ml.lookup_execution(exe.execution_rid).status is S.Uploaded


def test_value_changed_after_it_was_inserted_is_refused(ml: DerivaML, subjects: tuple[str, ...], begin: Begin) -> None:
    score = ml.feature_record_class("Subject", "Score")
    with begin() as exe:
        exe.add_features([score(Subject=subjects[0], Score=1.5)])
    exe.upload_execution_outputs()
    with pytest.raises(DerivaMLValidationError, match="staged twice"):
        exe.add_features([score(Subject=subjects[0], Score=2.5)])
    assert values(ml, exe, "Score", "Score") == {subjects[0]: 1.5}


@pytest.mark.spec("features.only-way")
def test_values_need_an_execution(ml: DerivaML) -> None:
    with pytest.raises(DerivaMLException, match=r"exe\.add_features"):
        ml.add_features([])


def test_values_may_come_one_by_one(ml: DerivaML, subjects: tuple[str, ...], begin: Begin) -> None:
    """From a generator that itself writes to the journal: nothing is locked meanwhile, and all or none are staged."""
    score = ml.feature_record_class("Subject", "Score")
    exe = begin()

    def values(last: float) -> Iterator[FeatureRecord]:
        for number, rid in enumerate(subjects):
            exe.asset_file_path("Image", f"{last}-{number}.png").write_bytes(b"x")
            yield score(Subject=rid, Score=last if rid == subjects[-1] else 0.5)

    assert exe.add_features(values(0.5)) == len(subjects)
    assert exe.add_features(values(0.5)) == len(subjects)
    with pytest.raises(DerivaMLValidationError, match="staged twice"):
        exe.add_features(values(0.25))
    assert exe.staged().features == {"Subject.Score": len(subjects)}
    assert len(exe.staged().files) == 2 * len(subjects)


def test_records_of_one_call_may_differ_in_their_columns(
    ml: DerivaML, subjects: tuple[str, ...], begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is looked at as if it were alone, whatever the one before it had; two at a time go through the file."""
    monkeypatch.setattr(stage, "SPOOLED_AT_ONCE", 2)
    score = ml.feature_record_class("Subject", "Score")
    definition = score.feature.definition
    given = [{"Subject": subjects[0], "Score": 0.5}, {"Subject": subjects[1]}, {"Score": 7, "Subject": subjects[2]}]
    with begin() as exe:
        for wrong, match in [
            ({"Subject": subjects[3], "Nowhere": 1}, "has no column Nowhere"),
            ({"Subject": subjects[3], "Score": math.nan}, "is not finite"),
            ({"Subject": subjects[3].lower() + "!", "Score": 0.5}, "is not a RID"),
        ]:
            with pytest.raises(DerivaMLValidationError, match=match):
                stage.stage_features(exe.context, definition, [*given, wrong])
        assert exe.staged().features == {}
        assert stage.stage_features(exe.context, definition, given) == 3
    exe.upload_execution_outputs()
    assert values(ml, exe, "Score", "Score") == {subjects[0]: 0.5, subjects[1]: None, subjects[2]: 7.0}


def test_what_cannot_be_a_value_is_refused_when_it_is_staged(
    ml: DerivaML, subjects: tuple[str, ...], begin: Begin
) -> None:
    diagnosis = ml.feature_record_class("Subject", "Diagnosis")
    exe = begin()
    with pytest.raises(DerivaMLInvalidTerm, match=r"'Milt'.*Mild"):
        exe.add_features([diagnosis(Subject=subjects[0], Grade="Mild"), diagnosis(Subject=subjects[1], Grade="Milt")])
    with pytest.raises(DerivaMLValidationError, match="Grade must be given"):
        exe.add_features([diagnosis(Subject=subjects[0])])
    with pytest.raises(DerivaMLValidationError, match="was given dict"):
        exe.add_features([{"Subject": subjects[0], "Grade": "Mild"}])  # type: ignore[list-item]
    assert exe.staged().features == {}


def test_synonym_of_a_term_is_stored_as_the_term(ml: DerivaML, subjects: tuple[str, ...], begin: Begin) -> None:
    ml.add_term("Grade", "None at all", "no sign of it", synonyms=["nil"])
    diagnosis = ml.feature_record_class("Subject", "Diagnosis")
    with begin() as exe:
        exe.add_features([diagnosis(Subject=subjects[0], Grade="nil")])
        assert exe.add_features([diagnosis(Subject=subjects[0], Grade="None at all")]) == 1
    exe.upload_execution_outputs()
    assert values(ml, exe, "Diagnosis", "Grade") == {subjects[0]: "None at all"}


def test_values_are_staged_while_the_catalog_is_away(
    ml: DerivaML, subjects: tuple[str, ...], begin: Begin, away: Away
) -> None:
    ml.add_term("Grade", "Away", "told of while the catalog was away", synonyms=["gone"])
    diagnosis = ml.feature_record_class("Subject", "Diagnosis")
    with begin() as exe, away():
        exe.add_features([diagnosis(Subject=subjects[0], Grade="gone")])
        exe.asset_file_path("Mask", "away.png", asset_types=["Derived"]).write_bytes(b"away")
    exe.upload_execution_outputs()
    assert values(ml, exe, "Diagnosis", "Grade") == {subjects[0]: "Away"}


def test_refused_value_can_be_dropped(ml: DerivaML, subjects: tuple[str, ...], begin: Begin) -> None:
    score, outline = (ml.feature_record_class("Subject", name) for name in ("Score", "Outline"))
    nobody = score(Subject="9-ZZZZ", Score=1.0)
    with begin() as exe:
        exe.add_features([score(Subject=subjects[0], Score=0.5), nobody])
        exe.add_features([outline(Subject=subjects[0], Mask="/nowhere/mask.png")])
    with pytest.raises(DerivaMLUploadError, match="9-ZZZZ") as caught:
        exe.upload_execution_outputs()
    assert "/nowhere/mask.png, which is no registered output" in str(caught.value)
    assert exe.unstage_features([nobody]) == 1
    assert exe.unstage_features([nobody]) == 0
    assert exe.unstage_features(outline) == 1
    exe.upload_execution_outputs()
    assert values(ml, exe, "Score", "Score") == {subjects[0]: 0.5}
    assert exe.unstage_features(score) == 0
    assert values(ml, exe, "Outline", "Mask") == {}


def test_wrong_values_do_not_hold_up_those_beside_them(ml: DerivaML, subjects: tuple[str, ...], begin: Begin) -> None:
    score = ml.feature_record_class("Subject", "Score")
    wrong = ("9-ZZZZ", "9-YYYY")
    with begin() as exe:
        exe.add_features([score(Subject=rid, Score=0.5) for rid in (*subjects[:3], wrong[0], *subjects[3:])])
        exe.add_features([score(Subject=wrong[1], Score=0.5)])
    with pytest.raises(DerivaMLUploadError, match=r"9-ZZZZ.*9-YYYY") as caught:
        exe.upload_execution_outputs(max_retries=0)
    assert [key.rpartition("/")[2] for key, _ in caught.value.failed] == list(wrong)
    assert not caught.value.passing
    assert values(ml, exe, "Score", "Score") == dict.fromkeys(subjects, 0.5)
    assert exe.staged().features == {"Subject.Score": 2}
    # those that are there already are not sent again, and the wrong ones are named again
    with pytest.raises(DerivaMLUploadError, match=r"9-ZZZZ.*9-YYYY"):
        exe.upload_execution_outputs(max_retries=0)
    assert values(ml, exe, "Score", "Score") == dict.fromkeys(subjects, 0.5)
