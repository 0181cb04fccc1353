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
_REFUSED = (400, 413, 422)
"""Answers that are about the lines themselves: there are too many for a proxy, or one of them is not taken."""
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
        self._at_once = _AT_ONCE
        self._in_trouble = False
        """The last request found a server that is busy, or away."""
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
        while True:
            if self._in_trouble:
                # whoever is in a hurry asks again at once, but not all the time
                time.sleep(BUSY_SECONDS)
            with self._changed:
                self._changed.wait_for(lambda: bool(self._lines))
                self._changed.wait_for(self._is_time, self._pause)
                batch = [self._lines.popleft() for _ in range(min(self._at_once, len(self._lines)))]
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
                self._take_note(batch, error)
                self._changed.notify_all()

    def _is_time(self) -> bool:
        """Whether no more lines are waited for before some are sent."""
        return self._hurry or (len(self._lines) >= _AT_ONCE and not self._in_trouble)

    def _take_note(self, batch: list[dict[str, Any]], error: Exception | None) -> None:
        """What became of a request: its lines are sent, wait further on, or are sent in smaller parts."""
        self._sending = self._in_trouble = False
        status = error.response.status_code if isinstance(error, PrefectHTTPStatusError) else None
        if error is None:
            self.away_since, self._pause, self._at_once = None, INTERVAL, _AT_ONCE
            return
        if status in _REFUSED:
            self.away_since, self._pause, self._at_once = None, 0.0, max(1, len(batch) // 2)
            if len(batch) == 1:
                # it would hold up all that come after it
                return
        elif status in _BUSY:
            self.away_since, self._pause, self._in_trouble = None, BUSY_SECONDS, True
        else:
            self.away_since, self._pause, self._in_trouble = self.away_since or time.monotonic(), AGAIN_SECONDS, True
            self._in_vain += 1
        self._lines.extendleft(reversed(batch))


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
