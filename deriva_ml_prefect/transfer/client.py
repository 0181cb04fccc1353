"""The one HTTP client: connections kept alive, passing faults retried, errors translated at this door.

Paths go out as given, percent-encoded by the caller, because punctuation in them has a meaning to the server.
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
from typing import Any

import urllib3
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from deriva_ml_prefect.exceptions import DerivaMLOfflineError, DerivaMLValidationError
from deriva_ml_prefect.transfer.answer import PASSING_STATUSES, Answer, error_of
from deriva_ml_prefect.transfer.credential import Credential
from deriva_ml_prefect.transfer.pool import ONCE, UnreadableBody, body_of, open_pool, said, was_never_sent
from deriva_ml_prefect.transfer.retry import LONGEST_RETRY_AFTER, moment_of, pause_before, retry_after

Body = bytes | Callable[[], Iterable[bytes]]
"""Bytes, or a callable that gives the pieces anew at each sending (with a content-length header)."""

Timeout = float | tuple[float, float]
"""Seconds that an answer may keep silent, or (connect, read); as in urllib3, `connect` is also for sending a piece."""

_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
CONNECT_TIMEOUT = 10.0
"""Seconds in which a connection has to be there, where the caller does not say."""
WRITE_TIMEOUT = 30.0
"""Seconds in which a piece of a body has to be taken, and a connection for one has to be there, likewise."""
PIECE = 64 * 1024
RENEWALS = 2
"""So often a refused request is sent with another credential: the first may be one that was found long ago."""
_HEADERS = {"User-Agent": "deriva-ml-prefect", "Accept-Encoding": "gzip, deflate"}


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
        self._pool: HTTPConnectionPool | None = None
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
        then = moment_of(text)
        return then + timedelta(seconds=time.monotonic() - at) if then else None

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
        A 401 is answered with a credential that was renewed meanwhile, if there is one.
        """
        sent_headers = dict(headers or {})
        body: Body | None = content
        if json is not None:
            body = encode_json(json)
            sent_headers.setdefault("Content-Type", "application/json")
        repeatable = method in _REPEATABLE if idempotent is None else idempotent
        asked = f"{method} {path}"
        attempt = renewals = 0
        signed = self.credential.headers()
        while True:
            attempt += 1
            last = attempt > self._patience()
            try:
                answer = self._send(method, path, {**sent_headers, **signed}, body, attempt, timeout)
            except HTTPError as fault:
                if last or not (repeatable or was_never_sent(fault)):
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
            if answer.status == 401 and renewals < RENEWALS and self.credential.renew(signed):
                # refused before anything was done: sent once more, whatever it is
                signed = self.credential.headers()
                renewals += 1
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

        Answers 200 and 206 are given, and 416 where a range was asked for.
        A fault while reading is DerivaMLOfflineError: the caller decides whether to begin again.
        """
        sent = {"Accept-Encoding": "identity", **(headers or {})}
        asked = f"GET {path}"
        response = self._open_stream(path, sent, asked)
        try:
            yield Stream(response.status, _lower(response.headers), self._pieces(response, asked))
        finally:
            response.close()

    def _open_stream(self, path: str, headers: Mapping[str, str], asked: str) -> BaseHTTPResponse:
        attempt = renewals = 0
        signed = self.credential.headers()
        while True:
            attempt += 1
            last = attempt > self.retries
            try:
                response = self._ask("GET", path, {**headers, **signed}, None, None, at_once=False)
                if response.status in (200, 206) or (response.status == 416 and "Range" in headers):
                    return response
                content = response.data
            except HTTPError as fault:
                if last:
                    raise self._offline(asked, fault, attempt) from fault
                self._sleep(pause_before(attempt))
                continue
            answer = Answer(response.status, _lower(response.headers), content, asked, attempt)
            self._count_overload(answer.status)
            if answer.status == 401 and renewals < RENEWALS and self.credential.renew(signed):
                signed = self.credential.headers()
                renewals += 1
                attempt -= 1
                continue
            if last or answer.status not in PASSING_STATUSES or retry_after(answer.headers) > LONGEST_RETRY_AFTER:
                raise error_of(answer)
            self._sleep(pause_before(attempt, answer.headers))

    def _pieces(self, response: BaseHTTPResponse, asked: str) -> Iterator[bytes]:
        try:
            yield from response.stream(PIECE, decode_content=False)
        except HTTPError as fault:
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
        response = self._ask(method, path, headers, body, timeout, at_once=True)
        self._count_overload(response.status)
        self._dated = (response.headers.get("date", ""), time.monotonic())
        return Answer(response.status, _lower(response.headers), response.data, f"{method} {path}", attempts=attempt)

    def _ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Body | None,
        timeout: Timeout | None,
        *,
        at_once: bool,
    ) -> BaseHTTPResponse:
        """Send once; the body of the answer is read `at_once`, or by the caller."""
        self._count()
        pool = self._connections()
        try:
            return pool.urlopen(
                method,
                self._before_path + path,
                body=body_of(body()) if callable(body) else body,
                headers=_HEADERS | dict(headers),
                retries=ONCE,
                redirect=False,
                assert_same_host=False,
                timeout=self._limits(timeout, body),
                preload_content=at_once,
            )
        except UnreadableBody as unreadable:
            raise unreadable.__cause__ or unreadable from None

    def _limits(self, timeout: Timeout | None, body: Body | None) -> urllib3.Timeout:
        if isinstance(timeout, tuple):
            return urllib3.Timeout(connect=timeout[0], read=timeout[1])
        silent = self._timeout if timeout is None else timeout
        return urllib3.Timeout(connect=min(silent, WRITE_TIMEOUT if body else CONNECT_TIMEOUT), read=silent)

    def _connections(self) -> HTTPConnectionPool:
        pool = self._pool
        if pool is not None:
            return pool
        with self._lock:
            if self._pool is None:
                pool = open_pool(self.base_url, self._verify)
                self._before_path = self.base_url if pool.proxy and self.base_url.startswith("http:") else ""
                self._pool = pool
            return self._pool

    def _count(self) -> None:
        with self._lock:
            self.requests += 1

    def _count_overload(self, status: int) -> None:
        if status in PASSING_STATUSES and status != 408:
            with self._lock:
                self.overloads += 1

    def _offline(self, asked: str, fault: HTTPError, attempts: int) -> DerivaMLOfflineError:
        times = "once" if attempts == 1 else f"{attempts} times"
        return DerivaMLOfflineError(
            f"{self.base_url} gave no answer to {asked}, sent {times}: {said(fault)}. "
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


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
