"""Log lines that wait for a server that is away, and are dropped with the process if it does not come back."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections import deque
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.context import SyncClientContext
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL

from deriva_ml_prefect.outage.settings import single_requests

logger = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds for which lines are collected before they are sent together."""
AGAIN_SECONDS = 5.0
"""Pause after the server could not be reached."""
BUSY_SECONDS = 0.5
"""Pause after it said that it is busy, and whenever the end of the process waits."""
MOST = 50_000
"""Lines that wait at most; the oldest are dropped."""
_AT_ONCE = 500
_BUSY = (408, 429, 500, 502, 503, 504)
_SIZE = "__payload_size__"
"""What Prefect's handler notes in a line for its own sender."""


class WaitingLines:
    """Lines for one server, and the thread that sends them."""

    def __init__(self) -> None:
        self._lines: deque[dict[str, Any]] = deque(maxlen=MOST)
        self._changed = threading.Condition()
        self._sending = False
        self._hurry = False
        self._pause = INTERVAL
        self._in_vain = 0
        """How often the server could not be reached."""
        self.away_since: float | None = None
        """Monotonic time since when no line could be sent."""
        around = contextvars.copy_context()
        threading.Thread(target=lambda: around.run(self._keep_sending), name="prefect-log-lines", daemon=True).start()

    def take(self, line: dict[str, Any]) -> None:
        """A line as Prefect's handler makes it."""
        with self._changed:
            self._lines.append({name: value for name, value in line.items() if name != _SIZE})
            self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until all lines are sent, unless the server is away; whether they are.

        One that is busy is waited for. That it was away before does not count: it is asked once more.
        """
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            # a request that is under way began before
            enough = self._in_vain + (2 if self._sending else 1)
            self._changed.wait_for(lambda: self._in_vain >= enough or not (self._lines or self._sending), seconds)
            self._hurry = False
            return not (self._lines or self._sending)

    def _keep_sending(self) -> None:
        client: SyncPrefectClient | None = None
        # the flow run that this thread was begun in closes its client at its end: lines have one of their own
        SyncClientContext.__var__.set(None)  # type: ignore[arg-type]
        failed = False
        while True:
            if failed:
                # whoever is in a hurry asks again at once, but not all the time
                time.sleep(BUSY_SECONDS)
            with self._changed:
                self._changed.wait_for(lambda: bool(self._lines))
                self._changed.wait_for(lambda: self._hurry, self._pause)
                batch = [self._lines.popleft() for _ in range(min(_AT_ONCE, len(self._lines)))]
                self._sending = True
            error: Exception | None = None
            try:
                with single_requests():
                    if client is None:
                        client = get_client(sync_client=True).__enter__()
                    client.create_logs(batch)
            # lines are for people who look at Prefect: without Prefect nobody looks
            except Exception as e:  # noqa: BLE001
                error = e
                logger.debug("Log lines wait for Prefect: %s", e, extra={"send_to_api": False})
            with self._changed:
                failed = error is not None
                self._take_note(error)
                if failed:
                    self._lines.extendleft(reversed(batch))
                self._changed.notify_all()

    def _take_note(self, error: Exception | None) -> None:
        """What became of a request."""
        self._sending = False
        if error is None or _is_busy(error):
            self.away_since = None
            self._pause = INTERVAL if error is None else BUSY_SECONDS
        else:
            self.away_since = self.away_since or time.monotonic()
            self._pause = AGAIN_SECONDS
            self._in_vain += 1


def _is_busy(error: Exception) -> bool:
    """Whether the server answers, and would take the lines at another time."""
    return isinstance(error, PrefectHTTPStatusError) and error.response.status_code in _BUSY


_waiting: dict[str, WaitingLines] = {}
_lock = threading.Lock()


def take_line(line: dict[str, Any]) -> None:
    """Take a line for the server that is configured where it was written."""
    lines_for(str(PREFECT_API_URL.value())).take(line)


def lines_for(url: str) -> WaitingLines:
    with _lock:
        if url not in _waiting:
            _waiting[url] = WaitingLines()
        return _waiting[url]


def seconds_away() -> float:
    """For how long the server that is configured here has taken no line; 0 if it takes them."""
    with _lock:
        waiting = _waiting.get(str(PREFECT_API_URL.value()))
    since = waiting.away_since if waiting else None
    return 0.0 if since is None else time.monotonic() - since


def flush_lines(seconds: float) -> bool:
    """Wait for the lines of this moment; whether the server has them."""
    until = time.monotonic() + seconds
    with _lock:
        waiting = list(_waiting.values())
    # each of them: one that is away does not spare the others
    sent = [each.flush(max(0.0, until - time.monotonic())) for each in waiting]
    return all(sent)
