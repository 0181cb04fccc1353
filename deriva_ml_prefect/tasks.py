"""The phases of an execution as Prefect tasks: names, repetitions, back-off, time limits.

Entry point: `run_phase`, the way in which `phases.lifecycle` calls a phase when a flow runs it. Every phase does only
what is left, so a repeated task never does a finished part twice; the user's code is never repeated here. What passes
by itself (an unreachable catalog) is worth repeating; anything else is told at once.
"""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.task_engine import TaskRunTimeoutError
from prefect.tasks import Task, exponential_backoff

from deriva_ml_prefect.exceptions import (
    DerivaMLAttemptError,
    DerivaMLException,
    DerivaMLOfflineError,
    DerivaMLUploadError,
)
from deriva_ml_prefect.outage.ends import server_is_away
from deriva_ml_prefect.phases.close import close_execution
from deriva_ml_prefect.phases.context import Context, entry_of
from deriva_ml_prefect.phases.download import download_inputs
from deriva_ml_prefect.phases.flush import flush_features
from deriva_ml_prefect.phases.run import run_user_code
from deriva_ml_prefect.phases.stage import stage_outputs
from deriva_ml_prefect.phases.upload import upload_assets
from deriva_ml_prefect.progress.meter import hidden

T = TypeVar("T")
logger = logging.getLogger(__name__)

MINUTE = 60.0
HOUR = 60 * MINUTE
FIRST_DELAY = 5.0
"""Seconds before the first repetition of a phase; doubled for each further one, and spread by jitter."""


def is_passing(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001 (Prefect's signature)
    """Whether a failed phase is worth repeating: the catalog could not be reached, or was not well."""
    error = state.data
    return isinstance(error, DerivaMLOfflineError) or (isinstance(error, DerivaMLUploadError) and error.passing)


def _task(
    phase: Callable[..., Any], name: str, run_name: str, *, retries: int, timeout: float | None
) -> Task[..., Any]:
    return Task(
        phase,
        name=name,
        description=(phase.__doc__ or "").partition("\n")[0],
        task_run_name=run_name,
        retries=retries,
        retry_delay_seconds=exponential_backoff(FIRST_DELAY),
        retry_jitter_factor=0.5,
        retry_condition_fn=is_passing,
        timeout_seconds=timeout,
        cache_policy=NO_CACHE,
        persist_result=False,
    )


TASKS: dict[Callable[..., Any], Task[..., Any]] = {
    download_inputs: _task(
        download_inputs, "download inputs", "download for {context.rid}", retries=3, timeout=24 * HOUR
    ),
    # the user's code has no time limit here: timeout_seconds of @deriva_execution is its own
    run_user_code: _task(run_user_code, "run user code", "run {context.rid}", retries=0, timeout=None),
    stage_outputs: _task(stage_outputs, "stage outputs", "stage {context.rid}", retries=3, timeout=6 * HOUR),
    upload_assets: _task(upload_assets, "upload assets", "upload {context.rid}", retries=2, timeout=24 * HOUR),
    flush_features: _task(flush_features, "flush features", "flush {context.rid}", retries=2, timeout=6 * HOUR),
    close_execution: _task(close_execution, "close execution", "close {context.rid}", retries=3, timeout=HOUR),
}
"""One task a phase, in the order of the life cycle. Prefect tracks the subflow by a seventh task run;
beginning the execution, after which they are named, is no task: it belongs to the flow run itself."""


class _Here:
    """The user's code as an argument of its task: it stays in this process.

    What Prefect sends to the workers of a pool has all arguments of the task around it; this one holds a connection.
    """

    def __init__(self, code: Callable[..., Any]) -> None:
        self._code = code

    def __call__(self, *args: Any) -> Any:
        return self._code(*args)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Here, (_refuse,)


def _refuse(*_: Any) -> None:
    raise DerivaMLAttemptError("The code of an execution runs in the process that began it, not on a worker of a pool.")


def task_of(phase: Callable[..., Any]) -> Task[..., Any]:
    """The task of a phase; without its time limit where Prefect could not end it: outside the main thread.

    There the limit would only fail a phase that came to its end late, and Prefect warns of it at each start.
    """
    task = TASKS[phase]
    if threading.current_thread() is threading.main_thread():
        return task
    task = task.with_options()
    # with_options() takes None for "as it was"
    task.timeout_seconds = None
    return task


def run_phase(phase: Callable[..., T], /, *args: Any) -> T:
    """Run a phase as its task, in the flow run around this call; one that has no task runs in the flow itself."""
    if phase not in TASKS:
        return phase(*args)
    task = task_of(phase)
    began = time.monotonic()
    # Prefect shows it in its own way
    with hidden():
        try:
            return cast("T", task(*(_Here(arg) if inspect.isroutine(arg) else arg for arg in args)))
        except DerivaMLException:
            raise
        except TaskRunTimeoutError:
            took = time.monotonic() - began
            if task.timeout_seconds is None or took >= task.timeout_seconds:
                raise
            # Prefect names the limit of the task, whichever limit it was
            raise TaskRunTimeoutError(
                f"A time limit around the phase '{task.name}' has ended it after {took:.0f} s, such as the "
                "timeout_seconds that with_options() gave to the flow. What was staged is kept: a retry uploads it."
            ) from None
        except Exception:
            # an error that is not a phase's is Prefect's own, unless the user's code raised it
            if _may_be_repeated(phase, args) and server_is_away():
                logger.info("Prefect's server is away: this phase runs without a task.")
                return phase(*args)
            raise


def _may_be_repeated(phase: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    if phase is not run_user_code:
        return True
    context = args[0]
    return isinstance(context, Context) and context.writer is None and entry_of(context).user_code == "idle"
