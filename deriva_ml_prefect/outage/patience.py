"""Events and log lines of a run wait for Prefect's server while it is away."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.events.worker import emit_events_to_cloud
from prefect.logging import handlers
from prefect.settings import PREFECT_API_URL

from deriva_ml_prefect.outage.events import events_are_ours, let_events_wait, send_events_as_usual
from deriva_ml_prefect.outage.lines import flush_lines, seconds_away, take_line

EXIT_SECONDS = 20.0
"""How long the end of the process waits for a server that is there, and busy, to take its log lines."""
_lock = threading.Lock()
_inside = 0


@contextmanager
def patient() -> Iterator[None]:
    """Inside, events and log lines wait for the server, and hold nothing up; afterwards too, if it is away then."""
    global _inside
    if not _can_be_patient():
        yield
        return
    with _lock:
        _inside += 1
        let_events_wait()
        if getattr(handlers, "_api_log_sink", None) is None:
            handlers.set_api_log_sink(take_line)
            atexit.register(flush_lines, EXIT_SECONDS)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside and not seconds_away():
                send_events_as_usual()


def _can_be_patient() -> bool:
    """Not where Prefect has put others there (in the processes of a pool), nor with a server that this process has."""
    if not PREFECT_API_URL.value() or emit_events_to_cloud():
        return False
    sink = getattr(handlers, "_api_log_sink", None)
    return events_are_ours() and (sink is None or sink is take_line)
