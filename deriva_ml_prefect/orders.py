"""What a person asks of a flow run while it runs: read in Prefect between phases, and obeyed.

    with heed(flow_run) as orders:
        conduct(request, orders.translating(code), call=orders.around(run_phase))

Prefect stops a run that is cancelled only where a worker or runner can signal its process, and leaves to the run what
is set otherwise. So the state is read before each phase: cancelled, paused, suspended, or set to Failed by hand.
Crashed is no order: it is what a machine takes for true that has not heard of the run for a while. Neither is the
failure of a second process that was then started for the run. A thread reads it
too, so that the catalog says of a run that waits for a person that it does.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import Pause, TerminationSignal
from prefect.settings import PREFECT_RUNNER_POLL_FREQUENCY
from prefect.states import Running

from deriva_ml_prefect.outage.code_call import code_run_name
from deriva_ml_prefect.outage.settings import prompt_answers, single_requests
from deriva_ml_prefect.phases.begin import begin_execution
from deriva_ml_prefect.phases.context import Context, writer_elsewhere
from deriva_ml_prefect.phases.interrupt import (
    ExecutionCancelled,
    ExecutionDisowned,
    ExecutionSuspended,
    tell_of_pause,
)
from deriva_ml_prefect.phases.lifecycle import Call
from deriva_ml_prefect.phases.run import run_user_code

T = TypeVar("T")
logger = logging.getLogger(__name__)

ANSWER_SECONDS = 5.0
"""How long one look at Prefect may take; a server that does not answer in time has no orders."""
AGAIN_SECONDS = 10.0
"""How long a server that gave no answer is left alone."""
LOOK_SECONDS = 1.0
"""A look that is younger holds for the next phase too: short runs ask nothing."""
CODE_SECONDS = 0.05
"""The same for the look between the code and the upload: in code that is so short nobody asks for anything."""
_CANCELLED = (StateType.CANCELLING, StateType.CANCELLED)


class SuspendedRun(ExecutionSuspended, Pause):
    """Prefect's signal that a run leaves its process, as the phases understand it."""


class CancelledBySignal(ExecutionCancelled, TerminationSignal):
    """The signal by which a runner ends a run that is cancelled."""

    def __str__(self) -> str:
        return "the flow run was cancelled in Prefect"


def suspension(pause: Pause) -> SuspendedRun:
    """Prefect's signal, as the phases understand it."""
    return SuspendedRun(
        "the flow run was suspended in Prefect, and goes on when it is resumed there", state=pause.state
    )


@contextmanager
def heed(flow_run: FlowRun) -> Iterator[Orders]:
    """Read what is asked of a flow run as long as the block lasts."""
    orders = Orders(flow_run)
    try:
        yield orders
    finally:
        orders.end()


class Orders:
    """What is asked of one flow run."""

    def __init__(self, flow_run: FlowRun) -> None:
        self._id: UUID = flow_run.id
        # the run and those within it; the client's own filters cannot say "or"
        self._asked = {
            "flow_runs": {
                "operator": "or_",
                "id": {"any_": [str(self._id)]},
                "parent_flow_run_id": {"any_": [str(self._id)]},
            },
            "sort": "EXPECTED_START_TIME_DESC",
        }
        self._deployed = flow_run.deployment_id is not None
        self._context: Context | None = None
        self._client: SyncPrefectClient | None = None
        self._reading = threading.Lock()
        # the engine has just told Prefect that the run is Running
        self._looked_at = time.monotonic()
        self._ask_at = 0.0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def around(self, call: Call) -> Call:
        """The same way of calling phases, which raises an `Interruption` where one is asked for."""

        def heeding(phase: Callable[..., T], /, *args: Any) -> T:
            if self._context is not None:
                self._obey(LOOK_SECONDS)
            with self._translated():
                result = call(phase, *args)
            if phase is begin_execution and isinstance(result, Context):
                self._begin(result)
            if phase is run_user_code:
                # the last moment before the upload begins
                self._obey(CODE_SECONDS)
            return result

        return heeding

    def translating(self, code: Callable[[Context], T]) -> Callable[[Context], T]:
        """The user's code, out of which Prefect's signals come as phases understand them."""

        def translated(context: Context) -> T:
            with self._translated():
                return code(context)

        return translated

    def end(self) -> None:
        """Read no more."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(ANSWER_SECONDS)
        if self._client is not None and not (self._thread and self._thread.is_alive()):
            self._client.__exit__(None, None, None)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except ExecutionSuspended:
            raise
        except Pause as e:
            raise suspension(e) from e
        except ExecutionCancelled:
            raise
        except TerminationSignal as e:
            states = self._read()
            if states and states[0].type in _CANCELLED:
                raise CancelledBySignal(e.signal) from e
            raise

    def _begin(self, context: Context) -> None:
        if context.dry_run or writer_elsewhere(context) is not None:
            return
        self._context = context
        self._thread = threading.Thread(target=self._keep_looking, name=f"orders-{context.rid}", daemon=True)
        self._thread.start()

    def _obey(self, young: float) -> None:
        """Raise what is asked for, unless that was looked at less than `young` ago; wait while the run is paused."""
        if self._context is None or time.monotonic() - self._looked_at < young:
            return
        while states := self._read():
            self._looked_at = time.monotonic()
            run = states[0]
            if any(state.type in _CANCELLED for state in states):
                raise ExecutionCancelled(f"the flow run {self._id} was cancelled in Prefect")
            if run.type is StateType.FAILED and not self._is_of_a_second_start(run):
                why = f" ({run.message})" if run.message else ""
                raise ExecutionDisowned(
                    f"flow run {self._id} was set to Failed in Prefect{why}; what it staged is kept: "
                    f"deriva-ml-prefect resume {self._context.rid}"
                )
            leaves = bool(run.state_details.pause_reschedule)
            if run.type is StateType.PAUSED and leaves and self._deployed:
                raise suspension(Pause(state=run))
            if run.type is StateType.PAUSED and leaves:
                self._refuse_suspension()
                return
            self._tell(states)
            if run.type is not StateType.PAUSED:
                return
            self._ended.wait(_poll_seconds())

    def _is_of_a_second_start(self, state: State[Any]) -> bool:
        """Whether a second process was started for this run, and was refused since this one is at work on it."""
        assert self._context is not None
        return f"Execution {self._context.rid} is owned by process {os.getpid()} on " in (state.message or "")

    def _refuse_suspension(self) -> None:
        """A run that no deployment starts again would be lost if it left its process."""
        logger.warning("Flow run %s has no deployment that could start it again, so it is not suspended.", self._id)
        with self._asking() as client:
            client.set_flow_run_state(self._id, Running(message="A run without a deployment goes on"), force=True)

    def _keep_looking(self) -> None:
        while not self._ended.wait(_poll_seconds()):
            states = self._read()
            if states and not self._ended.is_set():
                self._tell(states)

    def _tell(self, states: list[State[Any]]) -> None:
        context = self._context
        if context is None:
            return
        paused = any(state.type is StateType.PAUSED for state in states)
        leaves = any(state.state_details.pause_reschedule for state in states)
        how = "its code comes to the next task, or its end, first" if leaves else "resume the flow run in Prefect"
        try:
            tell_of_pause(context, paused=paused, how=how)
        # the run does not depend on what its catalog says of a pause; a phase may have changed the status just now
        except Exception as e:  # noqa: BLE001
            logger.debug("Execution %s: %s", context.rid, e)

    def _read(self) -> list[State[Any]]:
        """The state of the flow run, and of the run of its code; nothing when Prefect does not answer."""
        if time.monotonic() < self._ask_at:
            return []
        try:
            with self._asking() as client:
                answer = client.request("POST", "/flow_runs/filter", json=self._asked)
                answer.raise_for_status()
                runs = [FlowRun.model_validate(run) for run in answer.json()]
        # whatever is wrong with Prefect, the execution goes on without its orders
        except Exception as e:  # noqa: BLE001
            logger.debug("Prefect was not asked about flow run %s: %s", self._id, e)
            self._ask_at = time.monotonic() + AGAIN_SECONDS
            return []
        around = [run for run in runs if run.id == self._id]
        # the latest comes first
        code = [run for run in runs if self._context and run.name == code_run_name(self._context.rid)][:1]
        return [run.state for run in around + code if run.state is not None] if around else []

    @contextmanager
    def _asking(self) -> Iterator[SyncPrefectClient]:
        """A client that asks once, for one thread at a time."""
        with self._reading, single_requests(), prompt_answers(ANSWER_SECONDS):
            if self._client is None:
                self._client = get_client(sync_client=True).__enter__()
            yield self._client


def _poll_seconds() -> float:
    return float(PREFECT_RUNNER_POLL_FREQUENCY.value())
