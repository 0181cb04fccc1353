"""A server that is busy for an instant is asked again after one.

A Prefect server on SQLite refuses (503) a request that reads and then writes, when something else was written in
between, as the states of tasks are all the time. Prefect's client asks again after two seconds, then four, and a run
that is about to begin its code waits for as long. An instant is enough; a server that stays busy is left to the
client's own pauses.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import PrefectHTTPStatusError

from deriva_ml_prefect.outage.settings import few_requests

T = TypeVar("T")

INSTANTS = (0.02, 0.1, 0.5)
"""Seconds before the first repetitions; the client keeps to what an answer says."""
PATIENCE = 60.0
"""Seconds for which a request that must come through is tried again like this."""
_BUSY = 503
_TIMES = "times_refused"


def ask_again_soon(client: SyncPrefectClient) -> None:
    """From here on, this client asks a server that is busy again after an instant. Doing it twice changes nothing."""
    hooks = getattr(getattr(client, "_client", None), "event_hooks", None)
    if hooks is not None and _say_when not in hooks["response"]:
        client._client.event_hooks = {**hooks, "response": [*hooks["response"], _say_when]}


def come_through(request: Callable[[], T]) -> T:
    """What a request answers, by such a client, however often the server is busy for an instant.

    The client itself gives up after six refusals, and of many runs that begin at the same time one has as many.
    """
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            # the client waits after the last refusal, too
            with few_requests(len(INSTANTS)):
                return request()
        except PrefectHTTPStatusError as e:
            if e.response.status_code != _BUSY:
                raise
        # a server that is away is waited for as Prefect does it
        except Exception:  # noqa: BLE001
            break
    return request()


def _say_when(response: Any) -> None:
    """Have a refusal say when it may be tried again, if it does not say so itself."""
    if response.status_code != _BUSY or "Retry-After" in response.headers:
        return
    # each repetition sends the same request
    known = response.request.extensions
    times = known.get(_TIMES, 0)
    if times < len(INSTANTS):
        response.headers["Retry-After"] = str(INSTANTS[times])
        response.request.extensions = {**known, _TIMES: times + 1}
