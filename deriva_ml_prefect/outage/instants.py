"""A server that is busy for an instant is asked again after one.

A Prefect server on SQLite refuses (503) a request that reads and then writes, when something else was written in
between, as the states of tasks are all the time. Prefect's client asks again after two seconds, then four, and a run
that is about to begin its code waits for as long. An instant is enough; a server that stays busy is left to the
client's own pauses.
"""

from __future__ import annotations

from typing import Any

from prefect.client.orchestration import SyncPrefectClient

INSTANTS = (0.02, 0.1, 0.5)
"""Seconds before the first repetitions; the client keeps to what an answer says."""
_BUSY = 503
_TIMES = "times_refused"


def ask_again_soon(client: SyncPrefectClient) -> None:
    """From here on, this client asks a server that is busy again after an instant. Doing it twice changes nothing."""
    hooks = getattr(getattr(client, "_client", None), "event_hooks", None)
    if hooks is not None and _say_when not in hooks["response"]:
        client._client.event_hooks = {**hooks, "response": [*hooks["response"], _say_when]}


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
