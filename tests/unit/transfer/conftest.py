"""A server that answers as it is told to, faults included, over real sockets."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest


@dataclass
class Seen:
    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class ScriptedServer:
    """Gives the scripted answers one after the other, whatever is asked; an empty one closes the connection."""

    url: str = ""
    script: list[bytes] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0

    def plan(self, *answers: bytes) -> ScriptedServer:
        self.script = list(answers)
        return self


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        state: ScriptedServer = self.server.state
        state.connections += 1
        while line := self.rfile.readline().decode().strip():
            headers = {}
            while pair := self.rfile.readline().decode().strip():
                name, _, value = pair.partition(":")
                headers[name.lower()] = value.strip()
            body = self.rfile.read(int(headers.get("content-length", 0)))
            state.seen.append(Seen(line, headers, body))
            reply = state.script.pop(0)
            self.wfile.write(reply)
            self.wfile.flush()
            if not reply or b"X-Close" in reply:
                return


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with _Server(("127.0.0.1", 0), _Handler) as listening:
        state = ScriptedServer(url=f"http://127.0.0.1:{listening.server_address[1]}")
        listening.state = state
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield state
        listening.shutdown()
        thread.join()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def sleep(pauses: list[float]) -> Callable[[float], None]:
    return pauses.append
