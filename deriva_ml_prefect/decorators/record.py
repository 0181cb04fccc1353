"""One run of a recorded flow: the life cycle around the user's code."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, cast

from prefect import runtime
from prefect.context import FlowRunContext
from prefect.exceptions import Pause, TerminationSignal
from prefect.flow_engine import FlowRunTimeoutError
from prefect.flows import Flow
from prefect.states import Cancelled, Failed
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.visualization import get_task_viz_tracker

from deriva_ml_prefect.blocks import DerivaCatalog, ExecutionConfiguration, find_catalog
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.decorators.async_code import in_a_thread, settled
from deriva_ml_prefect.decorators.earlier import find_earlier_call, keep_value, take_value
from deriva_ml_prefect.decorators.plan import Plan, is_recorded
from deriva_ml_prefect.decorators.signature import own_signature, show_as, shown_docstring, shown_signature
from deriva_ml_prefect.decorators.user_code import raise_returned_failure
from deriva_ml_prefect.ml.current import current_place, use_execution
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.orders import heed, suspension
from deriva_ml_prefect.outage.code_call import CodeCall, code_calling
from deriva_ml_prefect.outage.ends import server_is_away, survive_outage
from deriva_ml_prefect.outage.missed import tell_missed_ends_aside
from deriva_ml_prefect.outage.patience import patient
from deriva_ml_prefect.outage.settings import without_heartbeats
from deriva_ml_prefect.outage.streams import outlive_readers
from deriva_ml_prefect.own_process import run_in_own_process
from deriva_ml_prefect.phases.begin import Request
from deriva_ml_prefect.phases.context import Context
from deriva_ml_prefect.phases.interrupt import ExecutionCancelled, ExecutionDisowned
from deriva_ml_prefect.phases.lifecycle import conduct, directly
from deriva_ml_prefect.phases.scrubbing import scrub_logs
from deriva_ml_prefect.tasks import run_phase
from deriva_ml_prefect.watching.logs import forward_logs
from deriva_ml_prefect.watching.tracebacks import is_users, leading_to_the_users, shorten_tracebacks
from deriva_ml_prefect.watching.watch import watch

logger = logging.getLogger(__name__)


def make_recorded(plan: Plan) -> Callable[..., Any]:
    """The function of the flow: takes what the form shows, and conducts the execution."""
    signature = shown_signature(plan.function)

    def arguments_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[dict[str, Any], Any, bool]:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments, bound.arguments.pop("configuration"), bound.arguments.pop("dry_run")

    if inspect.iscoroutinefunction(plan.function):

        @functools.wraps(plan.function)
        async def run_async(*args: Any, **kwargs: Any) -> Any:
            given = arguments_of(args, kwargs)
            try:
                # the phases are synchronous: they have a thread of their own, with this one's context
                return await in_a_thread(_record, plan, *given)
            # whatever it is: it goes on, and shows where it came from
            except BaseException as e:  # noqa: BLE001
                raise leading_to_the_users(e)  # noqa: B904

        run_async.__doc__ = shown_docstring(plan.function)
        return show_as(run_async, signature)

    @functools.wraps(plan.function)
    def run(*args: Any, **kwargs: Any) -> Any:
        given = arguments_of(args, kwargs)
        try:
            return _record(plan, *given)
        except BaseException as e:  # noqa: BLE001
            raise leading_to_the_users(e)  # noqa: B904

    run.__doc__ = shown_docstring(plan.function)
    return show_as(run, signature)


def _record(plan: Plan, arguments: dict[str, Any], configuration: Any, dry_run: bool) -> Any:
    """One run: the life cycle around the user's code, through tasks when a flow runs it. What the code returned."""
    scrub_logs("prefect.flow_runs", "prefect.task_runs", "prefect.extra")
    catalog = find_catalog(plan.catalog)
    asked = _configuration(configuration)
    ml = _connect(plan, catalog)
    in_flow = FlowRunContext.get()
    place = current_place()
    # a flow that is only drawn (`visualize()`) is called, and records nothing
    dry_run = dry_run or (place is not None and place.dry_run) or get_task_viz_tracker() is not None
    request = Request(
        ml.address,
        asked.spec(),
        _workflow(plan, ml, asked.workflow),
        dry_run=dry_run,
        within=(place.parent, place.sequence) if place and place.address == ml.address else None,
        flow_run_id=runtime.flow_run.id if in_flow else None,
        attempt=_times_begun(in_flow) if in_flow else 1,
    )
    bound = inspect.BoundArguments(own_signature(plan.function), arguments)

    def user_code(context: Context) -> Any:
        if plan.own_process is None:
            value = _run_code(plan, ml, context, bound)
        else:
            # values only: the child opens connections of its own
            there = functools.partial(_run_code_there, plan, catalog, context, arguments)
            value = run_in_own_process(
                there, plan.own_process, module=plan.function.__module__, what=f"execution {context.rid}"
            )
        if in_flow:
            keep_value(context, value)
        return value

    if not in_flow:
        return conduct(request, user_code, call=directly, options=plan.upload).result
    assert in_flow.flow_run is not None
    # the parts of a sweep keep their flow runs
    if not dry_run and (place is None or place.sequence is None):
        find_earlier_call(ml.address, in_flow.flow_run)
    shorten_tracebacks()
    survive_outage("What became of its execution is in the catalog.")
    tell_missed_ends_aside(ml.address)
    with outlive_readers(), patient(), watch(plan.function) as watching, heed(in_flow.flow_run) as orders:
        call = orders.around(watching.around(run_phase))
        code = orders.translating(user_code)
        try:
            done = conduct(request, code, call=call, options=replace(plan.upload, progress=watching.told))
        except ExecutionCancelled as e:
            # a signal ends the process too; otherwise the state is all that says it
            if isinstance(e, TerminationSignal):
                raise
            return Cancelled(message=str(e))
        except ExecutionDisowned as e:
            return Failed(message=str(e))
        except FlowRunTimeoutError as e:
            # Prefect would name the limit of the flow around, which has none
            return Failed(name="TimedOut", message=str(e), data=e)
    said = (
        "Nothing was recorded" if done.context.dry_run else f"Execution {done.context.rid} is Uploaded in the catalog"
    )
    survive_outage(f"{said}; only Prefect may show another state.")
    kept = take_value(done.context)
    return kept if done.result is None else done.result


def _configuration(given: Any) -> ExecutionConfiguration:
    """What the flow was given, which Prefect has made a block of, unless nobody checked the parameters."""
    if given is None or isinstance(given, ExecutionConfiguration):
        return given or ExecutionConfiguration()
    if isinstance(given, Mapping) and "$ref" in given:
        return cast(
            "ExecutionConfiguration", cast("Any", ExecutionConfiguration.load_from_ref)(given["$ref"], _sync=True)
        )
    return ExecutionConfiguration.model_validate(given)


def _times_begun(around: FlowRunContext) -> int:
    """How often a flow run has been begun, this time included; Prefect does not count those after a suspension."""
    policy = around.flow_run.empirical_policy if around.flow_run else None
    return int(runtime.flow_run.run_count) + len((policy.pause_keys if policy else None) or ())


def _connect(plan: Plan, catalog: DerivaCatalog) -> DerivaML:
    return plan.ml_class(
        catalog.hostname,
        catalog.catalog_id,
        domain_schemas=catalog.domain_schemas or None,
        default_schema=catalog.default_schema,
        project_name=catalog.project_name,
        ml_schema=catalog.ml_schema,
        # the function, not what it gives: a login that is renewed meanwhile is found again
        credential=catalog.credential if catalog.credentials else None,
    )


def _run_code(plan: Plan, ml: DerivaML, context: Context, bound: inspect.BoundArguments) -> Any:
    """The user's code inside its execution, as a subflow when a flow runs it; what it returned."""
    with code_calling() as ended:
        try:
            with use_execution(Execution(ml, context)):
                around = FlowRunContext.get()
                if around is None:
                    value = settled(plan.code.fn(*bound.args, **bound.kwargs))
                else:
                    # the flow around sends them
                    with without_heartbeats():
                        value = _run_subflow(plan, around, bound, ended)
                raise_returned_failure(value)
                return value
        except Pause as e:
            if not ended.returned:
                raise suspension(e) from e
            # the code came to its end before the run is left: the next phase finds the run suspended
            ended.complete_flow_run()
            return ended.value


def _run_subflow(plan: Plan, around: FlowRunContext, bound: inspect.BoundArguments, ended: CodeCall) -> Any:
    """The user's code as a flow run of its own. What it returned counts, also where Prefect cannot be told of it."""
    try:
        return settled(_code_of(plan, around)(*bound.args, **bound.kwargs))
    except Exception as e:
        # an error of the code, unless the code had come to its end, or had not begun
        if ended.returned:
            return ended.value
        if isinstance(e, FlowRunTimeoutError) and not is_users(e):
            limit = plan.code.timeout_seconds
            raise FlowRunTimeoutError(f"The code took longer than its timeout_seconds, {limit:g} s.") from None
        if not ended.began and server_is_away():
            logger.info("Prefect's server is away: the code runs without a flow run of its own.")
            return settled(plan.code.fn(*bound.args, **bound.kwargs))
        raise


def _code_of(plan: Plan, around: FlowRunContext) -> Flow[..., Any]:
    """The user's code as a subflow, with the task runner that `with_options` has given to the flow around it."""
    flow = around.flow
    if flow is None or not is_recorded(flow) or flow.task_runner == ThreadPoolTaskRunner():
        return plan.code
    return plan.code.with_options(task_runner=flow.task_runner)


def _run_code_there(plan: Plan, catalog: DerivaCatalog, context: Context, arguments: dict[str, Any]) -> Any:
    """The same in the process that the code has for itself."""
    scrub_logs("prefect.flow_runs", "prefect.task_runs", "prefect.extra")
    shorten_tracebacks()
    bound = inspect.BoundArguments(own_signature(plan.function), arguments)
    around = FlowRunContext.get()
    seen = forward_logs(plan.function, str(around.flow_run.id)) if around and around.flow_run else nullcontext()
    with outlive_readers(), seen:
        return _run_code(plan, _connect(plan, catalog), replace(context, lent=True), bound)


def _workflow(plan: Plan, ml: DerivaML, given: Workflow | None) -> Workflow:
    """What the configuration says of the workflow, else the decorator; its code is the function's file."""
    if given is not None and (given.rid or given.url):
        return given
    said = given or Workflow()
    return ml.create_workflow(
        said.name or plan.workflow_name,
        said.workflow_type or list(plan.workflow_type),
        said.description or plan.description,
        function=plan.function,
    )
