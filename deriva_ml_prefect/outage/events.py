"""Events that wait for a server that is away, and hold up neither the run nor the end of its process.

Prefect's own client keeps what it could not send, and sends it with its next connection; but it tries each event for
seven seconds, and says so of each. Here it tries once more, looks again every few seconds, and is quiet about it.
"""

from __future__ import annotations

import logging
from typing import Any

from prefect.events.clients import PrefectEventsClient
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL

AGAIN_SECONDS = 5.0
"""How often a client that could not send looks whether the server is back, s."""
_QUIET = {
    "prefect.events.clients": ("Unable to connect to", "Time-based checkpoint failed"),
    "prefect._internal.concurrency": ("Service %r failed to process item", "Service %r failed with"),
    "EventsWorker": ("Still processing items",),
}
"""What Prefect says of events that it cannot send, by its loggers. That is said once, at the end of the run."""


class _Quiet(logging.Filter):
    """Lets everything through but lines about events that wait."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith(_QUIET[record.name])


_quiet = _Quiet()


def let_events_wait() -> None:
    """From here on, events of this process go through such a client."""
    options: dict[str, Any] = {"reconnection_attempts": 1, "checkpoint_interval": AGAIN_SECONDS}
    EventsWorker.set_client_override(PrefectEventsClient, api_url=str(PREFECT_API_URL.value()), **options)
    for name in _QUIET:
        logging.getLogger(name).addFilter(_quiet)


def send_events_as_usual() -> None:
    """Give the events back to Prefect's own choice."""
    EventsWorker.set_client_override(None)
    for name in _QUIET:
        logging.getLogger(name).removeFilter(_quiet)


def events_are_ours() -> bool:
    """Whether nobody else, as a pool of processes, has made another choice."""
    override = getattr(EventsWorker, "_client_override", None)
    return override is None or override[0] is PrefectEventsClient
