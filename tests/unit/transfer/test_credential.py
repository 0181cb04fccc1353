"""A credential that is refused is looked up once more; what it is never shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deriva_ml_prefect.exceptions import DerivaMLCredentialExpired
from deriva_ml_prefect.transfer.client import HttpClient
from deriva_ml_prefect.transfer.credential import Credential

OLD, NEW = {"bearer-token": "old-s3cret"}, {"bearer-token": "new-s3cret"}
REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno"
FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def client_of(server: Any, credential: Credential, sleep: Callable[[float], None]) -> HttpClient:
    return HttpClient(server.url, credential=credential, timeout=5, retries=3, sleep=sleep)


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_a_renewed_credential_is_used_at_once(
    server: Any, sleep: Callable[[float], None], pauses: list[float], method: str
) -> None:
    """Also for a POST: what was refused had no effect."""
    server.plan(REFUSED, FINE, FINE)
    client = client_of(server, Credential(OLD, lambda: NEW), sleep)
    assert client.request(method, "/x", content=b"body").attempts == 1
    client.request("GET", "/y")
    assert [seen.headers["authorization"] for seen in server.seen] == [
        "Bearer old-s3cret", "Bearer new-s3cret", "Bearer new-s3cret",
    ]  # fmt: skip
    assert pauses == []
    if method != "GET":
        assert [seen.body for seen in server.seen[:2]] == [b"body", b"body"]


def test_a_download_goes_on_with_a_renewed_credential(server: Any, sleep: Callable[[float], None]) -> None:
    server.plan(REFUSED, FINE)
    with client_of(server, Credential(OLD, lambda: NEW), sleep).stream("/x") as stream:
        assert b"".join(stream.pieces) == b"{}"
    assert server.seen[-1].headers["authorization"] == "Bearer new-s3cret"


@pytest.mark.parametrize("find", [None, lambda: None, dict, lambda: OLD])
def test_an_unchanged_credential_is_a_named_error_after_one_request(
    server: Any, sleep: Callable[[float], None], find: Any
) -> None:
    server.plan(REFUSED)
    client = client_of(server, Credential(OLD, find), sleep)
    with pytest.raises(DerivaMLCredentialExpired, match="Log in") as caught:
        client.request("PUT", "/x", content=b"")
    assert len(server.seen) == 1
    assert "s3cret" not in str(caught.value) + repr(client) + repr(client.credential)


def test_a_new_credential_that_is_refused_too_ends_it(server: Any, sleep: Callable[[float], None]) -> None:
    server.plan(REFUSED, REFUSED)
    with pytest.raises(DerivaMLCredentialExpired):
        client_of(server, Credential(OLD, lambda: NEW), sleep).request("GET", "/x")
    assert len(server.seen) == 2


@pytest.mark.parametrize("act", [lambda c: c.request("GET", "/x"), lambda c: c.stream("/x").__enter__()])
def test_ever_new_credentials_that_are_all_refused_end_it(
    server: Any, sleep: Callable[[float], None], act: Callable[[HttpClient], Any]
) -> None:
    """As from a refresh token, which gives another access token each time, for an account that the server bars."""
    numbers = iter(range(100))
    server.plan(*[REFUSED] * 50)
    client = client_of(server, Credential(OLD, lambda: {"bearer-token": f"t{next(numbers)}"}), sleep)
    with pytest.raises(DerivaMLCredentialExpired):
        act(client)
    assert len(server.seen) <= 3


def test_what_another_thread_found_is_not_looked_up_again() -> None:
    asked = []
    credential = Credential(OLD, lambda: asked.append(1) or NEW)
    refused = credential.headers()
    assert credential.renew(refused)
    assert credential.renew(refused)
    assert asked == [1]
    assert credential.headers() == {"Authorization": "Bearer new-s3cret"}


def test_a_cookie_is_a_credential() -> None:
    assert Credential({"cookie": "webauthn=x"}).headers() == {"Cookie": "webauthn=x"}
    assert Credential().headers() == {}


def test_what_a_credential_does_not_have_is_not_sent() -> None:
    """As from a variable of the environment that is not set."""
    given: Any = {"bearer-token": None, "cookie": "webauthn=s3cret"}
    assert Credential(given).headers() == {"Cookie": "webauthn=s3cret"}
