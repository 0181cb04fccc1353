"""The execution that the running code belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from deriva_ml_prefect.exceptions import DerivaMLExecutionError

if TYPE_CHECKING:
    from deriva_ml_prefect.ml.execution import Execution

_current: ContextVar[Execution | None] = ContextVar("deriva_ml_prefect_execution", default=None)


def current_execution() -> Execution:
    """The execution of the `with` block or flow around this code; DerivaMLExecutionError outside of one."""
    execution = _current.get()
    if execution is None:
        raise DerivaMLExecutionError(
            "No execution is running here. Call this in a `with` block of an execution, or in a @deriva_execution flow."
        )
    return execution


@contextmanager
def use_execution(execution: Execution) -> Iterator[Execution]:
    """Make an execution the current one for the code inside."""
    token = _current.set(execution)
    try:
        yield execution
    finally:
        _current.reset(token)
