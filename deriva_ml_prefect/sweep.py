"""Many runs of one flow as the parts of one execution: sweeps of parameters, folds, ensembles.

    @deriva_execution(catalog="embedded/1", workflow_type="Training")
    def sweep(rates: list[float]) -> list[str | None]:
        runs = run_nested(train, [{"learning_rate": rate} for rate in rates], max_at_once=4)
        return [run.execution_rid for run in runs]

`run_nested` is called in the code of the execution that is the whole. Each part is a flow run of its own, recorded as
an execution that is nested in that one. Where parts run is Prefect's task runner to say: threads, processes, a Dask or
Ray cluster. A part whose process dies is like any flow run: run again, it goes on with what it had staged, or begins a
new execution when its code had not finished. A whole that is run again leaves finished parts alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.context import FlowRunContext
from prefect.exceptions import ParameterBindError, ParameterTypeError
from prefect.flow_engine import run_flow
from prefect.flows import Flow
from prefect.futures import PrefectFuture, as_completed
from prefect.states import AwaitingRetry
from prefect.tasks import Task
from prefect.utilities.asyncutils import run_coro_as_sync

from deriva_ml_prefect.blocks import ExecutionConfiguration
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.decorators import is_recorded, settled
from deriva_ml_prefect.exceptions import DerivaMLNestedError, DerivaMLValidationError
from deriva_ml_prefect.ml.current import Place, current_execution, use_place
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.outage.settings import without_heartbeats
from deriva_ml_prefect.phases.context import check_writable
from deriva_ml_prefect.phases.nested import await_owner, link_part
from deriva_ml_prefect.questions.nesting import ordered_parts
from deriva_ml_prefect.values.listed import first_of
from deriva_ml_prefect.values.status import ExecutionStatus

if TYPE_CHECKING:
    from prefect.task_runners import TaskRunner

AT_ONCE = 2
"""How many parts run at the same time unless `max_at_once` says otherwise."""
_PAGE = 200


@dataclass(frozen=True)
class NestedRun:
    """One part, after it has ended."""

    sequence: int
    """Its place among the parts, from 0; column Sequence of Execution_Execution."""
    parameters: Mapping[str, Any]
    execution_rid: str | None
    """None when it did not come to an execution: in a dry run, or when its beginning failed."""
    status: ExecutionStatus | None
    """As the catalog has it."""
    error: str | None = None
    result: Any = None
    """What its code returned; None when it had finished in an earlier attempt."""


@dataclass(frozen=True)
class _Part:
    """One part, as it is sent to where it runs: values only."""

    flow: Flow[..., Any]
    parameters: Mapping[str, Any]
    place: Place
    flow_run_id: UUID


def run_nested(
    flow: Flow[..., Any],
    parts: Sequence[Mapping[str, Any]],
    *,
    configuration: ExecutionConfiguration | ExecutionSpec | None = None,
    max_at_once: int = AT_ONCE,
    task_runner: TaskRunner[Any] | None = None,
    raise_on_failure: bool = True,
) -> list[NestedRun]:
    """Run a `@deriva_execution` flow once for each mapping of parameters, as parts of the current execution.

    `configuration` is that of all parts that name none. At most `max_at_once` run at a time, on `task_runner`, or else
    on the task runner of the flow around this call; without a flow around it, one after the other. All parts run, also
    when some fail. Then DerivaMLNestedError names those that failed, unless `raise_on_failure` is false. Parameters
    that do not fit the flow are a DerivaMLValidationError before any part begins.
    """
    parent = current_execution()
    check_writable(parent.context)
    given = _checked(flow, parts, configuration, max_at_once)
    places = [
        Place(parent.execution_rid, parent.context.address, sequence, dry_run=parent.dry_run)
        for sequence in range(len(given))
    ]
    if FlowRunContext.get() is None:
        ended = [_run_here(flow, parameters, place) for parameters, place in zip(given, places, strict=True)]
    else:
        ended = _run_as_tasks(flow, given, places, max_at_once, task_runner)
    runs = _describe(parent, given, ended)
    failed = [run for run in runs if run.error]
    if failed and raise_on_failure:
        raise DerivaMLNestedError(_say(parent.execution_rid, failed, len(runs)))
    return runs


def _checked(
    flow: Flow[..., Any],
    parts: Sequence[Mapping[str, Any]],
    configuration: ExecutionConfiguration | ExecutionSpec | None,
    max_at_once: int,
) -> list[dict[str, Any]]:
    if not is_recorded(flow):
        name = getattr(flow, "name", flow)
        raise DerivaMLValidationError(f"{name} records no executions: decorate its function with @deriva_execution.")
    if max_at_once < 1:
        raise DerivaMLValidationError(f"max_at_once is {max_at_once}; at least one part must run at a time.")
    shared = {} if configuration is None else {"configuration": _block(configuration)}
    given = [{**shared, **part} for part in parts]
    for sequence, parameters in enumerate(given):
        try:
            flow.validate_parameters(parameters)
        except (ParameterTypeError, ParameterBindError, TypeError, ValueError) as e:
            raise DerivaMLValidationError(f"Part {sequence} does not fit flow {flow.name}: {e}") from e
    return given


def _block(configuration: ExecutionConfiguration | ExecutionSpec) -> ExecutionConfiguration:
    """Of another execution's configuration, everything but its workflow, which says what code that one ran."""
    if isinstance(configuration, ExecutionConfiguration):
        return configuration
    fields = {name: getattr(configuration, name) for name in ExecutionSpec.model_fields}
    return ExecutionConfiguration(**{**fields, "workflow": None})


def _run_here(flow: Flow[..., Any], parameters: Mapping[str, Any], place: Place) -> Any:
    """A part without Prefect: what its code returned, or its error."""
    with use_place(place):
        try:
            return settled(flow.fn(**flow.validate_parameters(dict(parameters))))
        # one part that fails does not keep the others from running; the error is in the list of what ended
        except Exception as e:  # noqa: BLE001
            return e


def _run_as_tasks(
    flow: Flow[..., Any],
    given: Sequence[Mapping[str, Any]],
    places: Sequence[Place],
    max_at_once: int,
    task_runner: TaskRunner[Any] | None,
) -> list[Any]:
    """Each part in a task of its own, a window of them at a time: what each returned, or its error."""
    context = FlowRunContext.get()
    assert context is not None
    task: Task[..., Any] = Task(
        _run_part, name=f"part of {flow.name}", task_run_name=_name_of_part, cache_policy=NO_CACHE, persist_result=False
    )
    known = _known_runs(_tag_of_whole(context))
    futures: dict[int, PrefectFuture[Any]] = {}
    with _started(task_runner) as runner:
        for sequence, (parameters, place) in enumerate(zip(given, places, strict=True)):
            _await_room(list(futures.values()), max_at_once)
            run_id = known.get(_tag_of_part(sequence, parameters)) or _create_run(flow, parameters, sequence, context)
            part = _Part(flow, parameters, place, run_id)
            futures[sequence] = runner.submit(task, {"part": part}) if runner else task.submit(part)
        for future in futures.values():
            future.wait()
        return [future.result(raise_on_failure=False) for _, future in sorted(futures.items())]


@contextmanager
def _started(task_runner: TaskRunner[Any] | None) -> Iterator[TaskRunner[Any] | None]:
    if task_runner is None:
        yield None
    else:
        with task_runner.duplicate() as started:
            yield started


def _await_room(futures: Sequence[PrefectFuture[Any]], max_at_once: int) -> None:
    running = [future for future in futures if not future.state.is_final()]
    if len(running) >= max_at_once:
        next(iter(as_completed(running)))


def _tag_of_whole(context: FlowRunContext) -> str:
    """Names the flow run of the whole: the outer one, which is the same when it is run again."""
    run = context.flow_run
    assert run is not None
    return f"part-of:{current_execution().context.flow_run_id or run.id}"


def _tag_of_part(sequence: int, parameters: Mapping[str, Any]) -> str:
    text = json.dumps(parameters, sort_keys=True, default=_as_json)
    return f"part:{sequence}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _as_json(value: Any) -> Any:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else repr(value)


def _known_runs(tag: str) -> dict[str, UUID]:
    """Flow runs of the parts that an earlier attempt of the whole has made, by the tag of the part."""
    known: dict[str, UUID] = {}
    offset = 0
    with get_client(sync_client=True) as client:
        while True:
            chosen = FlowRunFilter.model_validate({"tags": {"all_": [tag]}})
            runs = client.read_flow_runs(flow_run_filter=chosen, limit=_PAGE, offset=offset)
            for run in runs:
                known |= {name: run.id for name in run.tags if name.startswith("part:")}
            if len(runs) < _PAGE:
                return known
            offset += _PAGE


def _create_run(flow: Flow[..., Any], parameters: Mapping[str, Any], sequence: int, context: FlowRunContext) -> UUID:
    """A flow run for a part, under this flow run, made here so that it stays the same wherever the part runs."""
    # Prefect shows a flow run as a child by a task run that stands for it
    stand_in: Task[..., Any] = Task(flow.fn, name=flow.name)
    shown = cast("TaskRun", run_coro_as_sync(stand_in.create_run(flow_run_context=context)))
    tags = {_tag_of_whole(context), _tag_of_part(sequence, parameters)}
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(
            flow, parameters=flow.serialize_parameters(dict(parameters)), tags=tags, parent_task_run_id=shown.id
        )
    return run.id


def _name_of_part() -> str:
    from prefect import runtime

    part = runtime.task_run.parameters["part"]
    return f"{part.flow.name} {part.place.sequence}"


def _run_part(part: _Part) -> Any:
    """The task of one part, on whatever worker it runs; what its code returned.

    A worker that takes it over from one that died finds its flow run, and so its execution.
    """
    run = _ready_run(part)
    if run is None:
        return None
    await_owner(part.place.address, str(part.flow_run_id))
    with use_place(part.place), without_heartbeats():
        return settled(run_flow(part.flow, flow_run=run, parameters=dict(part.parameters)))


def _ready_run(part: _Part) -> FlowRun | None:
    """The part's flow run, ready to run (again); None when it has completed, and then its execution is linked."""
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(part.flow_run_id)
        if run.state is None or not run.state.is_final():
            return run
        if run.state.is_completed():
            recorded = [tag.partition(":")[2] for tag in run.tags if tag.startswith("execution:")]
            if recorded and not part.place.dry_run:
                link_part(part.place.address, part.place.parent, recorded[-1], part.place.sequence)
            return None
        client.set_flow_run_state(part.flow_run_id, AwaitingRetry(), force=True)
        return client.read_flow_run(part.flow_run_id)


def _describe(parent: Execution, given: Sequence[Mapping[str, Any]], ended: Sequence[Any]) -> list[NestedRun]:
    address = parent.context.address
    recorded = {} if parent.dry_run else ordered_parts(address, parent.execution_rid)
    runs = []
    for sequence, (parameters, outcome) in enumerate(zip(given, ended, strict=True)):
        record = recorded.get(sequence)
        failed = isinstance(outcome, BaseException)
        runs.append(
            NestedRun(
                sequence,
                parameters,
                record.rid if record else None,
                record.status if record else None,
                f"{type(outcome).__name__}: {outcome}" if failed else None,
                None if failed else outcome,
            )
        )
    return runs


def _say(rid: str, failed: Sequence[NestedRun], count: int) -> str:
    shown = first_of(f"{run.sequence} ({run.execution_rid or 'no execution'}): {run.error}" for run in failed)
    return (
        f"{len(failed)} of {count} parts of execution {rid} failed: {shown}. The others are recorded; "
        "with raise_on_failure=False run_nested() returns what each of them came to."
    )
