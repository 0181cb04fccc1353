"""What Prefect lets one do with a flow, done with a decorated one: methods, options, subflows, runners, results."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from prefect import flow, task
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import FailedRun
from prefect.flow_engine import FlowRunTimeoutError
from prefect.flows import Flow
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities import visualization

from deriva_ml_prefect.blocks import DerivaCatalog, ExecutionConfiguration
from deriva_ml_prefect.decorators import deriva_execution
from deriva_ml_prefect.ml.current import current_execution
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.phases import upload
from deriva_ml_prefect.values.status import ExecutionStatus

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture
def recorded(ml: DerivaML) -> Callable[..., Any]:
    """`deriva_execution` for the test's catalog."""

    def decorate(**options: Any) -> Any:
        return deriva_execution(
            catalog=str(ml.address), workflow_type="Training", name=f"real-{uuid.uuid4().hex[:8]}", **options
        )

    return decorate


def test_without_brackets(ml: DerivaML, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVA_ML_HOST", "embedded")
    monkeypatch.setenv("DERIVA_ML_CATALOG", ml.catalog_id)

    @deriva_execution
    def bare(execution: Execution, number: int = 2) -> tuple[str, int]:
        return execution.execution_rid, number

    rid, number = bare(number=3)
    assert number == 3
    assert ml.lookup_execution(rid).status is ExecutionStatus.Uploaded


def test_methods_and_static_methods(ml: DerivaML, recorded: Callable[..., Any]) -> None:
    class Lab:
        def __init__(self, factor: int) -> None:
            self.factor = factor

        @recorded()
        def measure(self, execution: Execution, number: int) -> tuple[str, int]:
            return execution.execution_rid, self.factor * number

        @staticmethod
        @recorded()
        def still(number: int, execution: Execution) -> tuple[str, int]:
            return execution.execution_rid, number

    rid, number = Lab(3).measure(number=5)
    assert number == 15
    assert ml.lookup_execution(rid).status is ExecutionStatus.Uploaded
    assert Lab.still(4)[1] == 4


def test_options_given_afterwards(ml: DerivaML, recorded: Callable[..., Any]) -> None:
    ended: list[str] = []
    where: list[Any] = []

    def remember(flow: Any, flow_run: FlowRun, state: Any) -> None:
        ended.append(f"{flow.name} {state.name}")

    @recorded()
    def train(execution: Execution) -> str:
        context = FlowRunContext.get()
        assert context is not None
        where.append(context.task_runner)
        return execution.execution_rid

    changed = train.with_options(
        name="renamed", task_runner=ThreadPoolTaskRunner(max_workers=3), on_completion=[remember], log_prints=True
    )
    rid = changed()
    assert ml.lookup_execution(rid).status is ExecutionStatus.Uploaded
    assert ended == ["renamed Completed"]
    # the code's own tasks go where its flow was told
    assert where == [ThreadPoolTaskRunner(max_workers=3)]
    train()
    assert where[1] == ThreadPoolTaskRunner()


def test_retries_given_afterwards_begin_another_execution(ml: DerivaML, recorded: Callable[..., Any]) -> None:
    seen: list[str] = []

    @recorded()
    def train(execution: Execution) -> str:
        seen.append(execution.execution_rid)
        if len(seen) == 1:
            raise ValueError("not yet")
        return execution.execution_rid

    assert train.with_options(retries=1)() == seen[1]
    assert [ml.lookup_execution(rid).status for rid in seen] == [ExecutionStatus.Failed, ExecutionStatus.Uploaded]


def test_subflows_and_submitted_tasks_of_its_own(ml: DerivaML, recorded: Callable[..., Any]) -> None:
    @task
    def square(number: int) -> int:
        current_execution().log_metrics({"square": number * number}, step=number)
        return number * number

    @flow(name="inner")
    def inner(count: int) -> int:
        assert current_execution().execution_rid
        return sum(future.result() for future in [square.submit(n) for n in range(count)])

    @recorded()
    def train(execution: Execution) -> tuple[str, int]:
        return execution.execution_rid, inner(4)

    rid, total = train()
    assert total == 14
    assert sorted(ml.metrics_as_dataframe([rid])["square"]) == [0, 1, 4, 9]


def test_async_code_with_tasks_and_subflows(ml: DerivaML, recorded: Callable[..., Any]) -> None:
    @task
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    @flow(name="inner-async")
    async def inner(number: int) -> int:
        assert current_execution().execution_rid
        return await double(number) + 1

    @recorded()
    async def train(execution: Execution) -> tuple[str, list[int]]:
        return execution.execution_rid, list(await asyncio.gather(inner(1), inner(2)))

    async def whole() -> Any:
        return await train()

    rid, numbers = asyncio.run(whole())
    assert numbers == [3, 5]
    assert ml.lookup_execution(rid).status is ExecutionStatus.Uploaded


@pytest.mark.parametrize("called", ["as a flow", "without Prefect"])
def test_a_saved_catalog_is_found_in_async_code_and_in_a_notebook(ml: DerivaML, called: str) -> None:
    name = f"c-{uuid.uuid4().hex[:12]}"
    DerivaCatalog(hostname="embedded", catalog_id=ml.catalog_id).save(name)

    @deriva_execution(catalog=name)
    async def train_async(execution: Execution) -> str:
        return execution.execution_rid

    @deriva_execution(catalog=name)
    def train(execution: Execution) -> str:
        return execution.execution_rid

    async def cell() -> list[str]:
        """A notebook calls its cells inside a running loop."""
        if called == "as a flow":
            return [await train_async(), train()]
        return [await train_async.fn(), train.fn()]

    for rid in asyncio.run(cell()):
        assert ml.lookup_execution(rid).status is ExecutionStatus.Uploaded


def test_inside_a_plain_flow_it_is_a_subflow(ml: DerivaML, recorded: Callable[..., Any]) -> None:
    @recorded()
    def train(execution: Execution, number: int) -> str:
        return execution.execution_rid

    @flow(name="pipeline")
    def pipeline() -> list[str]:
        return [train(number=n) for n in range(2)]

    rids = pipeline()
    assert len(set(rids)) == 2
    assert {ml.lookup_execution(rid).status for rid in rids} == {ExecutionStatus.Uploaded}


@pytest.mark.parametrize("value", [None, 0, "", [1], {"a": (1, 2)}, b"\0"])
def test_what_the_code_returns_comes_back(recorded: Callable[..., Any], value: Any) -> None:
    @recorded()
    def train() -> Any:
        return value

    assert train() == value


def test_a_state_that_the_code_returns_is_the_end_of_the_code(ml: DerivaML, recorded: Callable[..., Any]) -> None:
    seen: list[str] = []

    @recorded()
    def train(execution: Execution) -> Any:
        seen.append(execution.execution_rid)
        return Completed(message="early", data=7)

    assert train() == 7
    assert ml.lookup_execution(seen[0]).status is ExecutionStatus.Uploaded


@pytest.mark.parametrize(
    "how", ["state", "in a loop", "state that holds no error", "future", "futures", "without Prefect"]
)
def test_a_failure_that_the_code_returns_is_one(ml: DerivaML, recorded: Callable[..., Any], how: str) -> None:
    seen: list[str] = []

    @task
    def measure(number: int) -> int:
        if number < 0:
            raise ValueError("diverged")
        return number

    @recorded()
    def train(execution: Execution) -> Any:
        seen.append(execution.execution_rid)
        match how:
            case "future":
                return measure.submit(-1)
            case "futures":
                return [measure.submit(number) for number in (1, -1, 1)]
            case "state that holds no error":
                return Failed(message="diverged", data=7)
            case _:
                return Failed(message="diverged")

    async def in_a_loop() -> None:
        train()

    with pytest.raises((FailedRun, ValueError), match="diverged"):
        train.fn() if how == "without Prefect" else asyncio.run(in_a_loop()) if how == "in a loop" else train()
    record = ml.lookup_execution(seen[0])
    assert record.status is ExecutionStatus.Failed
    assert "diverged" in (record.status_detail or "")
    assert ml.summarize_execution(seen[0]).outcome == "failed"


def test_sent_elsewhere_it_records_there(ml: DerivaML, recorded: Callable[..., Any]) -> None:
    @recorded()
    def train(execution: Execution, number: int = 1) -> str:
        return execution.execution_rid

    sent = cloudpickle.loads(cloudpickle.dumps(train))
    assert isinstance(sent, Flow)
    assert ml.lookup_execution(sent(number=2)).status is ExecutionStatus.Uploaded


def test_variadic_parameters_and_positional_configuration_by_name(ml: DerivaML, recorded: Callable[..., Any]) -> None:
    @recorded()
    def train(first: int, *rest: int, execution: Execution, **more: float) -> tuple[str, Any]:
        return execution.execution_rid, (first, rest, more)

    rid, given = train(1, 2, 3, rate=0.5, configuration=ExecutionConfiguration(description="all kinds"))
    assert given == (1, (2, 3), {"rate": 0.5})
    assert ml.lookup_execution(rid).description == "all kinds"


def test_class_methods(ml: DerivaML, recorded: Callable[..., Any]) -> None:
    class Lab:
        factor = 3

        @recorded()
        @classmethod
        def below(cls, execution: Execution, number: int) -> tuple[str, int]:
            return execution.execution_rid, cls.factor * number

        @recorded()
        @flow(name="a-flow-of-the-class")
        @classmethod
        def whole(cls, number: int) -> int:
            return cls.factor * number

    rid, number = Lab.below(number=5)
    assert number == 15
    assert ml.lookup_execution(rid).status is ExecutionStatus.Uploaded
    assert Lab.whole(2) == 6


def test_a_flow_that_is_only_drawn_records_nothing(
    ml: DerivaML, recorded: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    # the picture itself needs a program of the system
    monkeypatch.setattr(visualization, "build_task_dependencies", drawn.append)
    monkeypatch.setattr(visualization, "visualize_task_dependencies", lambda *_: None)

    @task(viz_return_value=4)
    def square(number: int) -> int:
        raise AssertionError("a task that is drawn is not called")

    @recorded()
    def train(execution: Execution) -> int:
        assert execution.dry_run
        return int(square(2))

    before = len(ml.find_executions())
    with pytest.warns(UserWarning, match="will execute code inside of your flow"):
        train.visualize()
    assert [each.name for each in drawn[0].tasks] == ["square-0"]
    assert len(ml.find_executions()) == before


def test_code_that_takes_too_long_is_told_with_its_limit(ml: DerivaML, recorded: Callable[..., Any]) -> None:
    seen: list[str] = []

    @recorded(timeout_seconds=0.5)
    def train(execution: Execution) -> None:
        seen.append(execution.execution_rid)
        while True:
            time.sleep(0.01)

    state = train(return_state=True)
    said = "The code took longer than its timeout_seconds, 0.5 s."
    assert (state.name, state.message) == ("TimedOut", said)
    record = ml.lookup_execution(seen[0])
    assert (record.status, record.status_detail) == (ExecutionStatus.Failed, f"FlowRunTimeoutError: {said}")
    with pytest.raises(FlowRunTimeoutError, match=r"0\.5 s"):
        train()


def test_a_limit_of_the_whole_run_that_strikes_in_the_upload_is_told_as_such(
    ml: DerivaML, recorded: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    @recorded()
    def train(execution: Execution) -> None:
        seen.append(execution.execution_rid)
        execution.asset_file_path("Execution_Asset", f"{execution.execution_rid}.txt").write_text("made")

    deliver = upload.deliver

    def slowly(*args: Any, **kwargs: Any) -> Any:
        # what is delivered before the code belongs to the beginning
        while seen:
            time.sleep(0.01)
        return deliver(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(upload, "deliver", slowly)
        state = train.with_options(timeout_seconds=8)(return_state=True)
    said = "A time limit around the phase 'upload assets' has ended it"
    assert state.name == "TimedOut"
    assert said in state.message
    record = ml.lookup_execution(seen[0])
    assert record.status is ExecutionStatus.Failed
    assert record.status_detail is not None
    assert said in record.status_detail
    assert "86400" not in state.message + record.status_detail
    ml.resume_execution(seen[0]).upload_execution_outputs()
    assert len(ml.lookup_execution(seen[0]).output_assets) == 1


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_error_leaves_the_flow_without_the_way_to_it(recorded: Callable[..., Any], kind: str) -> None:
    def inner() -> None:
        raise ValueError("my own")

    @recorded()
    def train() -> None:
        inner()

    @recorded()
    async def train_async() -> None:
        inner()

    with pytest.raises(ValueError, match="my own") as raised:
        asyncio.run(train_async()) if kind == "async" else train()
    ours = [
        frame for frame in traceback.extract_tb(raised.value.__traceback__) if "deriva_ml_prefect" in frame.filename
    ]
    assert [frame.name for frame in ours] == ["run_async" if kind == "async" else "run"]
    names = [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]
    assert names[-3:] == [ours[0].name, "train_async" if kind == "async" else "train", "inner"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_async_code(ml: DerivaML, tmp_path: Path, prefect_server: str, number: signal.Signals) -> None:
    program = tmp_path / "waits.py"
    program.write_text(
        "import asyncio, os\n"
        "from deriva_ml_prefect import Execution, deriva_execution\n"
        f"@deriva_execution(catalog={str(ml.address)!r})\n"
        "async def waits(execution: Execution) -> None:\n"
        "    print(execution.execution_rid, flush=True)\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(waits())\n"
    )
    variables = {**os.environ, "PREFECT_API_URL": prefect_server}
    command = [sys.executable, program]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    (rid,) = done.stdout.split()
    assert ml.lookup_execution(rid).status is ExecutionStatus.Failed
