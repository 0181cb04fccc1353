"""`ExecutionConfiguration` in Python alone: the chapter's constructor and coercions, and what it refuses."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import cloudpickle
import pytest
from pydantic import Field, ValidationError

from deriva_ml_prefect.blocks import MASK, ExecutionConfiguration
from deriva_ml_prefect.config.asset import AssetSpec
from deriva_ml_prefect.config.dataset import DatasetSpec
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLValidationError


class Tuned(ExecutionConfiguration):
    """A lab's own configuration."""

    _block_type_slug = "tuned"
    rates: dict[str, float] = Field(default_factory=dict, description="Learning rates.")


def full() -> ExecutionConfiguration:
    return ExecutionConfiguration(
        workflow=Workflow(name="ResNet50 Training", workflow_type=["Training"], url="https://x/y", checksum="abc"),
        description="Training run — learning rate 0.001",
        datasets=[DatasetSpec(rid="1-ABCD"), DatasetSpec(rid="1-DEFG", version="2.1.0")],
        assets=["2-GHIJ", AssetSpec(rid="2-KLMN", cache=True)],
        config_choices={"model_config": "quick"},
    )


def test_every_field_has_a_default() -> None:
    configuration = ExecutionConfiguration()
    assert configuration.datasets == []
    assert configuration.assets == []
    assert configuration.workflow is None
    assert configuration.description == ""
    assert configuration.argv == sys.argv


def test_bare_rids_become_specs() -> None:
    configuration = full()
    assert [type(asset) for asset in configuration.assets] == [AssetSpec, AssetSpec]
    assert [asset.rid for asset in configuration.asset_specs()] == ["2-GHIJ", "2-KLMN"]
    assert configuration.asset_specs()[1].cache


def test_datasets_take_the_shorthand() -> None:
    assert ExecutionConfiguration(datasets=["1-ABCD@1.2.3"]).datasets == [DatasetSpec(rid="1-ABCD", version="1.2.3")]


def test_is_the_spec_that_phases_take() -> None:
    assert isinstance(full(), ExecutionSpec)
    assert list(ExecutionConfiguration.model_fields) == list(ExecutionSpec.model_fields)


def test_a_dump_is_accepted_again() -> None:
    configuration = full()
    assert ExecutionConfiguration(**configuration.model_dump()) == configuration
    assert ExecutionConfiguration.model_validate(configuration.model_dump()) == configuration
    assert ExecutionConfiguration.model_validate_json(configuration.model_dump_json()) == configuration


def test_survives_pickling() -> None:
    assert cloudpickle.loads(cloudpickle.dumps(full())) == full()


def test_unknown_key_is_refused_by_name() -> None:
    with pytest.raises(DerivaMLValidationError, match=r"has no field dataset\. Its fields: datasets, assets"):
        ExecutionConfiguration(dataset=["1-ABCD"])


def test_block_of_another_type_is_refused() -> None:
    with pytest.raises(ValidationError, match="block of type secret"):
        ExecutionConfiguration.model_validate({"block_type_slug": "secret", "description": "x"})


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_cannot_be_stored_are_refused_by_name(value: float) -> None:
    assert Tuned(rates={"first": 0.5}).rates == {"first": 0.5}
    with pytest.raises(DerivaMLValidationError, match=r"rates\.first is"):
        Tuned(rates={"first": value})


def test_mask_is_refused_by_name() -> None:
    with pytest.raises(DerivaMLValidationError, match=r"config_choices\.token is \*+, the mask"):
        ExecutionConfiguration(config_choices={"token": MASK})
    with pytest.raises(DerivaMLValidationError, match=r"argv\[1\] is"):
        ExecutionConfiguration(argv=["train.py", MASK])


def test_wrong_rid_is_refused_by_name() -> None:
    with pytest.raises(DerivaMLValidationError, match="is not a RID"):
        ExecutionConfiguration(assets=["my file.txt"])


def test_schema_of_documents_has_the_fields_alone() -> None:
    schema = ExecutionConfiguration.model_json_schema()
    assert list(schema["properties"]) == [name for name in ExecutionSpec.model_fields if name != "argv"]
    assert schema["block_type_slug"] == "deriva-ml-execution-configuration"
    assert "required" not in schema


def test_constructing_needs_no_server_and_no_network() -> None:
    program = """
import socket
def refuse(*_): raise AssertionError("a connection")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
from deriva_ml_prefect import ExecutionConfiguration
from deriva_ml_prefect.blocks import DerivaCatalog, DerivaCredentials
ExecutionConfiguration(datasets=["1-ABCD@1.0.0"], assets=["2-GHIJ"])
DerivaCatalog(hostname="www.example.org", credentials=DerivaCredentials(bearer_token="x"))
print("made")
"""
    variables = {
        **os.environ,
        "PREFECT_API_URL": "http://127.0.0.1:9/api",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    }
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "made\n", done.stderr
