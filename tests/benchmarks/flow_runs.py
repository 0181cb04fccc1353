"""A flow that records an execution against the same flow whose tasks do nothing.

Prefect's thread for heartbeats holds a flow of less than a second to about a second, in which the work on the catalog
hides. So both flows are taken a second time without heartbeats, where it shows.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.benchmarks.comparison import Comparison, Figure, timed
from tests.benchmarks.world import World

SETTINGS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "DO_NOT_TRACK": "1",
}


@contextmanager
def prefect_server(world: World) -> Iterator[None]:
    """A Prefect server of the benchmark's own, used by flows of this process."""
    os.environ.update(SETTINGS, PREFECT_HOME=str(world.folder / "prefect"))
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


def compare(world: World, stack: ExitStack) -> list[Comparison]:
    stack.enter_context(prefect_server(world))
    from deriva_ml_prefect.decorators import deriva_execution

    @deriva_execution(catalog=f"embedded/{world.ml.catalog_id}", workflow_type="Training")
    def recorded() -> None:
        """The user's code, which does nothing."""

    empty = _same_with_empty_tasks()
    name = "an empty execution as a flow / the same flow with empty tasks"
    return [
        Comparison(name, timed(recorded), timed(empty), 1.15),
        Comparison(f"{name}, without heartbeats", _still(recorded), _still(empty), 1.15),
        Comparison("task runs of it", lambda: _task_runs(recorded), None, 7, "task runs", rounds=1, warm_up=False),
    ]


def _still(work: Callable[[], object]) -> Figure:
    """The figure of a flow whose thread for heartbeats is off."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    def figure() -> float:
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            return timed(work)()

    return figure


def _same_with_empty_tasks() -> Any:
    """A flow with as many tasks as ours has, a subflow inside one of them, a tag and an artifact, as ours."""
    from prefect import flow, runtime, task
    from prefect.artifacts import create_link_artifact
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from deriva_ml_prefect.tasks import TASKS

    @flow(name="empty-code", validate_parameters=False)
    def code() -> None:
        """The subflow, as the user's code is one."""

    @task(persist_result=False)
    def step() -> None:
        """A phase that does nothing."""

    @task(persist_result=False)
    def run() -> None:
        with get_client(sync_client=True) as client:
            client.update_flow_run(runtime.flow_run.id, tags={*runtime.flow_run.tags, "execution:none"})
        create_link_artifact("https://example.org/none", link_text="none", key="execution-none", description="none")
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            code()

    @flow(name="empty")
    def whole() -> None:
        run()
        for _ in range(len(TASKS) - 1):
            step()

    return whole


def _task_runs(recorded: Any) -> float:
    """Task runs that Prefect keeps of one run of the flow and of its subflow."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterParentFlowRunId

    state = recorded(return_state=True)
    flow_run = state.state_details.flow_run_id
    with get_client(sync_client=True) as client:
        runs = [flow_run]
        with contextlib.suppress(IndexError):
            inside = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[flow_run]))
            runs.append(client.read_flow_runs(flow_run_filter=inside)[0].id)
        return len(client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=runs))))
