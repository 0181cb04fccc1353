"""The end of a flow run, told to a server that may be away.

    survive_outage("Execution 1-ABCD is Uploaded in the catalog.")

From there the end of the flow run around the call is told as long as `PATIENCE` lasts. After that the run ends without
having told it, and one line says so; `missed.tell_missed_ends` tells it later.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any, cast
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, SyncPrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.client.schemas.responses import OrchestrationResult, SetStateStatus, StateAcceptDetails
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_REQUEST_TIMEOUT

from deriva_ml_prefect.outage.lines import seconds_away
from deriva_ml_prefect.outage.settings import single_requests

logger = logging.getLogger(__name__)

PATIENCE = 20.0
"""Seconds for which a server that is away is told the end of a run again, if it was there until then."""
BUSY_PATIENCE = 60.0
"""The same for a server that is there, and has no time. One on SQLite may keep a request for as long as the client
waits: then this counts from there on."""
_PAUSE = 2.0
_BUSY = (408, 429, 500, 502, 503, 504)
_putting = threading.Lock()


def server_is_away() -> bool:
    """Whether the server does not answer at this moment."""
    try:
        with single_requests(), get_client(sync_client=True) as client:
            return client.api_healthcheck() is not None
    # a client that cannot even be made has no server
    except Exception:  # noqa: BLE001
        return True


class _Ends:
    """The ends of some flow runs, told to a server that may be away; one for each of Prefect's clients."""

    def __init__(self, client: PrefectClient | SyncPrefectClient) -> None:
        self.ids: set[UUID] = set()
        self.about: dict[UUID, str] = {}
        self._client = client
        self._tell = client.set_flow_run_state
        self._away = False

    def tell(self, flow_run_id: UUID | str, state: State[Any], force: bool = False) -> Any:
        """As the client's own `set_flow_run_state`."""
        if not self._is_end(flow_run_id, state):
            return self._tell(flow_run_id, state, force=force)
        began, patience = time.monotonic(), max(0.0, PATIENCE - seconds_away())
        with single_requests():
            while True:
                try:
                    return self._told(self._tell(flow_run_id, state, force=force))
                # what is not trouble of the server goes on to the engine
                except Exception as e:
                    away = not _says_so(e) and self._client.api_healthcheck() is not None
                    if not (away or _is_trouble(e)):
                        raise
                    if time.monotonic() > began + self._patience(e, patience if away else BUSY_PATIENCE):
                        return self._go_on_untold(flow_run_id, state, e)
                    time.sleep(_PAUSE)

    async def tell_async(self, flow_run_id: UUID | str, state: State[Any], force: bool = False) -> Any:
        """As that of an asynchronous client."""
        if not self._is_end(flow_run_id, state):
            return await cast("Any", self._tell(flow_run_id, state, force=force))
        began, patience = time.monotonic(), max(0.0, PATIENCE - seconds_away())
        with single_requests():
            while True:
                try:
                    return self._told(await cast("Any", self._tell(flow_run_id, state, force=force)))
                # as above
                except Exception as e:
                    away = not _says_so(e) and await cast("Any", self._client.api_healthcheck()) is not None
                    if not (away or _is_trouble(e)):
                        raise
                    if time.monotonic() > began + self._patience(e, patience if away else BUSY_PATIENCE):
                        return self._go_on_untold(flow_run_id, state, e)
                    await asyncio.sleep(_PAUSE)

    def _is_end(self, flow_run_id: UUID | str, state: State[Any]) -> bool:
        return state.is_final() and UUID(str(flow_run_id)) in self.ids

    def _patience(self, error: Exception, patience: float) -> float:
        """For how long the server is asked again after such an error, s."""
        if self._away or isinstance(error, ObjectNotFound):
            return 0.0
        if isinstance(error, httpx.TimeoutException):
            return patience + float(PREFECT_API_REQUEST_TIMEOUT.value())
        return patience

    def _told(self, result: Any) -> Any:
        self._away = False
        return result

    def _go_on_untold(self, flow_run_id: UUID | str, state: State[Any], error: Exception) -> OrchestrationResult[Any]:
        self._away = True
        about = self.about.get(UUID(str(flow_run_id)))
        if about is not None:
            logger.warning(
                "Prefect was not told that flow run %s is %s, since its server is away or does not answer (%s). %s",
                *(flow_run_id, state.name, type(error).__name__, about),
            )
        return OrchestrationResult(state=state, status=SetStateStatus.ACCEPT, details=StateAcceptDetails())


def _says_so(error: Exception) -> bool:
    """Whether the answer itself means that this server cannot be told: it is busy, or has lost its database."""
    if isinstance(error, PrefectHTTPStatusError):
        return error.response.status_code in _BUSY
    return isinstance(error, ObjectNotFound)


def _is_trouble(error: Exception) -> bool:
    """Whether it is the server, or the way to it, that is not well; the request itself is in order."""
    return _says_so(error) or isinstance(error, httpx.TransportError)


def survive_outage(about: str | None = None) -> None:
    """From here to the end of the flow run around this, its end does not depend on a server that answers.

    `about` is added to the line that says that it was not told; without it nothing is said.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.client is None:
        return
    client: Any = context.client
    with _putting:
        ends = getattr(client.set_flow_run_state, "__self__", None)
        if not isinstance(ends, _Ends):
            ends = _Ends(client)
            # an attribute of this one client: the engine that ends the run has it already, and asks no other
            client.set_flow_run_state = ends.tell_async if isinstance(client, PrefectClient) else ends.tell
    ends.ids.add(context.flow_run.id)
    if about is not None:
        ends.about[context.flow_run.id] = about
