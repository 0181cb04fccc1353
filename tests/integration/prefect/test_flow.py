"""A decorated function as a flow: a whole execution, as Prefect and the catalog tell it afterwards."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any, cast

import pytest
from prefect import flow, get_client, runtime, task
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.flows import Flow
from urllib3.connectionpool import HTTPConnectionPool

from deriva_ml_prefect.blocks import ExecutionConfiguration
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.decorators import deriva_execution
from deriva_ml_prefect.exceptions import DerivaMLExecutionError, DerivaMLValidationError
from deriva_ml_prefect.experiments.model_run import as_flow, run_model
from deriva_ml_prefect.experiments.specs import DerivaMLConfig
from deriva_ml_prefect.ml.current import current_execution
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.values.status import ExecutionStatus
from tests.prefect_process import wait_until

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture
def recorded(ml: DerivaML) -> Callable[..., Any]:
    """`deriva_execution` for the test's catalog."""

    def decorate(**options: Any) -> Any:
        return deriva_execution(catalog=str(ml.address), workflow_type="Training", **options)

    return decorate


def flow_run_of(rid: str) -> FlowRun:
    tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=[f"execution:{rid}"]))
    with get_client(sync_client=True) as client:

        def find() -> list[FlowRun]:
            return client.read_flow_runs(flow_run_filter=tagged, sort=FlowRunSort.START_TIME_DESC, limit=2)

        # a run does not wait for its tags
        (found,) = wait_until(find, f"a flow run with the tag execution:{rid}", 30)
        return cast("FlowRun", found)


def task_runs_of(run: FlowRun) -> list[TaskRun]:
    with get_client(sync_client=True) as client:
        body = {"task_runs": {"flow_run_id": {"any_": [str(run.id)]}}}
        answer = client.request("POST", "/task_runs/filter", json=body)
        return [TaskRun.model_validate(row) for row in answer.json()]


def test_run_is_one_uploaded_execution(ml: DerivaML, recorded: Callable[..., Any]) -> None:
    seen: list[str] = []

    @recorded(name=f"train-{uuid.uuid4().hex[:8]}")
    def train(execution: Execution, ml_instance: DerivaML, epochs: int = 3) -> float:
        assert current_execution() is execution
        assert ml_instance.address == ml.address
        seen.append(execution.execution_rid)
        execution.metrics_file().write_text("".join(f'{{"epoch": {n}}}\n' for n in range(epochs)))
        return 0.5

    assert isinstance(train, Flow)
    assert train(epochs="2", configuration=ExecutionConfiguration(description="two epochs")) == 0.5
    (rid,) = seen
    record = ml.lookup_execution(rid)
    assert record.status is ExecutionStatus.Uploaded
    assert record.description == "two epochs"
    assert record.workflow_rid is not None
    workflow = ml.lookup_workflow(record.workflow_rid)
    assert workflow.workflow_types == ("Training",)
    assert (workflow.url or "").endswith("test_flow.py")

    run = flow_run_of(rid)
    assert run.state is not None
    assert run.state.is_completed()
    names = sorted(each.name for each in task_runs_of(run))
    assert f"upload {rid}" in names
    assert f"run {rid}" in names
    assert len(names) <= 7, names


def test_failure_of_the_code_is_a_failed_execution(ml: DerivaML, recorded: Callable[..., Any]) -> None:
    seen: list[str] = []

    @recorded(name="fails")
    def train(execution: Execution) -> None:
        seen.append(execution.execution_rid)
        raise ValueError("the loss is not finite")

    with pytest.raises(ValueError, match="the loss is not finite"):
        train()
    record = ml.lookup_execution(seen[0])
    assert record.status is ExecutionStatus.Failed
    assert record.status_detail == "ValueError: the loss is not finite"
    run = flow_run_of(seen[0])
    assert run.state is not None
    assert run.state.is_failed()


def test_an_error_that_cannot_say_anything_is_a_failed_execution(ml: DerivaML, recorded: Callable[..., Any]) -> None:
    class UnsayableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    seen: list[str] = []

    @recorded(name="fails-without-words")
    def train(execution: Execution) -> None:
        seen.append(execution.execution_rid)
        raise UnsayableError

    with pytest.raises(UnsayableError):
        train.fn()
    with pytest.raises(DerivaMLExecutionError, match="UnsayableError: its text could not be made"):
        train()
    for rid in seen:
        record = ml.lookup_execution(rid)
        assert record.status is ExecutionStatus.Failed
        assert "UnsayableError: its text could not be made" in (record.status_detail or "")


@pytest.mark.parametrize("code", [0, None])
def test_clean_exit_is_an_end_like_any_other(ml: DerivaML, recorded: Callable[..., Any], code: int | None) -> None:
    seen: list[str] = []

    @recorded(name="exits")
    def train() -> None:
        seen.append(current_execution().execution_rid)
        raise SystemExit(code)

    assert train() is None
    assert ml.lookup_execution(seen[0]).status is ExecutionStatus.Uploaded
    run = flow_run_of(seen[0])
    assert run.state is not None
    assert run.state.is_completed()


def test_exit_with_an_error_is_a_failed_execution(ml: DerivaML, recorded: Callable[..., Any]) -> None:
    seen: list[str] = []

    @recorded(name="exits-badly")
    def train() -> None:
        seen.append(current_execution().execution_rid)
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        train()
    assert ml.lookup_execution(seen[0]).status is ExecutionStatus.Failed


def test_code_uses_its_own_tasks(ml: DerivaML, recorded: Callable[..., Any]) -> None:
    @task
    def square(number: int) -> int:
        assert current_execution().execution_rid
        return number * number

    @recorded(name="with-tasks")
    def train(*numbers: int) -> list[int]:
        return [future.result() for future in square.map(list(numbers))]

    assert train(1, 2, 3) == [1, 4, 9]


def test_async_code(ml: DerivaML, recorded: Callable[..., Any]) -> None:
    seen: list[str] = []

    @recorded(name="async")
    async def train(execution: Execution, pause: float = 0.01) -> str:
        await asyncio.sleep(pause)
        seen.append(execution.execution_rid)
        return "done"

    assert asyncio.run(train()) == "done"
    assert ml.lookup_execution(seen[0]).status is ExecutionStatus.Uploaded


def test_flow_keeps_its_options(ml: DerivaML, recorded: Callable[..., Any]) -> None:
    ended: list[str] = []

    def remember(flow: Any, flow_run: FlowRun, state: Any) -> None:
        ended.append(state.name)

    @recorded()
    @flow(name="was-a-flow", description="mine", on_completion=[remember])
    def train() -> str:
        return str(runtime.flow_run.flow_name)

    assert (train.name, train.description) == ("was-a-flow", "mine")
    assert train() == "was-a-flow-code"
    assert ended == ["Completed"]


def test_dry_run_writes_nothing_to_the_catalog(ml: DerivaML, recorded: Callable[..., Any]) -> None:
    before = len(ml.find_executions())

    @recorded(name="dry")
    def train(execution: Execution) -> str:
        assert execution.dry_run
        return execution.execution_rid

    assert train(dry_run=True) == "0000"
    assert len(ml.find_executions()) == before


@pytest.mark.parametrize("how", ["without Prefect", "unchecked"])
def test_a_configuration_that_nobody_has_checked(recorded: Callable[..., Any], how: str) -> None:
    @recorded(name=f"unchecked-{uuid.uuid4().hex[:8]}", validate_parameters=False)
    def train(execution: Execution) -> str:
        return execution.configuration.description

    call = train if how == "unchecked" else train.fn
    saved = ExecutionConfiguration(description="saved").save(f"unchecked-{uuid.uuid4().hex[:8]}")
    assert call(configuration={"description": "a dict"}) == "a dict"
    assert call(configuration={"$ref": {"block_document_id": str(saved)}}) == "saved"
    with pytest.raises(ValueError, match="no field descripton"):
        call(configuration={"descripton": "wrong"})


def test_without_prefect(ml: DerivaML, recorded: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    seen: list[str] = []

    @recorded(name="plain")
    def train(execution: Execution, epochs: int) -> int:
        seen.append(execution.execution_rid)
        return epochs

    assert train.fn(epochs=4) == 4
    assert ml.lookup_execution(seen[0]).status is ExecutionStatus.Uploaded


@pytest.fixture
def chunks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds for which the answer to each chunk is waited that this process sends."""
    sent: list[float] = []
    ask = HTTPConnectionPool.urlopen

    def asked(pool: HTTPConnectionPool, method: str, url: str, *args: Any, **named: Any) -> Any:
        if method == "PUT" and ";upload/" in url:
            sent.append(named["timeout"].read_timeout)
        return ask(pool, method, url, *args, **named)

    monkeypatch.setattr(HTTPConnectionPool, "urlopen", asked)
    return sent


def test_upload_as_the_decorator_says(recorded: Callable[..., Any], chunks: list[float]) -> None:
    @recorded(name=f"chunks-{uuid.uuid4().hex[:8]}", upload_timeout=321, upload_chunk_size=4096)
    def train(execution: Execution) -> None:
        execution.asset_file_path("Execution_Asset", "chunks.bin").write_bytes(uuid.uuid4().bytes * 625)

    train()
    assert chunks == [321, 321, 321]
    with pytest.raises(DerivaMLValidationError, match="chunk_size is 0"):
        recorded(upload_chunk_size=0)(lambda execution: None)


def test_upload_of_a_configured_model(ml: DerivaML, chunks: list[float]) -> None:
    """`upload_timeout` and `upload_chunk_size` of `run_model` hold in a flow as they do without."""

    def model(ml_instance: DerivaML, execution: Execution) -> None:
        execution.asset_file_path("Execution_Asset", "model.bin").write_bytes(uuid.uuid4().bytes * 625)

    config = DerivaMLConfig(hostname=ml.host_name, catalog_id=ml.catalog_id)
    with as_flow(True):
        run_model(
            config,
            None,
            None,
            "In chunks",
            Workflow(name="Chunks", workflow_type=["Training"]),
            model,
            upload_timeout=123,
            upload_chunk_size=5000,
        )
    assert chunks == [123, 123]
