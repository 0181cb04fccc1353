"""Blocks on a real server: saved, loaded, and as parameters of a deployment."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from prefect import flow
from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
from prefect.exceptions import PrefectHTTPStatusError

from deriva_ml_prefect.blocks import DerivaCatalog, DerivaCredentials, ExecutionConfiguration
from deriva_ml_prefect.config.asset import AssetSpec
from deriva_ml_prefect.config.dataset import DatasetSpec
from deriva_ml_prefect.config.workflow import Workflow

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]


def name() -> str:
    return f"b-{uuid.uuid4().hex[:12]}"


def configuration() -> ExecutionConfiguration:
    return ExecutionConfiguration(
        datasets=[DatasetSpec(rid="1-ABCD", version="1.2.0")],
        assets=["2-GHIJ", AssetSpec(rid="2-KLMN", cache=True)],
        workflow=Workflow(name="Train", workflow_type=["Training"], description="d", url="https://x/y", checksum="abc"),
        description="first",
        argv=["somewhere/register.py"],
    )


def test_configuration_is_saved_and_loaded() -> None:
    document = name()
    configuration().save(document)
    loaded = ExecutionConfiguration.load(document)
    assert loaded.datasets == configuration().datasets
    assert loaded.assets == configuration().assets
    assert loaded.description == "first"


def test_saved_configuration_freezes_neither_code_nor_command_line() -> None:
    document = name()
    configuration().save(document)
    with get_client(sync_client=True) as client:
        stored = client.read_block_document_by_name(document, "deriva-ml-execution-configuration").data
    assert stored["workflow"] == {"name": "Train", "workflow_type": ["Training"], "description": "d"}
    assert "argv" not in stored
    loaded = ExecutionConfiguration.load(document)
    assert loaded.workflow is not None
    assert (loaded.workflow.url, loaded.workflow.checksum) == (None, None)


def test_saved_again_over_itself() -> None:
    document = name()
    first = configuration()
    first.save(document)
    with pytest.raises(ValueError, match="overwrite"):
        configuration().save(document)
    loaded = ExecutionConfiguration.load(document)
    loaded.description = "second"
    loaded.save(document, overwrite=True)
    assert ExecutionConfiguration.load(document).description == "second"


def test_credentials_come_back_through_the_catalog_block() -> None:
    document = name()
    DerivaCatalog(
        hostname="www.example.org", catalog_id="7", credentials=DerivaCredentials(bearer_token="s3cret")
    ).save(document)
    loaded = DerivaCatalog.load(document)
    assert loaded.credential() == {"bearer-token": "s3cret"}
    assert loaded.address().hostname == "www.example.org"
    with get_client(sync_client=True) as client:
        shown = client.read_block_document_by_name(document, "deriva-catalog", include_secrets=False)
    assert "s3cret" not in shown.model_dump_json()


@pytest.mark.parametrize("block", [ExecutionConfiguration, DerivaCredentials, DerivaCatalog])
def test_code_example_of_each_block_runs(block: type[Block]) -> None:
    document = name()
    block().save(document)
    example = block.get_code_example()
    assert example is not None
    found: dict[str, Any] = {}
    exec(example.replace("BLOCK_NAME", document).replace("```python", "").replace("```", ""), found)
    assert [type(value) for value in found.values() if isinstance(value, Block)] == [block]


@flow(name="takes-a-configuration")
def takes(configuration: ExecutionConfiguration | None = None) -> None: ...


@pytest.fixture(scope="module")
def deployment(prefect_server: str) -> str:
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow_from_name("takes-a-configuration")
        from prefect.utilities.callables import parameter_schema

        client.create_deployment(
            flow_id=flow_id,
            name="checked",
            parameter_openapi_schema=parameter_schema(takes).model_dump(),
            enforce_parameter_schema=True,
        )
    return "takes-a-configuration/checked"


def submit(deployment: str, value: Any) -> None:
    run_deployment(deployment, parameters={"configuration": value}, timeout=0)


def test_reference_passes_the_parameter_check(deployment: str) -> None:
    block_id = configuration().save(name())
    submit(deployment, {"$ref": {"block_document_id": str(block_id)}})


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"description": "x", "assets": ["1-ABCD", {"rid": "1-DEFG", "cache": True}]},
        {"datasets": ["1-ABCD", "1-DEFG@1.0.0"]},
        {"datasets": [{"rid": "1-ABCD"}], "workflow": {"name": "w", "workflow_type": ["Training"]}},
    ],
)
def test_plain_values_pass_the_parameter_check(deployment: str, value: Any) -> None:
    submit(deployment, value)


def test_instances_pass_the_parameter_check(deployment: str) -> None:
    submit(deployment, configuration())
    submit(deployment, ExecutionConfiguration())
    document = name()
    configuration().save(document)
    submit(deployment, ExecutionConfiguration.load(document))


@pytest.mark.parametrize("value", [{"dataset": []}, {"description": "x", "datasets": "1-ABCD"}])
def test_wrong_keys_and_kinds_are_refused_by_the_server(deployment: str, value: Any) -> None:
    with pytest.raises(PrefectHTTPStatusError, match="409"):
        submit(deployment, value)


def test_reference_arrives_as_a_configuration() -> None:
    block_id = configuration().save(name())
    seen: list[ExecutionConfiguration | None] = []

    @flow(name="looks-at-its-configuration")
    def looks(configuration: ExecutionConfiguration | None = None) -> None:
        seen.append(configuration)

    looks(configuration={"$ref": {"block_document_id": str(block_id)}})  # type: ignore[arg-type]
    assert isinstance(seen[0], ExecutionConfiguration)
    assert seen[0].description == "first"
