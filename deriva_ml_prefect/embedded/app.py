"""The web application: takes a request to the service that answers it, and the answer back to the client.

Services are synchronous and run in worker threads; this file does the awaiting. A client that takes its answer slowly
holds no thread: the pieces are made one at a time, each when the client has taken the one before. One that sends a
large body slowly holds a thread, but of a pool that only large bodies use. Requests are refused that name another host
than ours (so no web site can lead a browser here under its own name), and changes that a web page of another origin
asks for.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from .authn import Identities
from .body import ClientGone, MemoryBody, Receive, StreamedBody
from .errors import BadRequest, Forbidden, HttpError, NoSpace, NotFound, TargetTooLong
from .http import Body, Request, Response, Service
from .protocol import TARGET_BYTES, TOO_LONG

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LOG = logging.getLogger("deriva_ml_prefect.embedded")
PIECE = 64 * 1024
SMALL_BODY = 256 * 1024
STALL_SECONDS = 120.0
THREADS = 40
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
GUARDS = (
    # an object may be a web page: its scripts run as those of nobody's origin, without cookies and without our answers
    (b"content-security-policy", b"sandbox allow-scripts allow-popups allow-downloads"),
    (b"x-content-type-options", b"nosniff"),
    # cookies know no ports, so a page of another program on this machine is of the same site as ours
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Headers of every answer, for browsers."""
READING = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Route:
    """A path prefix and the service behind it, which is loaded when it is first asked for."""

    prefix: str
    load: Callable[[], Service]
    sentences: bool = False
    """Whether error answers begin with the status's sentence, as ERMrest's do."""
    kept_in: str | None = None
    """What the service has made in the data folder, if it was ever used."""


@dataclass
class Activity:
    """What the server is doing, for the process to decide when it may leave."""

    running: int = 0
    last: float = field(default_factory=monotonic)

    def idle_seconds(self) -> float:
        return 0.0 if self.running else monotonic() - self.last


class Pieces:
    """An answer that is being made: `pull` returns its next bytes, b"" at the end."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = iter(source)

    def pull(self) -> tuple[bytes, bool]:
        """(at least PIECE bytes, False) or (the rest, True)."""
        parts: list[bytes] = []
        size = 0
        for part in self._source:
            parts.append(part)
            size += len(part)
            if size >= PIECE:
                return (parts[0] if len(parts) == 1 else b"".join(parts)), False
        return b"".join(parts), True

    def close(self) -> None:
        close = getattr(self._source, "close", None)
        if close is not None:
            close()


class App:
    """The ASGI application. `ports` are those it is reached at, one of which a Host header must name."""

    def __init__(
        self, routes: tuple[Route, ...], identities: Identities, ports: tuple[int, ...], activity: Activity
    ) -> None:
        self._routes = routes
        self._identities = identities
        self._hosts = frozenset(f"{name}:{port}" for name in LOOPBACK_NAMES for port in ports)
        self._origins = frozenset(f"{scheme}://{host}" for host in self._hosts for scheme in ("http", "https"))
        self._activity = activity
        self._threads = ThreadPoolExecutor(THREADS, "request")
        self._senders = ThreadPoolExecutor(THREADS, "sender")
        self._services: dict[str, Service] = {}
        self._loading = threading.Lock()

    def close(self) -> None:
        """Wait for the work in hand, then let the services that have a `close` leave in order."""
        for threads in (self._senders, self._threads):
            threads.shutdown(wait=True, cancel_futures=True)
        for service in self._services.values():
            close = getattr(service, "close", None)
            if close is not None:
                close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self._activity.running += 1
        try:
            await self._answer(scope, receive, send)
        finally:
            self._activity.running -= 1
            self._activity.last = monotonic()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = str(scope["method"]).upper()
        headers = _headers(scope["headers"])
        route: Route | None = None
        pump: asyncio.Task[None] | None = None
        try:
            self._check(method, headers, scope)
            path = scope["raw_path"].decode("latin-1")
            route = next((r for r in self._routes if path == r.prefix or path.startswith(r.prefix + "/")), None)
            if route is None:
                raise NotFound(f"There is nothing at {path:.200}; it has /ermrest, /hatrac, /authn, /deriva/export.")
            body, pump = await _take_body(headers, receive)
            client = self._identities.find(headers)
            query = scope["query_string"].decode("latin-1")
            request = Request(method, path, query, headers, body, client)
            threads = self._threads if pump is None else self._senders
            served = asyncio.get_running_loop().run_in_executor(threads, self._serve, route, request)
            response, pieces, first, done = await served
        except ClientGone:
            scope_gone = {"type": "http.response.start", "status": 400, "headers": [(b"connection", b"close")]}
            await send(scope_gone)
            await send({"type": "http.response.body", "body": b""})
            return
        except HttpError as error:
            response = error.response(sentence=route.sentences if route else False)
            pieces, first, done = None, _as_bytes(response), True
        finally:
            if pump is not None:
                pump.cancel()
        await self._send(method, response, pieces, first, done, receive, send)

    def _check(self, method: str, headers: dict[str, str], scope: Scope) -> None:
        if TOO_LONG in scope.get("extensions", {}):
            raise TargetTooLong(f"The request target is longer than {TARGET_BYTES} bytes.")
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            raise BadRequest(f"Host {host!r} is not this server; use one of {', '.join(sorted(self._hosts))}.")
        origin = headers.get("origin")
        if origin is not None and method not in READING and origin.lower() not in self._origins:
            raise Forbidden(f"A page of {origin!r} may not change anything here.")

    def _serve(self, route: Route, request: Request) -> tuple[Response, Pieces | None, bytes, bool]:
        """Runs in a worker thread: the answer, and its first bytes if it is made piece by piece."""
        try:
            response = self._service(route)(request)
            if isinstance(response.body, bytes):
                return response, None, response.body, True
            pieces = Pieces(response.body)
            if request.method == "HEAD":
                return response, pieces, b"", True
            try:
                first, done = pieces.pull()
            except BaseException:  # the source holds a file or a database connection, whatever went wrong
                pieces.close()
                raise
            return response, pieces, first, done
        except HttpError as error:
            response = error.response(sentence=route.sentences)
            return response, None, _as_bytes(response), True
        except Exception as error:  # a fault of ours: the client learns that, the log learns why
            LOG.exception("%s %s", request.method, request.path[:500])
            failed = HttpError("The server failed; its log tells why.")
            if is_disk_full(error):
                failed = NoSpace("The disk of the embedded DERIVA is full: make room, then repeat this.")
            response = failed.response(sentence=route.sentences)
            return response, None, _as_bytes(response), True

    def _service(self, route: Route) -> Service:
        service = self._services.get(route.prefix)
        if service is None:
            with self._loading:
                service = self._services.get(route.prefix)
                if service is None:
                    service = self._services[route.prefix] = route.load()
        return service

    async def _in_thread(self, act: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, act, *arguments)

    async def _send(
        self,
        method: str,
        response: Response,
        pieces: Pieces | None,
        first: bytes,
        done: bool,
        receive: Receive,
        send: Send,
    ) -> None:
        head = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
        head += GUARDS
        length = response.length
        if length is None and done and not (pieces is not None and method == "HEAD"):
            length = len(first)
        if length is not None and response.status not in (204, 304):
            head.append((b"content-length", str(length).encode()))
        watch: asyncio.Task[None] | None = None
        try:
            await send({"type": "http.response.start", "status": response.status, "headers": head})
            if method == "HEAD" or response.status in (204, 304):
                first, done = b"", True
            if not done:
                watch = asyncio.create_task(_until_gone(receive))
            while True:
                async with asyncio.timeout(STALL_SECONDS):
                    await send({"type": "http.response.body", "body": first, "more_body": not done})
                if done or pieces is None or (watch is not None and watch.done()):
                    return
                first, done = await self._in_thread(pieces.pull)
        finally:
            if watch is not None:
                watch.cancel()
            if pieces is not None:
                await asyncio.shield(self._in_thread(pieces.close))


def is_disk_full(error: Exception) -> bool:
    """Whether that is why something could not be written."""
    full = isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return full or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT))


def _as_bytes(response: Response) -> bytes:
    return response.body if isinstance(response.body, bytes) else b"".join(response.body)


def _headers(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Names in lower case; a repeated header is joined by commas (cookies by semicolons)."""
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        if key in headers:
            text = headers[key] + ("; " if key == "cookie" else ", ") + text
        headers[key] = text
    return headers


async def _take_body(headers: dict[str, str], receive: Receive) -> tuple[Body, asyncio.Task[None] | None]:
    """A small body whole, a large one as a stream with the task that feeds it."""
    chunked = "chunked" in headers.get("transfer-encoding", "").lower()
    text = headers.get("content-length", "")
    length = int(text) if text.isascii() and text.isdigit() and not chunked else None
    if not chunked and (length is None or length == 0):
        return MemoryBody(b"", length), None
    if length is not None and length <= SMALL_BODY:
        content = bytearray()
        try:
            async with asyncio.timeout(STALL_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone("The connection ended before the request body was complete.")
                    content += message.get("body", b"")
                    if not message.get("more_body", False):
                        return MemoryBody(bytes(content), length), None
        except TimeoutError:
            raise ClientGone("The request body did not arrive in time.") from None
    body = StreamedBody(length, asyncio.get_running_loop())
    return body, asyncio.create_task(body.pump(receive))


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
