"""Fuzzing: how many examples, and a bare client that sends a URL as it is.

EMBEDDED_FUZZ=N multiplies the examples by N and draws new ones each time; without it they are the same in every run.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("EMBEDDED_FUZZ", "1"))


def examples(count: int) -> settings:
    """So many examples, the same in every run, unless EMBEDDED_FUZZ asks for more and for others."""
    return settings(
        max_examples=count * TIMES,
        derandomize="EMBEDDED_FUZZ" not in os.environ,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@dataclass
class Wire:
    """A kept connection; `ask` gives status and body."""

    connection: http.client.HTTPConnection
    token: str
    catalog: str = ""

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        sent = {"authorization": f"Bearer {self.token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        try:
            self.connection.request(method, path, body, sent)
            answer = self.connection.getresponse()
            return answer.status, answer.read()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            self.connection.close()
            raise AssertionError(f"{method} {path!r} was not answered") from error

    def json(self, method: str, path: str, document: Any = None) -> Any:
        """The answer of a request below the catalog that has to succeed."""
        body = None if document is None else json.dumps(document).encode()
        status, content = self.ask(method, self.catalog + path, body, content_type="application/json")
        assert status < 300, f"{method} {path}: {status} {content[:300]!r}"
        return json.loads(content) if content else None

    def healthy(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """The answer, which must not be a failure of the server; 501 must name what is not there."""
        status, content = self.ask(method, path, body, **headers)
        assert status < 500 or status == 501, f"{method} {path!r} {body!r:.300}: {status} {content[:500]!r}"
        if status == 501 and method != "HEAD":
            assert b"not " in content, content
        return status, content


@pytest.fixture(scope="module")
def wire(embedded_server: Any) -> Iterator[Wire]:
    """A client with a catalog of its own, which has a schema `S`."""
    where = urlsplit(embedded_server.url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=60)
    wire = Wire(connection, embedded_server.token)
    _, made = wire.ask("POST", "/ermrest/catalog")
    wire.catalog = f"/ermrest/catalog/{json.loads(made)['id']}"
    wire.json("POST", "/schema/S")
    yield wire
    connection.close()
