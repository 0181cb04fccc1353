"""Connections: kept and for how long, closed by the other side, encrypted, through a proxy; and the words of faults."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.embedded.certificates import authority_file, ensure_certificates, server_context
from deriva_ml_prefect.exceptions import DerivaMLOfflineError
from deriva_ml_prefect.transfer import pool as pools
from deriva_ml_prefect.transfer.client import HttpClient
from deriva_ml_prefect.transfer.pool import proxy_before

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"
LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Close: yes\r\n\r\nfine"


@pytest.fixture
def client(server: Any, sleep: Callable[[float], None]) -> Iterator[HttpClient]:
    made = HttpClient(server.url, retries=0, sleep=sleep)
    yield made
    made.close()


def answer_once(act: Callable[[socket.socket], None], context: ssl.SSLContext | None = None) -> int:
    """The port of a listener that does so with its first connection, in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as plain:
            try:
                with context.wrap_socket(plain, server_side=True) if context else plain as wire:
                    act(wire)
            except OSError:
                return  # the client has hung up, as some of these tests want

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1])


def test_a_connection_that_was_closed_meanwhile_is_not_used(server: Any, client: HttpClient) -> None:
    server.plan(LAST, OK)
    assert client.request("POST", "/first").text == "fine"
    threading.Event().wait(0.1)
    # a POST is not sent again after a fault: this one met none
    assert client.request("POST", "/second").attempts == 1
    assert [seen.line for seen in server.seen] == ["POST /first HTTP/1.1", "POST /second HTTP/1.1"]


def test_a_connection_is_kept_but_not_for_long(
    server: Any, client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.plan(OK, OK, OK)
    client.request("GET", "/x")
    client.request("GET", "/x")
    assert server.connections == 1
    monkeypatch.setattr(pools, "KEPT_SECONDS", 0.0)
    client.request("GET", "/x")
    assert server.connections == 2


def test_an_answer_that_ends_early_is_a_fault(server: Any, client: HttpClient) -> None:
    server.plan(LAST.replace(b"4", b"9"))
    with pytest.raises(DerivaMLOfflineError, match=r"4 bytes read, 5 more expected"):
        client.request("GET", "/x")


def test_what_is_no_http_is_a_fault() -> None:
    port = answer_once(lambda wire: wire.sendall(b"220 mail.example.org ESMTP\r\n"))
    with pytest.raises(DerivaMLOfflineError, match="BadStatusLine: 220 mail"):
        HttpClient(f"http://127.0.0.1:{port}", retries=0).request("GET", "/x")


def test_a_silent_server_is_not_waited_for(sleep: Callable[[float], None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = HttpClient(f"http://127.0.0.1:{silent.getsockname()[1]}", retries=0, timeout=0.2, sleep=sleep)
        with pytest.raises(DerivaMLOfflineError, match="TimeoutError: timed out"):
            client.request("GET", "/x")


def test_a_refusal_is_read_though_the_body_was_not_taken() -> None:
    def refuse(wire: socket.socket) -> None:
        wire.recv(1024)
        wire.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        while wire.recv(1 << 20):
            pass

    port = answer_once(refuse)
    pieces = [bytes(1 << 20)] * 8
    answer = HttpClient(f"http://127.0.0.1:{port}").request(
        "PUT", "/x", content=lambda: iter(pieces), headers={"Content-Length": str(8 << 20)}, expect=(413,)
    )
    assert answer.status == 413


def test_pieces_of_unknown_length_are_sent_in_chunks() -> None:
    got = bytearray()

    def take(wire: socket.socket) -> None:
        while not got.endswith(b"0\r\n\r\n"):
            got.extend(wire.recv(1 << 20))
        wire.sendall(OK)

    port = answer_once(take)
    large = b"x" * 100_000
    HttpClient(f"http://127.0.0.1:{port}").request("PUT", "/x", content=lambda: iter([b"ab", b"", large]))
    assert got.partition(b"\r\n\r\n")[2] == b"2\r\nab\r\n186a0\r\n" + large + b"\r\n0\r\n\r\n"


def test_a_certificate_is_checked(tmp_path: Path) -> None:
    ensure_certificates(tmp_path)

    def take(wire: socket.socket) -> None:
        wire.recv(1 << 16)
        wire.sendall(OK)

    def ask(verify: bool | ssl.SSLContext) -> str:
        port = answer_once(take, server_context(tmp_path))
        return HttpClient(f"https://localhost:{port}", verify=verify, retries=0).request("GET", "/x").text

    assert ask(ssl.create_default_context(cafile=str(authority_file(tmp_path)))) == "fine"
    with pytest.raises(DerivaMLOfflineError, match="CERTIFICATE_VERIFY_FAILED"):
        ask(verify=True)


def test_a_proxy_of_the_environment_is_used(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "near.example.org")
    server.plan(OK)
    assert HttpClient("http://far.example.org").request("GET", "/x;y").text == "fine"
    assert server.seen[0].line == "GET http://far.example.org/x;y HTTP/1.1"
    assert proxy_before("http://far.example.org") == server.url
    assert proxy_before("http://near.example.org") == ""
    assert proxy_before("https://far.example.org") == ""


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]", "LOCALHOST"])
def test_no_proxy_stands_before_this_machine(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://proxy.example.org:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    assert proxy_before(f"http://{host}:8080") == proxy_before(f"https://{host}") == ""
    assert proxy_before("http://127.0.0.1.example.org") == "http://proxy.example.org:3128"


def test_a_proxy_is_told_who_asks(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url.replace("//", "//me:p%40ss@"))
    server.plan(OK)
    HttpClient("http://far.example.org").request("GET", "/x")
    assert server.seen[0].headers["proxy-authorization"] == "Basic bWU6cEBzcw=="


def test_an_encrypted_server_is_reached_through_a_tunnel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy is asked for the tunnel, and sees nothing else of the request."""
    asked = bytearray()

    def refuse(wire: socket.socket) -> None:
        asked.extend(wire.recv(1 << 16))
        wire.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{answer_once(refuse)}")
    with pytest.raises(DerivaMLOfflineError, match=r"the proxy cannot be reached: .*403"):
        HttpClient("https://far.example.org", credential={"bearer-token": "t0ken"}, retries=0).request("GET", "/x")
    assert asked.startswith(b"CONNECT far.example.org:443 HTTP/1.")
    assert b"t0ken" not in asked


def test_a_file_that_cannot_be_read_is_no_fault_of_the_network(server: Any, client: HttpClient) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"ab"
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        client.request("PUT", "/x", content=pieces, headers={"Content-Length": "9"})
    assert client.requests == 1


def test_what_went_wrong_is_said_without_the_librarys_objects(sleep: Callable[[float], None]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(DerivaMLOfflineError) as caught:
            HttpClient(url, retries=0, sleep=sleep).request("GET", "/x")
    assert str(caught.value).startswith(
        f"{url} gave no answer to GET /x, sent once: ConnectionRefusedError: [Errno 111] Connection refused. Nothing"
    )


def test_a_name_that_nobody_knows_was_never_sent_to(sleep: Callable[[float], None]) -> None:
    with pytest.raises(DerivaMLOfflineError, match="sent 2 times: gaierror"):
        HttpClient("http://nowhere.invalid", retries=1, sleep=sleep).request("POST", "/x", json=[])


def test_authorities_of_the_environment_are_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_certificates(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority_file(tmp_path)))

    def take(wire: socket.socket) -> None:
        wire.recv(1 << 16)
        wire.sendall(OK)

    port = answer_once(take, server_context(tmp_path))
    assert HttpClient(f"https://localhost:{port}", retries=0).request("GET", "/x").text == "fine"
    port = answer_once(take, server_context(tmp_path))
    monkeypatch.delenv("SSL_CERT_FILE")
    assert HttpClient(f"https://localhost:{port}", verify=False, retries=0).request("GET", "/x").text == "fine"
