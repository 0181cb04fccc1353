"""Requests straight to a server, over connections that are kept: a lean transport under httpx.

httpx's own pool looks at every connection, under one lock, for each request; with many small files at once that costs
more than the rest of the request. Here a request takes the connection that was given back last. Whatever goes wrong is
told in httpx's own errors.
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.request import getproxies, proxy_bypass

import httpx

KEPT = 32
"""Connections that are kept while nobody uses them."""
KEPT_SECONDS = 30.0
PIECE = 64 * 1024
SENT_TOGETHER = 64 * 1024
"""Bytes of a request, head and body, that are sent as one."""
_LATE = {"connect": httpx.ConnectTimeout, "read": httpx.ReadTimeout, "write": httpx.WriteTimeout}
_FAULTS = {"connect": httpx.ConnectError, "read": httpx.ReadError, "write": httpx.WriteError}


def is_direct(url: httpx.URL) -> bool:
    """Whether no proxy of the environment stands before this server."""
    return url.scheme not in getproxies() or bool(proxy_bypass(url.host))


@dataclass
class _Kept:
    """An open connection, and when it was used last."""

    wire: socket.socket
    used: float


class DirectTransport(httpx.BaseTransport):
    """To one server. Safe for threads. `verify` is how its certificate is checked, as httpx has it."""

    def __init__(self, server: httpx.URL, verify: bool | ssl.SSLContext = True) -> None:
        self._host = server.host
        self._port = server.port or (443 if server.scheme == "https" else 80)
        self._context: ssl.SSLContext | None = None
        if server.scheme == "https":
            self._context = verify if isinstance(verify, ssl.SSLContext) else httpx.create_ssl_context(verify=verify)
            self._context.set_alpn_protocols(["http/1.1"])
        self._idle: deque[_Kept] = deque()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and read the head of the answer; its body is read by the caller, as it comes."""
        limits = request.extensions["timeout"]
        wire = self._take() or self._connect(limits["connect"])
        try:
            _send(wire, request, limits["write"])
            wire.settimeout(limits["read"])
            answer = http.client.HTTPResponse(wire, method=request.method)
            with _naming("read"):
                answer.begin()
        except BaseException:  # also when the pieces of the body could not be made
            wire.close()
            raise
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.getheaders()]
        return httpx.Response(answer.status, headers=headers, stream=_Body(self, wire, answer))

    def close(self) -> None:
        while self._idle:
            self._idle.pop().wire.close()

    def _take(self) -> socket.socket | None:
        """The connection that was used last, unless the server has closed it meanwhile."""
        while True:
            try:
                kept = self._idle.pop()
            except IndexError:
                return None
            if time.monotonic() - kept.used < KEPT_SECONDS and not _is_readable(kept.wire):
                return kept.wire
            kept.wire.close()

    def give_back(self, wire: socket.socket) -> None:
        """Keep a connection for the next request."""
        self._idle.append(_Kept(wire, time.monotonic()))
        if len(self._idle) > KEPT:
            try:
                self._idle.popleft().wire.close()
            except IndexError:
                return

    def _connect(self, seconds: float | None) -> socket.socket:
        with _naming("connect"):
            wire = socket.create_connection((self._host, self._port), timeout=seconds)
            try:
                wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return self._context.wrap_socket(wire, server_hostname=self._host) if self._context else wire
            except BaseException:
                wire.close()
                raise


class _Body(httpx.SyncByteStream):
    """The body of an answer; read to its end, its connection is kept."""

    def __init__(self, transport: DirectTransport, wire: socket.socket, answer: http.client.HTTPResponse) -> None:
        self._transport = transport
        self._wire: socket.socket | None = wire
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        with _naming("read"):
            while piece := self._answer.read(PIECE):
                yield piece
            if self._answer.length:
                raise httpx.RemoteProtocolError(f"the connection ended {self._answer.length} bytes before the answer")
        wire, self._wire = self._wire, None
        if wire is not None and self._answer.will_close:
            wire.close()
        elif wire is not None:
            self._transport.give_back(wire)

    def close(self) -> None:
        self._answer.close()
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()


def _send(wire: socket.socket, request: httpx.Request, seconds: float | None) -> None:
    target = request.extensions.get("target") or request.url.raw_path
    lines = [b"%s %s HTTP/1.1" % (request.method.encode("ascii"), target)]
    lines += [b"%s: %s" % pair for pair in request.headers.raw]
    chunked = "chunked" in request.headers.get("transfer-encoding", "").lower()
    waiting = bytearray(b"\r\n".join(lines) + b"\r\n\r\n")
    wire.settimeout(seconds)
    try:
        for piece in request.stream:  # type: ignore[union-attr]
            if len(waiting) + len(piece) > SENT_TOGETHER:
                _write(wire, waiting)
                waiting.clear()
            if chunked:
                waiting += b"%x\r\n%s\r\n" % (len(piece), piece) if piece else b""
            elif len(piece) > SENT_TOGETHER:
                _write(wire, piece)
            else:
                waiting += piece
        _write(wire, waiting + b"0\r\n\r\n" if chunked else waiting)
    except httpx.WriteError:
        # a server that refuses a body closes the connection before all of it was sent: its answer may be there
        return


def _write(wire: socket.socket, content: bytes | bytearray) -> None:
    with _naming("write"):
        wire.sendall(content)


def _is_readable(wire: socket.socket) -> bool:
    """Of a connection where nothing is due: it was closed by the other side."""
    poll = select.poll()
    poll.register(wire, select.POLLIN)
    return bool(poll.poll(0))


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """Faults of the network, and answers that are no HTTP, as httpx names them."""
    try:
        yield
    except TimeoutError as fault:
        raise _LATE[what](str(fault) or "timed out") from fault
    except http.client.HTTPException as fault:
        said = "Server disconnected without sending a response." if _is_silence(fault) else f"{fault!r:.200}"
        raise httpx.RemoteProtocolError(said) from fault
    except OSError as fault:
        raise _FAULTS[what](str(fault)) from fault


def _is_silence(fault: http.client.HTTPException) -> bool:
    return isinstance(fault, http.client.RemoteDisconnected)
