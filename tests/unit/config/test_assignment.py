"""A configuration after it was made: assignment is construction again, and copies are equal and of the same types."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from deriva_ml_prefect.blocks import ExecutionConfiguration
from deriva_ml_prefect.config.asset import AssetSpec
from deriva_ml_prefect.config.dataset import DatasetSpec
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLValidationError

both = pytest.mark.parametrize("kind", [ExecutionSpec, ExecutionConfiguration])


def full(kind: type[ExecutionSpec]) -> Any:
    return kind(
        workflow=Workflow(name="Fine-tune", workflow_type="Training"),
        description="first",
        datasets=[DatasetSpec(rid="1-ABCD", version="2.1.0", materialize=False)],
        assets=["2-GHJK", AssetSpec(rid="2-KLMN", cache=True)],
        config_choices={"model_config": "quick"},
    )


@both
def test_what_is_assigned_is_coerced(kind: type[ExecutionSpec]) -> None:
    config: Any = kind()
    config.assets = ["2-GHJK", AssetSpec(rid="2-KLMN", cache=True)]
    assert config.assets == [AssetSpec(rid="2-GHJK"), AssetSpec(rid="2-KLMN", cache=True)]
    config.datasets = ["1-ABCD@1.0.0"]
    assert config.datasets == [DatasetSpec(rid="1-ABCD", version="1.0.0")]
    config.workflow = {"name": "Fine-tune", "workflow_type": "Training"}
    assert config.workflow == Workflow(name="Fine-tune", workflow_type=["Training"])
    config.workflow.workflow_type = "Testing"
    assert config.workflow.workflow_type == ["Testing"]
    config.assets = config.datasets = None
    assert (config.assets, config.datasets) == ([], [])


@both
@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("assets", ["not a rid"], "is not a RID"),
        ("assets", 7, "assets: Input should be a valid list"),
        ("datasets", [{"rid": "1-ABCD", "fraction": 0.5}], "fraction"),
        ("datasets", ["1-ABCD@first"], "first"),
        ("description", 7, "description: Input should be a valid string"),
        ("description", "a\0b", "description"),
        ("config_choices", {"model": math.nan}, "model"),
        ("workflow", "Training", "workflow"),
    ],
)
def test_what_cannot_be_made_cannot_be_assigned(kind: type[ExecutionSpec], name: str, value: Any, told: str) -> None:
    config = full(kind)
    with pytest.raises(DerivaMLValidationError, match=told):
        setattr(config, name, value)
    assert config == full(kind)


@both
def test_unknown_names_are_refused_with_the_known_ones(kind: type[ExecutionSpec]) -> None:
    config = full(kind)
    for name in ("asset", "dataset", "Description", "block_type_slug"):
        with pytest.raises(DerivaMLValidationError, match=rf"has no field {name}\. Its fields: datasets, assets"):
            setattr(config, name, [])
        assert not hasattr(config, name)
    assert config == full(kind)


@both
@pytest.mark.parametrize(
    "again",
    [
        copy.copy,
        copy.deepcopy,
        lambda config: pickle.loads(pickle.dumps(config)),
        lambda config: config.model_copy(),
        lambda config: config.model_copy(deep=True),
        lambda config: type(config)(**config.model_dump()),
        lambda config: type(config).model_validate_json(config.model_dump_json()),
        lambda config: type(config).model_validate(config.model_dump(mode="json")),
    ],
    ids=["copy", "deepcopy", "pickle", "model_copy", "deep-model_copy", "dump", "json", "json-mode"],
)
def test_copies_are_equal_and_checked_as_the_first(
    kind: type[ExecutionSpec], again: Callable[[ExecutionSpec], ExecutionSpec]
) -> None:
    config = full(kind)
    config.assets = [*config.assets, "2-PQRS"]
    made: Any = again(config)
    assert made == config
    assert type(made) is kind
    assert [type(asset) for asset in made.assets] == [AssetSpec] * 3
    assert made.assets[1].cache
    assert (made.datasets[0].materialize, made.workflow.workflow_type) == (False, ["Training"])
    made.assets = ["2-GHJK"]
    assert made.assets == [AssetSpec(rid="2-GHJK")]
    assert len(config.assets) == 3
    with pytest.raises(DerivaMLValidationError, match="has no field asset"):
        made.asset = []


def test_specs_stay_as_they_are() -> None:
    for spec, name, value in (
        (DatasetSpec(rid="1-ABCD"), "version", "1.0.0"),
        (AssetSpec(rid="1-ABCD"), "cache", True),
    ):
        with pytest.raises(DerivaMLValidationError, match="cannot be changed"):
            setattr(spec, name, value)
