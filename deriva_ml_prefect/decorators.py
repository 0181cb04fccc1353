"""`@deriva_execution`: a function becomes a Prefect flow whose every run is recorded as an execution.

    @deriva_execution(catalog="embedded/1", workflow_type="Training")
    def train(epochs: int = 10, *, execution: Execution) -> float: ...

The parameters `execution` and `ml_instance`, if the function has them, are filled in and do not appear in the flow's
form; `configuration` and `dry_run` are added. The body runs as a subflow, inside the life cycle of `phases.lifecycle`
whose phases run as tasks; `current_execution()` works in it. Called without Prefect (`train.fn(...)`) the same life
cycle runs directly. What comes back is an ordinary `Flow`.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, TypeVar, overload

from prefect import runtime
from prefect.context import FlowRunContext
from prefect.exceptions import Pause, TerminationSignal
from prefect.flows import Flow
from prefect.states import Cancelled, Failed
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.hashing import file_hash

from deriva_ml_prefect.blocks import DerivaCatalog, ExecutionConfiguration, find_catalog
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLConfigurationError, DerivaMLException, DerivaMLExecutionError
from deriva_ml_prefect.hooks import make_hooks
from deriva_ml_prefect.ml.current import current_execution, current_place, use_execution
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.orders import heed, suspension
from deriva_ml_prefect.outage.code_call import CodeCall, code_calling, code_run_name, current_code_call
from deriva_ml_prefect.outage.ends import server_is_away, survive_outage
from deriva_ml_prefect.outage.missed import tell_missed_ends_aside
from deriva_ml_prefect.outage.patience import patient
from deriva_ml_prefect.outage.settings import without_heartbeats
from deriva_ml_prefect.outage.streams import outlive_readers
from deriva_ml_prefect.own_process import OwnProcess, run_in_own_process, tell_flow_run
from deriva_ml_prefect.phases.begin import Request
from deriva_ml_prefect.phases.context import Context
from deriva_ml_prefect.phases.interrupt import ExecutionCancelled, ExecutionDisowned
from deriva_ml_prefect.phases.lifecycle import conduct, directly
from deriva_ml_prefect.phases.scrubbing import clean_error, scrub_logs
from deriva_ml_prefect.phases.send import UploadOptions
from deriva_ml_prefect.provenance.caller import code_file
from deriva_ml_prefect.tasks import run_phase
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.status import ExecutionStatus
from deriva_ml_prefect.watching.logs import forward_logs
from deriva_ml_prefect.watching.tracebacks import mark_as_users, shorten_tracebacks
from deriva_ml_prefect.watching.watch import watch

logger = logging.getLogger(__name__)
R = TypeVar("R")

INJECTED = ("execution", "ml_instance")
"""Parameters of the user's function that are filled in."""
ADDED = ("configuration", "dry_run")
"""Parameters that the flow has beside the user's."""
_ADDED_ARGUMENTS = (
    "configuration: What the execution reads and why: datasets, assets, workflow, description.",
    "dry_run: Run the code, and record nothing in the catalog.",
)
"""What the flow's form says of them."""

_MARK = "records_executions"
"""Attribute of the functions of decorated flows; it stays when the flow is copied or sent elsewhere."""
_HOOK_KINDS = ("on_completion", "on_failure", "on_cancellation", "on_crashed", "on_running")
_CODE_OPTIONS = ("task_runner", "timeout_seconds", "retries", "retry_delay_seconds")
"""Flow options that are about the user's code alone."""
_SHARED_OPTIONS = ("log_prints", "persist_result", "result_storage", "result_serializer", "cache_result_in_memory")
"""Flow options for the user's code and for the flow around it."""


@dataclass(frozen=True)
class Plan:
    """What one decorated function is to be recorded as."""

    function: Callable[..., Any]
    catalog: str | Address | DerivaCatalog | None
    workflow_name: str
    workflow_type: tuple[str, ...]
    description: str
    ml_class: type[DerivaML]
    code: Flow[..., Any]
    """The user's function as the subflow of a run."""
    own_process: OwnProcess | None = None
    """Where it runs, if not in the process of the flow."""


@overload
def deriva_execution(function: Callable[..., R] | Flow[..., R], /) -> Flow[..., R]: ...


@overload
def deriva_execution(
    *,
    catalog: str | Address | DerivaCatalog | None = None,
    workflow_type: str | list[str] = "Analysis",
    workflow_name: str | None = None,
    ml_class: type[DerivaML] = DerivaML,
    own_process: OwnProcess | bool = False,
    **flow_options: Any,
) -> Callable[[Callable[..., R] | Flow[..., R]], Flow[..., R]]: ...


def deriva_execution(
    function: Callable[..., Any] | Flow[..., Any] | None = None,
    /,
    *,
    catalog: str | Address | DerivaCatalog | None = None,
    workflow_type: str | list[str] = "Analysis",
    workflow_name: str | None = None,
    ml_class: type[DerivaML] = DerivaML,
    own_process: OwnProcess | bool = False,
    **flow_options: Any,
) -> Any:
    """Make a flow of a function, each run of which is an execution; with and without arguments.

    `catalog`: `HOST/CATALOG`, the name of a saved DERIVA Catalog block, or empty for `DERIVA_ML_HOST` and
    `DERIVA_ML_CATALOG`; looked up when a run starts. `workflow_type` are terms of Workflow_Type. Other keywords are
    options of Prefect's `flow` (name, log_prints, task_runner, …). `own_process` runs the user's code in a process of
    its own, with limits if it is an `OwnProcess`; its death is an error of the execution. `timeout_seconds` and
    `retries` are about the user's code alone: with `retries` it runs again within the same execution, which stays
    Running in between. A function that is a Flow already keeps its options and hooks.
    """
    if function is None:
        return functools.partial(
            deriva_execution,
            catalog=catalog,
            workflow_type=workflow_type,
            workflow_name=workflow_name,
            ml_class=ml_class,
            own_process=own_process,
            **flow_options,
        )
    if callable(catalog):
        raise DerivaMLConfigurationError(
            "catalog= takes HOST/CATALOG or the name of a saved block, not a function: it must be known where no "
            "code of the flow has run yet."
        )
    options = {**(_options_of(function) if isinstance(function, Flow) else {}), **flow_options}
    fn: Callable[..., Any] = function.fn if isinstance(function, Flow) else function
    _check_function(fn)
    name = options.pop("name", None) or fn.__name__.replace("_", "-")
    code_options = {key: options.pop(key) for key in _CODE_OPTIONS if key in options}
    code_options.update({key: options[key] for key in _SHARED_OPTIONS if key in options})
    description = options.pop("description", None) or inspect.getdoc(fn) or ""
    plan = Plan(
        fn,
        catalog,
        workflow_name or name,
        (workflow_type,) if isinstance(workflow_type, str) else tuple(workflow_type),
        description,
        ml_class,
        Flow(
            _user_code(fn),
            name=f"{name}-code",
            flow_run_name=_code_run_name,
            description=description,
            validate_parameters=False,
            **code_options,
        ),
        OwnProcess() if own_process is True else own_process or None,
    )
    for kind, hooks in make_hooks(functools.partial(find_catalog, catalog)).items():
        options[kind] = [*hooks, *(options.get(kind) or [])]
    options.setdefault("version", file_hash(str(code_file(fn))))
    recorded = _recorded(plan)
    setattr(recorded, _MARK, True)
    return Flow(recorded, name=name, description=description, **options)


def is_recorded(flow: Any) -> bool:
    """Whether each run of a flow is an execution."""
    return isinstance(flow, Flow) and bool(getattr(flow.fn, _MARK, False))


def _options_of(given: Flow[..., Any]) -> dict[str, Any]:
    """The options with which a flow was made, and its hooks."""
    names = ("name", "version", "flow_run_name", "description", *_CODE_OPTIONS, *_SHARED_OPTIONS)
    options = {name: getattr(given, name) for name in names}
    options["validate_parameters"] = given.should_validate_parameters
    options.update({kind: list(getattr(given, f"{kind}_hooks")) for kind in _HOOK_KINDS})
    return options


def _check_function(fn: Callable[..., Any]) -> None:
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise DerivaMLConfigurationError(
            f"{fn.__qualname__} is a generator: an execution ends when its function returns, so it must return."
        )
    taken = [name for name in ADDED if name in inspect.signature(fn).parameters]
    if taken:
        raise DerivaMLConfigurationError(
            f"{fn.__qualname__} has a parameter named {' and '.join(taken)}, which @deriva_execution adds itself. "
            "Rename it; the configuration is execution.configuration, and execution.dry_run tells a dry run."
        )


def _own_signature(fn: Callable[..., Any]) -> inspect.Signature:
    """The function's signature without what is filled in, annotations resolved where their names exist."""
    signature = inspect.signature(fn)
    names = getattr(inspect.unwrap(fn), "__globals__", {})
    kept = [
        parameter.replace(annotation=_resolved(parameter.annotation, names))
        for parameter in signature.parameters.values()
        if parameter.name not in INJECTED
    ]
    return signature.replace(parameters=kept, return_annotation=_resolved(signature.return_annotation, names))


def _resolved(annotation: Any, names: Mapping[str, Any]) -> Any:
    if not isinstance(annotation, str):
        return annotation
    holder = type("Holder", (), {"__annotations__": {"it": annotation}})
    try:
        return inspect.get_annotations(holder, globals=dict(names), eval_str=True)["it"]
    except NameError:
        return annotation


def _shown_signature(fn: Callable[..., Any]) -> inspect.Signature:
    """The signature of the flow: the function's own and what is added, by keyword, before any `**kwargs`."""
    own = _own_signature(fn)
    kind = inspect.Parameter.KEYWORD_ONLY
    added = [
        inspect.Parameter("configuration", kind, default=None, annotation=ExecutionConfiguration | None),
        inspect.Parameter("dry_run", kind, default=False, annotation=bool),
    ]
    listed = list(own.parameters.values())
    rest = [listed.pop()] if listed and listed[-1].kind is inspect.Parameter.VAR_KEYWORD else []
    return own.replace(parameters=[*listed, *added, *rest])


def _shown_docstring(fn: Callable[..., Any]) -> str:
    """The function's docstring with the added parameters in its section `Args`, from which Prefect makes the form."""
    said = inspect.getdoc(fn) or f"{fn.__name__}."
    before, section, rest = said.partition("\nArgs:\n")
    indent = rest[: len(rest) - len(rest.lstrip(" "))] or "    "
    added = "".join(f"{indent}{line}\n" for line in _ADDED_ARGUMENTS)
    return f"{before}\nArgs:\n{added}{rest}" if section else f"{said}\n\nArgs:\n{added}"


def _show_as(wrapper: Callable[..., Any], signature: inspect.Signature) -> Callable[..., Any]:
    wrapper.__signature__ = signature  # type: ignore[attr-defined]
    parameters = signature.parameters.values()
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters if p.annotation is not inspect.Parameter.empty}
    if signature.return_annotation is not inspect.Signature.empty:
        wrapper.__annotations__["return"] = signature.return_annotation
    return wrapper


def _recorded(plan: Plan) -> Callable[..., Any]:
    """The function of the flow: takes what the form shows, and conducts the execution."""
    signature = _shown_signature(plan.function)

    def arguments_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[dict[str, Any], Any, bool]:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments, bound.arguments.pop("configuration"), bound.arguments.pop("dry_run")

    if inspect.iscoroutinefunction(plan.function):

        @functools.wraps(plan.function)
        async def run_async(*args: Any, **kwargs: Any) -> Any:
            # the phases are synchronous: they have a thread of their own, with this one's context
            return await asyncio.to_thread(_record, plan, *arguments_of(args, kwargs))

        run_async.__doc__ = _shown_docstring(plan.function)
        return _show_as(run_async, signature)

    @functools.wraps(plan.function)
    def run(*args: Any, **kwargs: Any) -> Any:
        return _record(plan, *arguments_of(args, kwargs))

    run.__doc__ = _shown_docstring(plan.function)
    return _show_as(run, signature)


def _user_code(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function of the subflow: fills in the current execution. `sys.exit()` is an end like any other."""
    signature = _own_signature(fn)

    def filled(args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.BoundArguments:
        execution = current_execution()
        tell_flow_run()
        survive_outage()
        current_code_call().begin()
        attempt = runtime.flow_run.run_count
        if FlowRunContext.get() and attempt > 1:
            execution.update_status(ExecutionStatus.Running, f"Attempt {attempt}")
        whole = inspect.signature(fn)
        values = {**signature.bind(*args, **kwargs).arguments, "execution": execution, "ml_instance": execution.ml}
        return inspect.BoundArguments(whole, {name: values[name] for name in whole.parameters if name in values})

    if inspect.iscoroutinefunction(fn):

        @functools.wraps(fn)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            bound = filled(args, kwargs)
            with _seen_by_prefect():
                try:
                    value = await fn(*bound.args, **bound.kwargs)
                except SystemExit as e:
                    value = None
                    _accept_exit(e)
                return current_code_call().end(value)

        return _show_as(call_async, signature)

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        bound = filled(args, kwargs)
        with _seen_by_prefect():
            try:
                value = fn(*bound.args, **bound.kwargs)
            except SystemExit as e:
                value = None
                _accept_exit(e)
            return current_code_call().end(value)

    return _show_as(call, signature)


@contextmanager
def _seen_by_prefect() -> Iterator[None]:
    """Errors of the user's code as they suit a flow run; elsewhere they stay as they are.

    Prefect keeps the text of an error, and its traceback: both are without secrets. What it would not record at all, or
    would explain with its own inner parts, becomes an error that says what to do.
    """
    try:
        yield
    except BaseException as e:
        if not FlowRunContext.get():
            raise
        named = _named(e)
        if named is not None:
            raise named from e
        clean = clean_error(e)
        mark_as_users(clean)
        if clean is e:
            raise
        raise clean from None


def _named(error: BaseException) -> DerivaMLException | None:
    """What an error means that nobody could understand in a flow run."""
    if isinstance(error, GeneratorExit):
        # Prefect would leave the run Running for ever
        return DerivaMLExecutionError(
            "The code raised GeneratorExit, which only says that a generator is closed. Look where it lets it out."
        )
    # Prefect says so of subflows, and of tasks: the code is called by one
    if isinstance(error, RuntimeError) and str(error).startswith("Cannot suspend "):
        return DerivaMLConfigurationError(
            "The code of an execution is a subflow, and Prefect suspends whole runs: call "
            "suspend_flow_run(flow_run_id=UUID(prefect.runtime.flow_run.root_flow_run_id)). The run is left at the "
            "code's next task, or at its end."
        )
    return None


def _accept_exit(error: SystemExit) -> None:
    """`sys.exit()` and `sys.exit(0)` end well; Prefect would call them a crash."""
    if error.code not in (0, None):
        raise error


def _code_run_name() -> str:
    return code_run_name(current_execution().execution_rid)


def _record(plan: Plan, arguments: dict[str, Any], configuration: ExecutionConfiguration | None, dry_run: bool) -> Any:
    """One run: the life cycle around the user's code, through tasks when a flow runs it. What the code returned."""
    scrub_logs("prefect.flow_runs", "prefect.task_runs", "prefect.extra")
    catalog = find_catalog(plan.catalog)
    asked = configuration or ExecutionConfiguration()
    ml = _connect(plan, catalog)
    in_flow = FlowRunContext.get()
    place = current_place()
    dry_run = dry_run or (place is not None and place.dry_run)
    request = Request(
        ml.address,
        asked.spec(),
        _workflow(plan, ml, asked.workflow),
        dry_run=dry_run,
        within=(place.parent, place.sequence) if place and place.address == ml.address else None,
        flow_run_id=runtime.flow_run.id if in_flow else None,
        attempt=_times_begun(in_flow) if in_flow else 1,
    )
    bound = inspect.BoundArguments(_own_signature(plan.function), arguments)

    def user_code(context: Context) -> Any:
        if plan.own_process is None:
            return _run_code(plan, ml, context, bound)
        # values only: the child opens connections of its own
        there = functools.partial(_run_code_there, plan, catalog, context, arguments)
        return run_in_own_process(
            there, plan.own_process, module=plan.function.__module__, what=f"execution {context.rid}"
        )

    if not in_flow:
        return conduct(request, user_code, call=directly).result
    assert in_flow.flow_run is not None
    shorten_tracebacks()
    survive_outage("What became of its execution is in the catalog.")
    tell_missed_ends_aside(ml.address)
    with outlive_readers(), patient(), watch(plan.function) as watching, heed(in_flow.flow_run) as orders:
        call = orders.around(watching.around(run_phase))
        code = orders.translating(user_code)
        try:
            done = conduct(request, code, call=call, options=UploadOptions(progress=watching.told))
        except ExecutionCancelled as e:
            # a signal ends the process too; otherwise the state is all that says it
            if isinstance(e, TerminationSignal):
                raise
            return Cancelled(message=str(e))
        except ExecutionDisowned as e:
            return Failed(message=str(e))
    said = (
        "Nothing was recorded" if done.context.dry_run else f"Execution {done.context.rid} is Uploaded in the catalog"
    )
    survive_outage(f"{said}; only Prefect may show another state.")
    return done.result


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
                if not FlowRunContext.get():
                    return settled(plan.code.fn(*bound.args, **bound.kwargs))
                # the flow around sends them
                with without_heartbeats():
                    return _run_subflow(plan, bound, ended)
        except Pause as e:
            if not ended.returned:
                raise suspension(e) from e
            # the code came to its end before the run is left: the next phase finds the run suspended
            ended.complete_flow_run()
            return ended.value


def _run_subflow(plan: Plan, bound: inspect.BoundArguments, ended: CodeCall) -> Any:
    """The user's code as a flow run of its own. What it returned counts, also where Prefect cannot be told of it."""
    try:
        return settled(_code_of(plan)(*bound.args, **bound.kwargs))
    except Exception:
        # an error of the code, unless the code had come to its end, or had not begun
        if ended.returned:
            return ended.value
        if not ended.began and server_is_away():
            logger.info("Prefect's server is away: the code runs without a flow run of its own.")
            return settled(plan.code.fn(*bound.args, **bound.kwargs))
        raise


def _code_of(plan: Plan) -> Flow[..., Any]:
    """The user's code as a subflow, with the task runner that `with_options` has given to the flow around it."""
    context = FlowRunContext.get()
    around = context.flow if context else None
    if around is None or not is_recorded(around) or around.task_runner == ThreadPoolTaskRunner():
        return plan.code
    return plan.code.with_options(task_runner=around.task_runner)


def _run_code_there(plan: Plan, catalog: DerivaCatalog, context: Context, arguments: dict[str, Any]) -> Any:
    """The same in the process that the code has for itself."""
    scrub_logs("prefect.flow_runs", "prefect.task_runs", "prefect.extra")
    shorten_tracebacks()
    bound = inspect.BoundArguments(_own_signature(plan.function), arguments)
    around = FlowRunContext.get()
    seen = forward_logs(plan.function, str(around.flow_run.id)) if around and around.flow_run else nullcontext()
    with outlive_readers(), seen:
        return _run_code(plan, _connect(plan, catalog), replace(context, lent=True), bound)


def settled(value: Any) -> Any:
    """What a call gave; of an async function, what it gives in the end."""
    return asyncio.run(value) if inspect.iscoroutine(value) else value


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
