"""What became of the user's function, whatever Prefect's engine made of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.states import Completed


@dataclass
class CodeCall:
    """One call of the user's function; with Prefect's `retries`, the last one."""

    began: bool = False
    returned: bool = False
    value: Any = None
    flow_run_id: UUID | None = None

    def begin(self) -> None:
        """The function is about to be called, perhaps again."""
        self.began, self.returned, self.value = True, False, None
        context = FlowRunContext.get()
        if context is not None and context.flow_run is not None:
            self.flow_run_id = context.flow_run.id

    def end(self, value: Any) -> Any:
        """The function has returned."""
        self.returned, self.value = True, value
        return value

    def complete_flow_run(self) -> None:
        """Tell Prefect that the run of the code is complete, if it can be told."""
        with suppress(Exception), get_client(sync_client=True) as client:
            client.set_flow_run_state(str(self.flow_run_id), Completed(), force=True)


_current: ContextVar[CodeCall] = ContextVar("code_call")


def current_code_call() -> CodeCall:
    """That of the execution whose code is being called."""
    return _current.get()


@contextmanager
def code_calling() -> Iterator[CodeCall]:
    """A new call, current in the block."""
    call = CodeCall()
    place = _current.set(call)
    try:
        yield call
    finally:
        _current.reset(place)


def code_run_name(rid: str) -> str:
    """Name of the flow run in which an execution's code runs."""
    return f"code of {rid}"
