"""A dry run: the same code, and nothing in the catalog or in the workspace."""

from __future__ import annotations

import pytest

from deriva_ml_prefect.catalog.rows import snaptime
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLException, DerivaMLReadOnlyError
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.values.status import ExecutionStatus


def test_writes_nothing(ml: DerivaML, subjects: tuple[str, ...], workflow: Workflow) -> None:
    score = ml.feature_record_class("Subject", "Score")
    before = snaptime(ml._catalog)
    with ml.create_execution(ExecutionSpec(workflow=workflow, description="dry"), dry_run=True) as exe:
        assert exe.execution_rid == "0000"
        assert exe.dry_run
        exe.update_status(ExecutionStatus.Running, "Epoch 1")
        exe.asset_file_path("Image", "dry.png").write_bytes(b"dry")
        exe.metrics_file().write_text("{}\n")
        exe.add_features([score(Subject=subjects[0], Score=1.0)])
        with pytest.raises(DerivaMLReadOnlyError):
            exe.create_dataset(["Training"])
        assert len(exe.staged().files) == 2
    assert exe.status is ExecutionStatus.Stopped
    assert exe.upload_execution_outputs() == {}
    assert snaptime(ml._catalog) == before
    assert workflow.rid is None
    assert not (ml.working_dir / "journal.db").exists()


def test_error_of_the_code_is_raised(ml: DerivaML, workflow: Workflow) -> None:
    before = snaptime(ml._catalog)
    exe = ml.create_execution(ExecutionSpec(workflow=workflow), dry_run=True)
    with pytest.raises(ZeroDivisionError), exe:
        _ = 1 / 0
    assert exe.status is ExecutionStatus.Failed
    assert snaptime(ml._catalog) == before


@pytest.mark.spec("config.workflow-missing")
@pytest.mark.parametrize("dry_run", [False, True])
def test_wrong_requests_are_refused_before_anything_is_written(ml: DerivaML, workflow: Workflow, dry_run: bool) -> None:
    before = snaptime(ml._catalog)
    unknown = workflow.model_copy(update={"workflow_type": ["Trainign"], "checksum": "1" * 40})
    wrong = [
        ExecutionSpec(),
        ExecutionSpec(workflow=unknown),
        ExecutionSpec(workflow=workflow, datasets=["1-NONE"]),
        ExecutionSpec(workflow=workflow, assets=["1-NONE"]),
    ]
    for spec in wrong:
        with pytest.raises(DerivaMLException):
            ml.create_execution(spec, dry_run=dry_run)
    assert snaptime(ml._catalog) == before


def test_two_dry_runs_at_once(ml: DerivaML, workflow: Workflow) -> None:
    one, two = (ml.create_execution(ExecutionSpec(workflow=workflow), dry_run=True) for _ in range(2))
    with one, two:
        one.asset_file_path("Image", "one.png").write_bytes(b"1")
        assert len(two.staged().files) == 0
    assert one.context.workspace != two.context.workspace
