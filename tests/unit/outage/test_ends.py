"""The end of a flow run, told with Prefect's own client to servers that are not well."""

from __future__ import annotations

import asyncio
import http.server
import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.responses import SetStateStatus
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_REQUEST_TIMEOUT, PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Running

from deriva_ml_prefect.outage import ends, lines
from tests.prefect_process import free_port, wait_until

SILENCE = 0
"""Instead of a status: no answer while the client waits."""


class Server(http.server.ThreadingHTTPServer):
    """Answers every POST with one status, and keeps what it was sent."""

    daemon_threads = True

    def __init__(self, port: int, status: int, *, at_first: tuple[int, ...] = ()) -> None:
        self.status = status
        self.at_first = list(at_first)
        """Statuses of its first answers."""
        self.posted: list[tuple[str, Any]] = []
        super().__init__(("127.0.0.1", port), Answer)


class Answer(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        # a server that is older than CSRF tokens says so like this
        health = self.path.endswith("/health")
        self._answer(200 if health else 404, b"true" if health else b"{}")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posted.append((self.path, body))
        if "refused" in [line.get("message") for line in body if isinstance(body, list)]:
            self._answer(422, b"{}")
            return
        status = self.server.at_first.pop(0) if self.server.at_first else self.server.status
        if status == SILENCE:
            time.sleep(2)
        else:
            self._answer(status, b"{}")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None: ...


@contextmanager
def serving(port: int, status: int, *, at_first: tuple[int, ...] = ()) -> Iterator[Server]:
    with Server(port, status, at_first=at_first) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(ends, "PATIENCE", 0.0)
    monkeypatch.setattr(ends, "BUSY_PATIENCE", 0.0)
    chosen = free_port()
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{chosen}/api"}):
        yield chosen


def shielded(client: SyncPrefectClient) -> tuple[Any, UUID]:
    made = ends._Ends(client)
    run_id = uuid4()
    made.ids.add(run_id)
    made.about[run_id] = "Execution 1-ABCD is Uploaded."
    return made, run_id


def test_an_end_that_nobody_hears_is_accepted_and_said_once(port: int, caplog: pytest.LogCaptureFixture) -> None:
    made, run_id = shielded(get_client(sync_client=True))
    with caplog.at_level(logging.WARNING, logger="deriva_ml_prefect"):
        told = made.tell(run_id, Completed())
    assert told.status is SetStateStatus.ACCEPT
    assert told.state.is_completed()
    (line,) = [record.getMessage() for record in caplog.records if record.name == "deriva_ml_prefect.outage.ends"]
    assert "Prefect was not told" in line
    assert line.endswith("Execution 1-ABCD is Uploaded.")


@pytest.mark.parametrize("status", [503, 404])
def test_a_server_that_is_busy_or_has_lost_its_database_is_not_told_either(port: int, status: int) -> None:
    with serving(port, status) as server:
        made, run_id = shielded(get_client(sync_client=True))
        assert made.tell(run_id, Completed()).status is SetStateStatus.ACCEPT
        assert len(server.posted) == 1


def test_a_busy_server_is_told_when_it_listens(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "BUSY_PATIENCE", 20.0)
    monkeypatch.setattr(ends, "_PAUSE", 0.01)
    with serving(port, 404, at_first=(503, 502, 503)) as server:
        made, run_id = shielded(get_client(sync_client=True))
        # 404 is the end of it: there is no such run in this server
        assert made.tell(run_id, Completed()).status is SetStateStatus.ACCEPT
        assert len(server.posted) == 4


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_server_that_keeps_a_request_for_too_long_is_told_again(
    port: int, monkeypatch: pytest.MonkeyPatch, asynchronous: bool
) -> None:
    """A server on SQLite that has no time: it lives, and lets the client wait until it gives up."""
    monkeypatch.setattr(ends, "BUSY_PATIENCE", 5.0)
    monkeypatch.setattr(ends, "_PAUSE", 0.01)
    with temporary_settings({PREFECT_API_REQUEST_TIMEOUT: 0.5}), serving(port, 404, at_first=(SILENCE, 503)) as server:
        made, run_id = shielded(get_client(sync_client=not asynchronous))
        told = asyncio.run(made.tell_async(run_id, Completed())) if asynchronous else made.tell(run_id, Completed())
        assert told.status is SetStateStatus.ACCEPT
        assert len(server.posted) == 3


def test_a_server_that_never_answers_fails_no_run(port: int, caplog: pytest.LogCaptureFixture) -> None:
    with temporary_settings({PREFECT_API_REQUEST_TIMEOUT: 0.5}), serving(port, SILENCE):
        made, run_id = shielded(get_client(sync_client=True))
        assert made.tell(run_id, Completed()).status is SetStateStatus.ACCEPT
    assert "since its server is away or does not answer (ReadTimeout)" in caplog.text


def test_a_server_that_refuses_the_state_is_heard(port: int) -> None:
    with serving(port, 422):
        made, run_id = shielded(get_client(sync_client=True))
        with pytest.raises(PrefectHTTPStatusError):
            made.tell(run_id, Completed())


def test_other_runs_and_other_states_are_prefects_own(port: int) -> None:
    with serving(port, 422):
        made, run_id = shielded(get_client(sync_client=True))
        with pytest.raises(PrefectHTTPStatusError):
            made.tell(run_id, Running())
        with pytest.raises(PrefectHTTPStatusError):
            made.tell(uuid4(), Completed())


def test_lines_wait_for_the_server_in_their_order(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "INTERVAL", 0.05)
    monkeypatch.setattr(lines, "AGAIN_SECONDS", 0.2)
    waiting = lines.lines_for(str(PREFECT_API_URL.value()))
    for number in range(3):
        waiting.take({"message": f"line {number}", "__payload_size__": 10})
    assert not waiting.flush(5.0)
    assert lines.seconds_away() > 0
    with serving(port, 201) as server:
        waiting.take({"message": "line 3"})
        wait_until(lambda: waiting.flush(0.2), "the lines", 20)
        sent = [line["message"] for path, batch in server.posted if path == "/api/logs/" for line in batch]
    assert sent == ["line 0", "line 1", "line 2", "line 3"]
    assert lines.seconds_away() == 0


def test_lines_reach_a_server_that_is_busy_when_the_process_ends(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(lines, "AGAIN_SECONDS", 60.0)
    waiting = lines.lines_for(str(PREFECT_API_URL.value()))
    with serving(port, 201, at_first=(503, 503, 500)) as server:
        waiting.take({"message": "the last word"})
        assert waiting.flush(20.0)
        assert [path for path, _ in server.posted] == ["/api/logs/"] * 4
    # one that was away a moment ago is asked once more, and not longer
    waiting.take({"message": "to nobody"})
    assert not waiting.flush(20.0)
    with serving(port, 201) as server:
        assert waiting.flush(20.0)
        assert [batch for _, batch in server.posted] == [[{"message": "to nobody"}]]


def test_a_line_that_the_server_refuses_holds_up_no_other(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "INTERVAL", 0.01)
    waiting = lines.lines_for(str(PREFECT_API_URL.value()))
    messages = [*(f"line {number}" for number in range(20)), "refused", *(f"line {number}" for number in range(20, 30))]
    with serving(port, 201) as server:
        for message in messages:
            waiting.take({"message": message})
        assert waiting.flush(20.0)
        taken = [line["message"] for _, batch in server.posted if {"message": "refused"} not in batch for line in batch]
    assert taken == [message for message in messages if message != "refused"]
    assert lines.seconds_away() == 0
