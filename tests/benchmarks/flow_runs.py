"""What Prefect costs an execution: its flow, less the phases without Prefect, against the same flow with empty tasks.

Both flows have as many tasks, and a subflow inside one of them; the empty one shows nothing of itself in Prefect (no
artifacts, tags or events). Prefect's thread for heartbeats holds a flow of less than a second to about a second, in
which other work hides. So all is taken a second time without heartbeats, where it shows.
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
    name = "Prefect's share of an empty execution / the same flow with empty tasks"
    return [
        Comparison(name, _share(timed(recorded), timed(recorded.fn)), timed(empty), 1.15),
        Comparison(f"{name}, without heartbeats", _share(_still(recorded), timed(recorded.fn)), _still(empty), 1.15),
        Comparison("task runs of it", lambda: _task_runs(recorded), None, 7, "task runs", rounds=1, warm_up=False),
    ]


def _share(whole: Figure, without: Figure) -> Figure:
    """The figure of the part that is not in `without`, which is taken right after."""
    return lambda: whole() - without()


def _still(work: Callable[[], object]) -> Figure:
    """The figure of a flow whose thread for heartbeats is off."""
    from deriva_ml_prefect.outage.settings import without_heartbeats

    def figure() -> float:
        with without_heartbeats():
            return timed(work)()

    return figure


def _same_with_empty_tasks() -> Any:
    """A flow with as many tasks as ours has, and a subflow inside one of them, as the user's code is one."""
    from prefect import flow, task

    from deriva_ml_prefect.outage.settings import without_heartbeats
    from deriva_ml_prefect.tasks import TASKS

    @flow(name="empty-code", validate_parameters=False)
    def code() -> None:
        """The subflow."""

    @task(persist_result=False)
    def step() -> None:
        """A phase that does nothing."""

    @task(persist_result=False)
    def run() -> None:
        with without_heartbeats():
            code()

    @flow(name="empty")
    def whole() -> None:
        # in the order of ours: what a task before it leaves to be written is in the way of the subflow
        step()
        run()
        for _ in range(len(TASKS) - 2):
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
