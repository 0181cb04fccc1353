"""What a person writes: specs in all their forms, and what is refused."""

from __future__ import annotations

import json
import math

import pytest
from pydantic import ValidationError

from deriva_ml_prefect.config.asset import AssetSpec
from deriva_ml_prefect.config.dataset import DatasetSpec
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLValidationError
from deriva_ml_prefect.values.columns import refuse_nan
from deriva_ml_prefect.values.version import DatasetVersion


@pytest.mark.spec("config.coercion", "config.datasets", "config.assets", "dataset.rid")
def test_the_chapters_configuration() -> None:
    spec = ExecutionSpec(
        workflow=Workflow(name="ResNet50 Training", workflow_type="Training", description="Fine-tune"),
        description="learning rate 0.001",
        datasets=[DatasetSpec(rid="1-ABCD"), DatasetSpec(rid="1-DEFG", version="2.1.0", materialize=False)],
        assets=["2-GHJK"],
    )
    assert [asset.rid for asset in spec.asset_specs()] == ["2-GHJK"]
    assert spec.assets == [AssetSpec(rid="2-GHJK")]
    assert spec.workflow is not None
    assert spec.workflow.workflow_type == ["Training"]
    assert ExecutionSpec.model_validate(json.loads(spec.model_dump_json())) == spec


@pytest.mark.spec("config.workflow-late")
def test_everything_has_a_default() -> None:
    spec = ExecutionSpec()
    assert (spec.datasets, spec.assets, spec.workflow, spec.description) == ([], [], None, "")
    assert spec.argv
    assert ExecutionSpec(datasets=None, assets=None).datasets == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "version"),
    [
        ("1.2.3", "1.2.3"),
        ([1, 2, 3], "1.2.3"),
        ((1, 0, 0), "1.0.0"),
        ({"major": 1, "minor": 2}, "1.2.0"),
        (DatasetVersion(3), "3.0.0"),
        ("", None),
        (None, None),
    ],
)
def test_forms_of_a_version(given: object, version: str | None) -> None:
    assert DatasetSpec(rid="1-ABCD", version=given).version == version  # type: ignore[arg-type]


def test_shorthand() -> None:
    assert ExecutionSpec(datasets=["1-ABCD@1.0.0", "1-EFGH"]).datasets == [  # type: ignore[list-item]
        DatasetSpec(rid="1-ABCD", version="1.0.0"),
        DatasetSpec(rid="1-EFGH"),
    ]
    with pytest.raises(DerivaMLValidationError):
        DatasetSpec.from_shorthand("@1.0.0")


@pytest.mark.parametrize("rid", ["", "1-abcd", " 1-ABCD", "../x", "x" * 10_000])
def test_rids_are_checked(rid: str) -> None:
    for kind in (DatasetSpec, AssetSpec):
        with pytest.raises(DerivaMLValidationError, match=r"rid: .* is not a RID"):
            kind(rid=rid)


def test_error_is_a_sentence() -> None:
    with pytest.raises(DerivaMLValidationError) as caught:
        ExecutionSpec(descriptoin="x", assets=["no rid"])  # type: ignore[call-arg]
    text = str(caught.value)
    assert text.startswith("ExecutionSpec cannot be made. ")
    assert "descriptoin" in text
    assert "assets" in text
    assert " it: " not in text
    assert ".." not in text
    assert "…" not in text


def test_unknown_fields_and_wrong_versions_are_refused() -> None:
    for wrong in ({"dataset": []}, {"datasets": "1-ABCD"}, {"config_choices": {"model": 1}}):
        with pytest.raises(ValidationError):
            ExecutionSpec.model_validate(wrong)
    for version in ("one", "1.2", [1, 2], [1, -1, 0], [1, float("nan"), 0], {"major": 1, "patchlevel": 2}, 1.2):
        with pytest.raises(DerivaMLValidationError):
            DatasetSpec(rid="1-ABCD", version=version)  # type: ignore[arg-type]
    with pytest.raises(DerivaMLValidationError, match="fetch_concurrency: Input should be greater"):
        DatasetSpec(rid="1-ABCD", fetch_concurrency=0)


def test_nan_is_found_in_depth() -> None:
    refuse_nan({"a": [1.0, {"b": 2.0}], "c": "nan"}, "metadata")
    with pytest.raises(DerivaMLValidationError, match=r"metadata\.a\[1\]\.b is nan"):
        refuse_nan({"a": [1.0, {"b": math.nan}]}, "metadata")
