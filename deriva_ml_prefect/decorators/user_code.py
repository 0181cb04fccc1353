"""The function of the subflow in which the user's code runs, and how Prefect sees its errors."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from prefect import runtime
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.exceptions import FailedRun
from prefect.futures import resolve_futures_to_states
from prefect.states import get_state_exception, is_state_iterable

from deriva_ml_prefect.decorators.signature import own_signature, show_as
from deriva_ml_prefect.exceptions import DerivaMLConfigurationError, DerivaMLException, DerivaMLExecutionError
from deriva_ml_prefect.ml.current import current_execution
from deriva_ml_prefect.outage.code_call import current_code_call
from deriva_ml_prefect.outage.ends import survive_outage
from deriva_ml_prefect.own_process import tell_flow_run
from deriva_ml_prefect.phases.advance import advance
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
        if FlowRunContext.get() and attempt > 1 and not execution.read_only:
            # a catalog that is away hears of it later, as of the first attempt
            advance(execution.context, ExecutionStatus.Running, f"Attempt {attempt}", patient=True)
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


def raise_returned_failure(value: Any) -> None:
    """Raise what states, or futures, say that code has returned: one that has failed is how Prefect is told of failure.

    Prefect's rule of a run's result is this one: a single failure among several makes it a failure.
    """
    if FlowRunContext.get() is not None:
        value = resolve_futures_to_states(value)
    states = [value] if isinstance(value, State) else value if is_state_iterable(value) else []
    for state in states:
        if state.is_failed() or state.is_crashed():
            raise clean_error(_error_of(state))


def _error_of(state: State[Any]) -> BaseException:
    try:
        # where a loop runs, as in a notebook, it would be a coroutine
        error = cast("BaseException", cast("Any", get_state_exception)(state, _sync=True))
    # it holds something else than an error
    except (TypeError, ValueError):
        error = FailedRun(state.message or f"The code returned a state {state.name}.")
    mark_as_users(error)
    return error


def _accept_exit(error: SystemExit) -> None:
    """`sys.exit()` and `sys.exit(0)` end well; Prefect would call them a crash."""
    if error.code not in (0, None):
        raise error
