"""An embedded DERIVA as a process of its own, on a free loopback port and a temporary data folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from deriva_ml_prefect.embedded.authn import add_token, read_tokens

START_SECONDS = 20.0


@dataclass
class EmbeddedServer:
    """A running server and its two identities."""

    url: str
    data: Path
    token: str
    token2: str
    process: subprocess.Popen[bytes]

    def client(self, token: str | None = None) -> httpx.Client:
        """An HTTP client of the owner, of the given token, or ('') of nobody."""
        token = self.token if token is None else token
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)


def start_server(data: Path, *, idle_minutes: float = 10.0) -> EmbeddedServer:
    """Start a server on a data folder and wait until it is ready."""
    command = [sys.executable, "-m", "deriva_ml_prefect.embedded", "--data", str(data)]
    data.mkdir(parents=True, exist_ok=True)
    with (data / "stderr.txt").open("ab") as log:
        process = subprocess.Popen([*command, "--idle-minutes", str(idle_minutes)], stdout=log, stderr=log)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            state = json.loads((data / "server.json").read_text())
            if state["pid"] == process.pid:
                token2 = read_tokens(data).get("second") or add_token(data, "second")
                return EmbeddedServer(state["url"], data, read_tokens(data)["owner"], token2, process)
        except FileNotFoundError:
            pass
        time.sleep(0.02)
    raise AssertionError(f"the server did not start: {(data / 'stderr.txt').read_text()}")


def end_server(server: EmbeddedServer, number: int = signal.SIGTERM) -> int:
    """End a server by its process id; returns its exit status."""
    if server.process.poll() is None:
        os.kill(server.process.pid, number)
    return server.process.wait(timeout=20)


@pytest.fixture(scope="session")
def embedded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    server = start_server(tmp_path_factory.mktemp("embedded"))
    yield server
    end_server(server)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server of one test alone, which may kill it."""
    server = start_server(tmp_path / "data")
    yield server
    end_server(server)
