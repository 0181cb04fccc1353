"""What every stop of the tour needs: deriva-py's own bindings of the running server, and catalogs of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from deriva.core import DEFAULT_SESSION_CONFIG, DerivaServer, ErmrestCatalog, HatracStore

QUICK = {**DEFAULT_SESSION_CONFIG, "retry_read": 0, "retry_connect": 0, "retry_status_forcelist": []}


@pytest.fixture(scope="session")
def host(embedded_server: Any) -> str:
    """`127.0.0.1:PORT`, as deriva-py names a server."""
    return str(urlsplit(embedded_server.url).netloc)


@pytest.fixture(scope="session")
def credentials(embedded_server: Any) -> dict[str, str]:
    return {"bearer-token": embedded_server.token}


@pytest.fixture(scope="session")
def server(host: str, credentials: dict[str, str]) -> DerivaServer:
    """The owner's binding; it never retries, so a 5xx shows."""
    return DerivaServer("http", host, credentials, session_config=QUICK)


@pytest.fixture
def stranger(host: str, embedded_server: Any) -> DerivaServer:
    """The binding of the identity without rights."""
    return DerivaServer("http", host, {"bearer-token": embedded_server.token2}, session_config=QUICK)


@pytest.fixture
def catalog(server: DerivaServer) -> Iterator[ErmrestCatalog]:
    """A new catalog with nothing in it but the schema `public`."""
    made = server.create_ermrest_catalog(name="a stop of the tour")
    yield made
    made.delete_ermrest_catalog(really=True)


@pytest.fixture
def store(host: str, credentials: dict[str, str]) -> HatracStore:
    return HatracStore("http", host, credentials, session_config=QUICK)
