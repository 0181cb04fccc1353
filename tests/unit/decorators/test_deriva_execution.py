"""`@deriva_execution` before anything runs: signature, form, options, hooks, what it refuses."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest
from prefect import flow
from prefect.flows import Flow, load_flow_from_entrypoint

from deriva_ml_prefect.blocks import DerivaCatalog, ExecutionConfiguration, find_catalog
from deriva_ml_prefect.decorators import deriva_execution
from deriva_ml_prefect.exceptions import DerivaMLConfigurationError
from deriva_ml_prefect.values.address import Address

if TYPE_CHECKING:
    from deriva_ml_prefect.ml.deriva_ml import DerivaML
    from deriva_ml_prefect.ml.execution import Execution


@deriva_execution
def plain(epochs: int = 3, *, execution: Execution) -> float:
    """Train a model.

    Args:
        epochs: Passes over the data.
    """
    return float(epochs)


def test_with_and_without_arguments() -> None:
    @deriva_execution(catalog="embedded/1", workflow_type="Training", name="given-name", log_prints=True)
    def train(ml_instance: DerivaML, *sizes: int, rate: float = 0.1, **rest: Any) -> None: ...

    for made, name in ((plain, "plain"), (train, "given-name")):
        assert type(made) is Flow
        assert made.name == name
    assert train.log_prints is True
    assert list(inspect.signature(train).parameters) == ["sizes", "rate", "configuration", "dry_run", "rest"]


def test_form_has_the_users_parameters_and_what_is_added() -> None:
    schema = plain.parameters.model_dump()
    assert list(schema["properties"]) == ["epochs", "configuration", "dry_run"]
    assert schema["properties"]["epochs"]["description"] == "Passes over the data."
    assert all(schema["properties"][name]["description"] for name in ("configuration", "dry_run"))
    assert schema["required"] == []
    block = schema["definitions"]["ExecutionConfiguration"]
    assert block["block_type_slug"] == "deriva-ml-execution-configuration"


def test_signature_is_what_the_flow_takes() -> None:
    assert list(inspect.signature(plain).parameters) == ["epochs", "configuration", "dry_run"]
    assert inspect.signature(plain).return_annotation is float
    assert plain.validate_parameters({"epochs": "5", "configuration": {"description": "x"}, "dry_run": False}) == {
        "epochs": 5,
        "configuration": ExecutionConfiguration(description="x"),
        "dry_run": False,
    }


def test_description_comes_from_the_docstring() -> None:
    assert (plain.description or "").startswith("Train a model.")


def test_version_is_that_of_the_users_file() -> None:
    @flow
    def here() -> None: ...

    assert plain.version == here.version


@pytest.mark.parametrize("name", ["configuration", "dry_run"])
def test_parameters_that_are_added_are_refused(name: str) -> None:
    scope: dict[str, Any] = {}
    exec(f"def train({name}=None): ...", scope)
    with pytest.raises(DerivaMLConfigurationError, match=f"has a parameter named {name}, which @deriva_execution adds"):
        deriva_execution(scope["train"])


def test_generators_are_refused() -> None:
    def train() -> Any:
        yield 1

    with pytest.raises(DerivaMLConfigurationError, match="is a generator"):
        deriva_execution(train)


def test_function_as_catalog_is_refused() -> None:
    with pytest.raises(DerivaMLConfigurationError, match="not a function"):
        deriva_execution(catalog=lambda: "embedded/1")(lambda: None)  # type: ignore[arg-type]


def test_flow_that_records_already_is_refused() -> None:
    with pytest.raises(DerivaMLConfigurationError, match="plain records executions already"):
        deriva_execution(plain)


def test_flow_keeps_options_and_hooks() -> None:
    def mine(flow: Any, flow_run: Any, state: Any) -> None: ...

    @deriva_execution(catalog="embedded/1")
    @flow(name="mine", log_prints=True, flow_run_name="run-{epochs}", on_failure=[mine], version="v9")
    def train(epochs: int) -> None: ...

    assert (train.name, train.log_prints) == ("mine", True)
    assert (train.flow_run_name, train.version) == ("run-{epochs}", "v9")
    assert train.on_failure_hooks[-1] is mine
    assert len(train.on_failure_hooks) == 2


def test_a_hook_that_is_no_list_is_named() -> None:
    def mine(flow: Any, flow_run: Any, state: Any) -> None: ...

    with pytest.raises(DerivaMLConfigurationError, match=r"on_failure= takes a list of hooks: on_failure=\[mine\]"):
        deriva_execution(catalog="embedded/1", on_failure=mine)(lambda: None)


def test_retries_are_those_of_the_code() -> None:
    @deriva_execution(catalog="embedded/1", retries=3)
    def train() -> None: ...

    assert train.retries == 0


def test_hooks_are_called_by_these_names() -> None:
    for hooks in (plain.on_failure_hooks, plain.on_crashed_hooks, plain.on_cancellation_hooks):
        (hook,) = hooks
        assert list(inspect.signature(hook).parameters) == ["flow", "flow_run", "state"]
    assert plain.on_completion_hooks == []


def test_hooks_that_are_added_stand_after_those_that_tell_the_catalog() -> None:
    def mine(flow: Any, flow_run: Any, state: Any) -> None: ...

    added = deriva_execution(catalog="embedded/1")(lambda: None)
    assert added.name == "unknown-lambda"
    (telling,) = added.on_crashed_hooks
    added.on_crashed(mine)
    assert added.on_crashed_hooks == [telling, mine]
    # as the documentation warns
    assert added.with_options(on_crashed=[mine]).on_crashed_hooks == [mine]


def test_cloudpickle_and_with_options() -> None:
    loaded = cloudpickle.loads(cloudpickle.dumps(plain))
    assert list(inspect.signature(loaded).parameters) == ["epochs", "configuration", "dry_run"]
    assert len(loaded.on_failure_hooks) == 1
    renamed = plain.with_options(name="renamed")
    assert renamed.name == "renamed"
    assert renamed.on_crashed_hooks == plain.on_crashed_hooks


def test_is_loaded_from_its_entrypoint() -> None:
    loaded = load_flow_from_entrypoint(f"{__file__}:plain")
    assert loaded.name == "plain"
    assert list(inspect.signature(loaded).parameters) == ["epochs", "configuration", "dry_run"]


def test_deployment_points_to_the_users_file() -> None:
    deployment = plain.to_deployment("d")
    assert str(deployment.entrypoint).endswith(("test_deriva_execution.py:plain", "test_deriva_execution:plain"))


def test_catalog_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_catalog("www.example.org/eye-ai").address() == Address("www.example.org", "eye-ai")
    given = DerivaCatalog(hostname="embedded", catalog_id="4")
    assert find_catalog(given) is given
    address = Address("embedded", "5", domain_schemas=("a", "lab"), default_schema="lab", project_name="p")
    assert find_catalog(address).address() == address
    monkeypatch.setenv("DERIVA_ML_HOST", "embedded")
    monkeypatch.setenv("DERIVA_ML_CATALOG", "9")
    assert find_catalog().address() == Address("embedded", "9")
    monkeypatch.delenv("DERIVA_ML_CATALOG")
    with pytest.raises(DerivaMLConfigurationError, match="No catalog is named"):
        find_catalog()
