"""`@deriva_execution`: the flow that is made of a function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, overload

from prefect.flows import Flow
from prefect.utilities.hashing import file_hash

from deriva_ml_prefect.blocks import DerivaCatalog, find_catalog
from deriva_ml_prefect.decorators.plan import MARK, Plan, is_recorded
from deriva_ml_prefect.decorators.record import make_recorded
from deriva_ml_prefect.decorators.signature import check_function
from deriva_ml_prefect.decorators.user_code import make_user_code
from deriva_ml_prefect.exceptions import DerivaMLConfigurationError
from deriva_ml_prefect.hooks import make_hooks
from deriva_ml_prefect.ml.current import current_execution
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.outage.code_call import code_run_name
from deriva_ml_prefect.own_process import OwnProcess
from deriva_ml_prefect.phases.send import CHUNK_SIZE, UploadOptions
from deriva_ml_prefect.provenance.caller import code_file
from deriva_ml_prefect.values.address import Address

R = TypeVar("R")

_HOOK_KINDS = ("on_completion", "on_failure", "on_cancellation", "on_crashed", "on_running")
_CODE_OPTIONS = ("task_runner", "timeout_seconds", "retries", "retry_delay_seconds")
"""Flow options that are about the user's code alone."""
_SHARED_OPTIONS = ("log_prints", "persist_result", "result_storage", "result_serializer", "cache_result_in_memory")
"""Flow options for the user's code and for the flow around it."""


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
    upload_timeout: float = 600,
    upload_chunk_size: int = CHUNK_SIZE,
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
    upload_timeout: float = 600,
    upload_chunk_size: int = CHUNK_SIZE,
    **flow_options: Any,
) -> Any:
    """Make a flow of a function, each run of which is an execution; with and without arguments.

    `catalog`: `HOST/CATALOG`, the name of a saved DERIVA Catalog block, or empty for `DERIVA_ML_HOST` and
    `DERIVA_ML_CATALOG`; looked up when a run starts. `workflow_type` are terms of Workflow_Type. Other keywords are
    options of Prefect's `flow` (name, log_prints, task_runner, …). `own_process` runs the user's code in a process of
    its own, with limits if it is an `OwnProcess`; its death is an error of the execution. `upload_timeout`
    (seconds to connect, and for each answer) and `upload_chunk_size` (bytes) are those of the upload. `timeout_seconds`
    and `retries` are about the user's code alone: with `retries` it runs again within the same execution, which stays
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
            upload_timeout=upload_timeout,
            upload_chunk_size=upload_chunk_size,
            **flow_options,
        )
    if callable(catalog):
        raise DerivaMLConfigurationError(
            "catalog= takes HOST/CATALOG or the name of a saved block, not a function: it must be known where no "
            "code of the flow has run yet."
        )
    if is_recorded(function):
        raise DerivaMLConfigurationError(
            f"The flow {function.name} records executions already: decorate the function once. Other options of the "
            "flow are given by with_options()."
        )
    options = {**(_options_of(function) if isinstance(function, Flow) else {}), **flow_options}
    fn, of_class = _function_of(function)
    check_function(fn)
    # Prefect's own name of a lambda
    name = options.pop("name", None) or fn.__name__.replace("_", "-").replace("<lambda>", "unknown-lambda")
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
            make_user_code(fn),
            name=f"{name}-code",
            flow_run_name=_code_run_name,
            description=description,
            validate_parameters=False,
            **code_options,
        ),
        UploadOptions(timeout=(upload_timeout, upload_timeout), chunk_size=upload_chunk_size),
        OwnProcess() if own_process is True else own_process or None,
    )
    for kind, hooks in make_hooks(functools.partial(find_catalog, catalog)).items():
        given = options.get(kind) or []
        if not isinstance(given, Iterable):
            raise DerivaMLConfigurationError(
                f"{kind}= takes a list of hooks: {kind}=[{getattr(given, '__name__', given)}]"
            )
        options[kind] = [*hooks, *given]
    options.setdefault("version", file_hash(str(code_file(fn))))
    recorded = make_recorded(plan)
    setattr(recorded, MARK, True)
    return Flow(classmethod(recorded) if of_class else recorded, name=name, description=description, **options)


def _function_of(given: Any) -> tuple[Callable[..., Any], bool]:
    """The function of what is decorated, and whether its first argument is the class; Flow keeps that apart too."""
    if isinstance(given, Flow):
        return given.fn, given.isclassmethod
    if isinstance(given, (classmethod, staticmethod)):
        return given.__func__, isinstance(given, classmethod)
    return given, False


def _options_of(given: Flow[..., Any]) -> dict[str, Any]:
    """The options with which a flow was made, and its hooks."""
    names = ("name", "version", "flow_run_name", "description", *_CODE_OPTIONS, *_SHARED_OPTIONS)
    options = {name: getattr(given, name) for name in names}
    options["validate_parameters"] = given.should_validate_parameters
    options.update({kind: list(getattr(given, f"{kind}_hooks")) for kind in _HOOK_KINDS})
    return options


def _code_run_name() -> str:
    return code_run_name(current_execution().execution_rid)
