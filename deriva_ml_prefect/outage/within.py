"""Runs within a flow run that has no process any more: Prefect would show them as Running for ever."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterParentFlowRunId
from prefect.client.schemas.objects import State, StateType
from prefect.states import Crashed

GONE: State[Any] = Crashed(message="The process of the run around this one is gone.")


def end_runs_within(
    client: SyncPrefectClient, run_id: UUID, *, tasks: State[Any] = GONE, flows: State[Any] = GONE
) -> None:
    """Give all tasks and subflows of a flow run that are Running, those of its subflows too, these ends."""
    parents, unfinished = [run_id], StateType.RUNNING
    while parents:
        within = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=parents))
        of_these = FlowRunFilter(id=FlowRunFilterId(any_=parents))
        for task_run in client.read_task_runs(flow_run_filter=of_these):
            if task_run.state_type is unfinished:
                client.set_task_run_state(task_run.id, _again(tasks), force=True)
        children = client.read_flow_runs(flow_run_filter=within)
        for child in children:
            if child.state_type is unfinished:
                client.set_flow_run_state(child.id, _again(flows), force=True)
        parents = [child.id for child in children]


def _again(state: State[Any]) -> State[Any]:
    """The same as a state of its own: Prefect keeps each under its id, with the time at which it was made."""
    return type(state)(type=state.type, name=state.name, message=state.message)
