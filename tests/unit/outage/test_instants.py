"""What a server refuses for an instant is tried again after one, and what it refuses for longer as Prefect does it."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from deriva_ml_prefect.outage.instants import INSTANTS, ask_again_soon, come_through


class Busy(http.server.BaseHTTPRequestHandler):
    """Has never time; on some paths it says when it will have."""

    protocol_version = "HTTP/1.1"
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        at_last = self.path.endswith("/at-last") and len(self.asked) == 8
        self.send_response(200 if at_last else 404 if self.path.endswith("/missing") else 503)
        if self.path.endswith("/later"):
            self.send_header("Retry-After", "0.01")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002


@pytest.fixture
def client() -> Iterator[SyncPrefectClient]:
    Busy.asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Busy)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    client = SyncPrefectClient(f"http://127.0.0.1:{server.server_port}/api", server_type="server")
    ask_again_soon(client)
    ask_again_soon(client)
    yield client
    server.shutdown()
    server.server_close()
    thread.join()


def refusal(client: SyncPrefectClient, path: str, tries: int) -> dict[str, str]:
    """The headers of the last of so many refusals."""
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: tries - 1}),
        pytest.raises(PrefectHTTPStatusError) as refused,
    ):
        client.request("GET", path)
    return dict(refused.value.response.headers)


@pytest.mark.parametrize("tries", range(1, len(INSTANTS) + 1))
def test_an_instant_that_grows(client: SyncPrefectClient, tries: int) -> None:
    assert refusal(client, "/busy", tries)["retry-after"] == str(INSTANTS[tries - 1])
    assert len(Busy.asked) == tries


def test_a_server_that_says_when_is_right(client: SyncPrefectClient) -> None:
    assert refusal(client, "/later", 3)["retry-after"] == "0.01"
    assert len(Busy.asked) == 3


def test_another_answer_is_none_to_repeat(client: SyncPrefectClient) -> None:
    assert "retry-after" not in refusal(client, "/missing", 3)
    assert len(Busy.asked) == 1


def test_what_must_come_through_does(client: SyncPrefectClient) -> None:
    """The client itself would give up after six refusals."""
    assert come_through(lambda: client.request("GET", "/at-last")).status_code == 200
    assert len(Busy.asked) == 8


def test_an_error_is_none_to_try_again(client: SyncPrefectClient) -> None:
    with pytest.raises(PrefectHTTPStatusError):
        come_through(lambda: client.request("GET", "/missing"))
    assert len(Busy.asked) == 1
