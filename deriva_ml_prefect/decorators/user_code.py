"""The function of the subflow in which the user's code runs, and how Prefect sees its errors."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prefect import runtime
from prefect.context import FlowRunContext

from deriva_ml_prefect.decorators.signature import own_signature, show_as
from deriva_ml_prefect.exceptions import DerivaMLConfigurationError, DerivaMLException, DerivaMLExecutionError
from deriva_ml_prefect.ml.current import current_execution
from deriva_ml_prefect.outage.code_call import current_code_call
from deriva_ml_prefect.outage.ends import survive_outage
from deriva_ml_prefect.own_process import tell_flow_run
from deriva_ml_prefect.phases.scrubbing import clean_error
from deriva_ml_prefect.values.status import ExecutionStatus
from deriva_ml_prefect.watching.tracebacks import mark_as_users


def make_user_code(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function of the subflow: fills in the current execution. `sys.exit()` is an end like any other."""
    signature = own_signature(fn)

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

        return show_as(call_async, signature)

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

    return show_as(call, signature)


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
