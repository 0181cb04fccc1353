"""The one HTTP client: connections kept alive, passing faults retried, errors translated at this door.

Paths go out exactly as given, percent-encoded by the caller, because punctuation in them has a meaning to the server.
"""

from __future__ import annotations

import json as json_module
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from deriva_ml_prefect.exceptions import DerivaMLOfflineError, DerivaMLValidationError
from deriva_ml_prefect.transfer.answer import PASSING_STATUSES, Answer, error_of
from deriva_ml_prefect.transfer.credential import Credential
from deriva_ml_prefect.transfer.direct import DirectTransport, is_direct
from deriva_ml_prefect.transfer.retry import LONGEST_RETRY_AFTER, pause_before, retry_after

Body = bytes | Callable[[], Iterable[bytes]]
"""Bytes, or a callable that gives the pieces anew at each sending (with a content-length header)."""

Timeout = float | tuple[float, float]
"""Seconds that one answer may take, or (connect, read)."""

_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
CONNECT_TIMEOUT = 10.0


@dataclass(frozen=True)
class Stream:
    """An answer whose body is read piece by piece, as sent (no content coding is asked for)."""

    status: int
    headers: Mapping[str, str]
    pieces: Iterator[bytes]


class HttpClient:
    """One pool of connections to one server. Use it from any number of threads; after a fork make a new one."""

    def __init__(
        self,
        base_url: str,
        *,
        credential: Credential | Mapping[str, str] | None = None,
        verify: bool | ssl.SSLContext = True,
        timeout: float = 60.0,
        retries: int = 5,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.retries = retries
        self.requests = 0
        """Requests sent so far, repetitions included."""
        self.overloads = 0
        """Answers so far that told of an overload (429 and 5xx)."""
        self.credential = credential if isinstance(credential, Credential) else Credential(credential)
        self._verify = verify
        self._timeout = timeout
        self._sleep = sleep
        self._lock = threading.Lock()
        self._own = threading.local()
        self._pool: httpx.Client | None = None
        self._dated = ("", 0.0)
        self._before_path = ""
        """What a proxy wants to have before the path: it has to know where to go on to."""

    def __repr__(self) -> str:
        return f"HttpClient({self.base_url!r})"

    @contextmanager
    def single_tries(self) -> Iterator[None]:
        """Within it, requests of this thread are sent once each: the caller repeats what failed, at its own pace."""
        before = self._patience()
        self._own.retries = 0
        try:
            yield
        finally:
            self._own.retries = before

    def _patience(self) -> int:
        return int(getattr(self._own, "retries", self.retries))

    def server_time(self) -> datetime | None:
        """The time by the server's clock, from its last answer, to the second; None before the first one."""
        text, at = self._dated
        try:
            then = parsedate_to_datetime(text)
        except ValueError:
            return None
        return then + timedelta(seconds=time.monotonic() - at)

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: Body | None = None,
        json: Any = None,
        expect: tuple[int, ...] = (200,),
        idempotent: bool | None = None,
        want_json: bool = False,
        timeout: Timeout | None = None,
    ) -> Answer:
        """Send, repeat after passing faults, and give the answer; a status not in `expect` is raised translated.

        `idempotent` None means: GET, HEAD, PUT and DELETE may be sent again, others not. `want_json` reads the body as
        JSON at once, so that a torn one counts as a passing fault. A connection that was refused is always tried again.
        A 401 is answered once with a credential that was renewed meanwhile, if there is one.
        """
        sent_headers = dict(headers or {})
        body: Body | None = content
        if json is not None:
            body = encode_json(json)
            sent_headers.setdefault("Content-Type", "application/json")
        repeatable = method in _REPEATABLE if idempotent is None else idempotent
        asked = f"{method} {path}"
        attempt = 0
        signed = self.credential.headers()
        while True:
            attempt += 1
            last = attempt > self._patience()
            try:
                answer = self._send(method, path, {**sent_headers, **signed}, body, attempt, timeout)
            except httpx.TransportError as fault:
                if last or not (repeatable or isinstance(fault, _NEVER_SENT)):
                    raise self._offline(asked, fault, attempt) from fault
                self._sleep(pause_before(attempt))
                continue
            if answer.status in expect:
                if want_json and not answer.is_json:
                    if last or not repeatable or answer.looks_html:
                        raise answer.not_json()
                    self._sleep(pause_before(attempt))
                    continue
                return answer
            if answer.status == 401 and self.credential.renew(signed):
                # refused before anything was done: sent once more, whatever it is
                signed = self.credential.headers()
                attempt -= 1
                continue
            if answer.status not in PASSING_STATUSES or last or not repeatable:
                raise error_of(answer)
            if retry_after(answer.headers) > LONGEST_RETRY_AFTER:
                raise error_of(answer)
            self._sleep(pause_before(attempt, answer.headers))

    @contextmanager
    def stream(self, path: str, *, headers: Mapping[str, str] | None = None) -> Iterator[Stream]:
        """GET with the body read by the caller; only reaching the answer's head is retried.

        A fault while reading is DerivaMLOfflineError: the caller decides whether to begin again.
        """
        sent = {"Accept-Encoding": "identity", **(headers or {})}
        asked = f"GET {path}"
        response = self._open_stream(path, sent, asked)
        try:
            yield Stream(response.status_code, _lower(response.headers), self._pieces(response, asked))
        finally:
            response.close()

    def _open_stream(self, path: str, headers: Mapping[str, str], asked: str) -> httpx.Response:
        attempt = 0
        signed = self.credential.headers()
        while True:
            attempt += 1
            last = attempt > self.retries
            self._count()
            try:
                request = self._build("GET", path, {**headers, **signed}, None, None)
                response = self._client().send(request, stream=True)
                if response.status_code in (200, 206):
                    return response
                content = response.read()
            except httpx.TransportError as fault:
                if last:
                    raise self._offline(asked, fault, attempt) from fault
                self._sleep(pause_before(attempt))
                continue
            response.close()
            answer = Answer(response.status_code, _lower(response.headers), content, asked, attempt)
            self._count_overload(answer.status)
            if answer.status == 401 and self.credential.renew(signed):
                signed = self.credential.headers()
                attempt -= 1
                continue
            if last or answer.status not in PASSING_STATUSES or retry_after(answer.headers) > LONGEST_RETRY_AFTER:
                raise error_of(answer)
            self._sleep(pause_before(attempt, answer.headers))

    def _pieces(self, response: httpx.Response, asked: str) -> Iterator[bytes]:
        try:
            yield from response.iter_raw()
        except httpx.TransportError as fault:
            raise self._offline(asked, fault, 1) from fault

    def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Body | None,
        attempt: int,
        timeout: Timeout | None,
    ) -> Answer:
        self._count()
        response = self._client().send(self._build(method, path, headers, body, timeout))
        self._count_overload(response.status_code)
        self._dated = (response.headers.get("date", ""), time.monotonic())
        return Answer(
            response.status_code, _lower(response.headers), response.content, f"{method} {path}", attempts=attempt
        )

    def _build(
        self, method: str, path: str, headers: Mapping[str, str], body: Body | None, timeout: Timeout | None
    ) -> httpx.Request:
        client = self._client()
        content = body() if callable(body) else body
        request = client.build_request(
            method,
            self.base_url + "/",
            headers=dict(headers),
            content=content,
            timeout=httpx.USE_CLIENT_DEFAULT if timeout is None else _timeouts(timeout),
        )
        request.extensions["target"] = (self._before_path + path).encode("ascii")
        return request

    def _client(self) -> httpx.Client:
        pool = self._pool
        if pool is not None:
            return pool
        with self._lock:
            if self._pool is None:
                url = httpx.URL(self.base_url)
                direct = is_direct(url)
                self._before_path = self.base_url if url.scheme == "http" and not direct else ""
                self._pool = httpx.Client(
                    verify=self._verify,
                    transport=DirectTransport(url, self._verify) if direct else None,
                    timeout=httpx.Timeout(self._timeout, connect=min(self._timeout, CONNECT_TIMEOUT)),
                    limits=httpx.Limits(max_connections=64, max_keepalive_connections=32, keepalive_expiry=30),
                    follow_redirects=False,
                    headers={"User-Agent": "deriva-ml-prefect"},
                )
            return self._pool

    def _count(self) -> None:
        with self._lock:
            self.requests += 1

    def _count_overload(self, status: int) -> None:
        if status in PASSING_STATUSES and status != 408:
            with self._lock:
                self.overloads += 1

    def _offline(self, asked: str, fault: httpx.TransportError, attempts: int) -> DerivaMLOfflineError:
        times = "once" if attempts == 1 else f"{attempts} times"
        return DerivaMLOfflineError(
            f"{self.base_url} gave no answer to {asked}, sent {times}: {type(fault).__name__} {fault}. "
            "Nothing is lost: check that the server runs and can be reached, then repeat."
        )


def encode_json(value: Any) -> bytes:
    """`value` as UTF-8 JSON; what JSON or the catalog cannot hold (NaN, infinities, lone surrogates) is refused."""
    try:
        return json_module.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise DerivaMLValidationError(
            "A text among the values is not valid Unicode (a lone surrogate). Nothing was sent; correct the value."
        ) from None
    except (ValueError, TypeError) as problem:
        raise DerivaMLValidationError(
            f"A value cannot be stored: {problem}. Nothing was sent; use finite numbers, texts, lists and dicts."
        ) from None


def _timeouts(timeout: Timeout) -> httpx.Timeout:
    connect, read = timeout if isinstance(timeout, tuple) else (CONNECT_TIMEOUT, timeout)
    return httpx.Timeout(read, connect=connect)


def _lower(headers: httpx.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
