"""A lab's own class over DerivaML: its methods work in runs, on what they read back, and wherever a handle is given."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.ml.current import current_execution
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.ml.feature import FeatureRecord


class EyeAI(DerivaML):
    """What a lab adds: a constructor of its own, questions, and writing by way of an execution."""

    def __init__(self, hostname: str, catalog_id: str, grader: str = "nobody") -> None:
        super().__init__(hostname, catalog_id, domain_schemas={"lab"}, project_name="eye-ai")
        self.grader = grader

    def grades(self, subject: str) -> Counter[str]:
        """How often each grade was given to a subject."""
        values = self.feature_values("Subject", "Diagnosis")
        return Counter(value.Grade for value in values if value.Subject == subject)

    def grade(self, exe: Execution, subject: str, grade: str) -> int:
        record = self.feature_record_class("Subject", "Diagnosis")
        return exe.add_features([record(Subject=subject, Grade=grade)])

    def find_executions(self, *args: object, **kwargs: object):  # type: ignore[no-untyped-def]
        """A lab may narrow what it inherits."""
        return [each for each in super().find_executions(*args, **kwargs) if "hidden" not in (each.description or "")]


@pytest.fixture
def eye(home: Path, ml: DerivaML) -> EyeAI:
    return EyeAI("embedded", ml.catalog_id, grader="G")


def test_a_whole_run(eye: EyeAI, subjects: tuple[str, ...]) -> None:
    subject = subjects[35]
    before = eye.grades(subject)
    workflow = eye.create_workflow("Grading", "Testing", "By the lab's class")
    with eye.create_execution(ExecutionSpec(workflow=workflow, description="graded")) as exe:
        assert isinstance(exe.ml, EyeAI)
        assert exe.ml.grader == "G"
        assert current_execution().ml is eye
        assert eye.grade(exe, subject, "Severe") == 1
        exe.asset_file_path("Mask", "eye.png").write_text(exe.execution_rid)
        exe.log_metrics({"agreement": 0.5})
    exe.upload_execution_outputs()
    assert eye.grades(subject) - before == Counter({"Severe": 1})
    record = eye.lookup_execution(exe.execution_rid)
    assert record.workflow is not None
    assert record.workflow.workflow_type == ["Testing"]
    assert [asset.filename for asset in record.output_assets] == ["eye.png"]
    assert eye.metrics_as_dataframe([record]).agreement.tolist() == [0.5]
    chosen = eye.feature_values("Subject", "Diagnosis", FeatureRecord.select_by_workflow("Testing", container=eye))
    assert exe.execution_rid in {value.Execution for value in chosen}
    assert repr(eye).startswith("EyeAI(")


def test_resumed_and_overridden(eye: EyeAI) -> None:
    workflow = eye.create_workflow("Grading", "Testing")
    exe = eye.create_execution(workflow=workflow, description="hidden run")
    with exe:
        pass
    resumed = eye.resume_execution(exe.execution_rid)
    assert isinstance(resumed.ml, EyeAI)
    assert exe.execution_rid not in {each.execution_rid for each in eye.find_executions()}
    assert exe.execution_rid in {each.execution_rid for each in DerivaML.find_executions(eye)}


def test_a_dry_run(eye: EyeAI, subjects: tuple[str, ...]) -> None:
    before = eye.grades(subjects[36])
    with eye.create_execution(workflow=eye.create_workflow("Grading", "Testing"), dry_run=True) as exe:
        eye.grade(exe, subjects[36], "Mild")
        exe.log_metrics({"agreement": 1})
    exe.upload_execution_outputs()
    assert eye.grades(subjects[36]) == before
    assert eye.cite(exe.execution_rid) == "dry-run (rid=0000)"
