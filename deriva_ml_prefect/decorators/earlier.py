"""A call of a recorded flow that is repeated because its upload failed: the code is not called again.

Prefect gives a repeated run its id back where that run was started by itself. One within another flow run gets a new id
each time that the run around it, or the task around it, is repeated. So the call is known by what it is a part of, the
flow, and its parameters. Entry points: `find_earlier_call`, and for what the code had returned `keep_value` and
`take_value`.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.context import TaskRunContext

from deriva_ml_prefect.outage.settings import prompt_answers, single_requests
from deriva_ml_prefect.phases.context import Context
from deriva_ml_prefect.phases.left import find_left, go_on_with
from deriva_ml_prefect.values.address import Address

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 10.0
MOST_VALUES = 8
"""Results of code that are kept at most for an upload that is repeated; the oldest are dropped."""
_PAGE = 200
"""Flow runs that Prefect gives at most in one answer."""
_NOT_KEPT = re.compile(r"<\w+>|\*+")
"""What Prefect keeps of a parameter that is no JSON, or a secret."""
_looking = threading.Lock()
_values: OrderedDict[Path, Any] = OrderedDict()


def find_earlier_call(address: Address, flow_run: FlowRun) -> None:
    """Let a flow run that repeats a call go on with the execution of that call, if its code had come to its end.

    Whatever goes wrong here, the code is called, as for any new run.
    """
    if flow_run.parent_task_run_id is None or flow_run.run_count > 1 or not _is_known(flow_run.parameters):
        return
    if not find_left(address):
        return
    try:
        with single_requests(), prompt_answers(ANSWER_SECONDS), get_client(sync_client=True) as client:
            around = list(_runs_around(client, flow_run))
            if around and _is_repeated(around):
                _go_on(client, address, flow_run, around[-1].id)
    except Exception as e:  # noqa: BLE001
        logger.info("Prefect was not asked for an earlier call like this one: %s", e)


def _go_on(client: SyncPrefectClient, address: Address, flow_run: FlowRun, whole: UUID) -> None:
    # threads that repeat equal calls get an execution each: the run that took one is at work on it, and not at its end
    with _looking:
        left = find_left(address)[:_PAGE]
        first = {UUID(each.flow_run_ids[0]): each for each in left}
        for run in _ended(client, list(first)):
            same = (run.flow_id, run.parameters) == (flow_run.flow_id, flow_run.parameters)
            if not same or [run, *_runs_around(client, run)][-1].id != whole:
                continue
            others = [UUID(run_id) for run_id in first[run.id].flow_run_ids[1:]]
            if len(_ended(client, others)) == len(others):
                go_on_with(address, first[run.id], str(flow_run.id))
                logger.info("Execution %s of this call was not uploaded: its upload goes on.", first[run.id].rid)
                return


def _ended(client: SyncPrefectClient, run_ids: list[UUID]) -> list[FlowRun]:
    """Those of some flow runs that are at their end, in the order given."""
    if not run_ids:
        return []
    asked = FlowRunFilter(id=FlowRunFilterId(any_=run_ids))
    runs = [run for run in client.read_flow_runs(flow_run_filter=asked) if run.state and run.state.is_final()]
    return sorted(runs, key=lambda run: run_ids.index(run.id))


def _runs_around(client: SyncPrefectClient, flow_run: FlowRun) -> Iterator[FlowRun]:
    """The flow runs that a flow run is within, the outermost last."""
    while flow_run.parent_task_run_id is not None:
        task_run = client.read_task_run(flow_run.parent_task_run_id)
        if task_run.flow_run_id is None:
            return
        flow_run = client.read_flow_run(task_run.flow_run_id)
        yield flow_run


def _is_repeated(around: list[FlowRun]) -> bool:
    """Whether something that this call is within is at work for more than the first time."""
    task = TaskRunContext.get()
    return any(run.run_count > 1 for run in around) or (task is not None and task.task_run.run_count > 1)


def _is_known(parameters: Any) -> bool:
    """Whether equal parameters mean the same: not those of which Prefect keeps only that they were there."""
    if isinstance(parameters, dict):
        return all(_is_known(value) and value != {} for value in parameters.values())
    if isinstance(parameters, list):
        return all(_is_known(value) and value != {} for value in parameters)
    return not (isinstance(parameters, str) and _NOT_KEPT.fullmatch(parameters))


def keep_value(context: Context, value: Any) -> None:
    """Keep what code has returned until its upload has succeeded."""
    _values[context.folder] = value
    while len(_values) > MOST_VALUES:
        _values.popitem(last=False)


def take_value(context: Context) -> Any:
    """What the code of an execution has returned in this process; None when it ran in another one."""
    if context.folder not in _values:
        logger.info(
            "The code of execution %s ran earlier, and what it returned is not known here: the flow returns None.",
            context.rid,
        )
    return _values.pop(context.folder, None)
