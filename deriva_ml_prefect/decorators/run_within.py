"""A flow run under another one, made before it runs.

Prefect's engine makes the run of a subflow too. It opens a client more for that, gives the run a name by another
request, and looks for an earlier run of the same call, which there never is of a call from a task.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import uuid4

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, TaskRunResult
from prefect.context import FlowRunContext, TagsContext, TaskRunContext
from prefect.flows import Flow
from prefect.states import Pending
from prefect.tasks import Task

from deriva_ml_prefect.outage.instants import ask_again_soon, come_through


def create_run_within(
    around: FlowRunContext,
    flow: Flow[..., Any],
    parameters: Mapping[str, Any],
    *,
    name: str | None = None,
    tags: Collection[str] = (),
) -> FlowRun:
    """A run of `flow` under the flow run of a context, by default with a name that Prefect makes up."""
    assert around.flow_run is not None
    # Prefect shows a flow run as a child by a task run that stands for it
    stand_in: Task[..., Any] = Task(flow.fn, name=flow.name, version=flow.version)
    key, flow_run_id = str(uuid4()), around.flow_run.id
    caller = TaskRunContext.get()
    here = caller is not None and caller.task_run.flow_run_id == flow_run_id
    inherited = TagsContext.get().current_tags
    with get_client(sync_client=True) as client:
        # the events of the tasks before are being written: it may well be busy
        ask_again_soon(client)
        shown = come_through(
            lambda: client.create_task_run(
                stand_in,
                flow_run_id,
                dynamic_key=key,
                name=f"{flow.name}-{key}",
                extra_tags=inherited,
                task_inputs={"__parents__": [TaskRunResult(id=caller.task_run.id)]} if caller and here else None,
            )
        )
        return come_through(
            lambda: client.create_flow_run(
                flow,
                name=name,
                parameters=flow.serialize_parameters(dict(parameters)),
                tags={*tags, *inherited},
                parent_task_run_id=shown.id,
                state=Pending(),
            )
        )
