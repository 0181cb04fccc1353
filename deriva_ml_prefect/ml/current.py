"""The execution that the running code belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deriva_ml_prefect.exceptions import DerivaMLExecutionError
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.rid import RID

if TYPE_CHECKING:
    from deriva_ml_prefect.ml.execution import Execution

_current: ContextVar[Execution | None] = ContextVar("deriva_ml_prefect_execution", default=None)


@dataclass(frozen=True)
class Place:
    """Where an execution that begins here stands in another one."""

    parent: RID
    address: Address
    sequence: int | None = None
    dry_run: bool = False


_place: ContextVar[Place | None] = ContextVar("deriva_ml_prefect_place", default=None)


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
    outer = _place.set(None)
    try:
        yield execution
    finally:
        _place.reset(outer)
        _current.reset(token)


@contextmanager
def use_place(place: Place) -> Iterator[None]:
    """Executions of decorated flows that begin inside are parts of that one, also in a process that does not own it."""
    token = _place.set(place)
    try:
        yield
    finally:
        _place.reset(token)


def current_place() -> Place | None:
    """What an execution that begins here is a part of: the place that was set, else the running execution."""
    if _place.get() is not None:
        return _place.get()
    parent = _current.get()
    if parent is None or parent.read_only:
        return None
    return Place(parent.execution_rid, parent.context.address, dry_run=parent.dry_run)
