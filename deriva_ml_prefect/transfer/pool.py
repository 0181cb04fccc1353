"""urllib3's pool of connections to one server, as we want it: who stands in between, whom we trust, what is kept.

Everything that urllib3 raises is an `HTTPError`; `said` puts one into words.
"""

from __future__ import annotations

import os
import re
import ssl
import time
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProtocolError, ProxyError

KEPT = 64
"""Connections that are kept while nobody uses them."""
KEPT_SECONDS = 30.0
"""How long: what stands in between forgets connections that are silent, and tells nobody."""
ONCE = urllib3.Retry(False)
"""Send once, follow no redirect: what is repeated, and when, the client decides."""
_NEVER_SENT = (NewConnectionError, ConnectTimeoutError)


class _Ageing:
    """A connection that is not used again when it was silent for too long."""

    _used = 0.0

    def request(self, *arguments: Any, **named: Any) -> None:
        self._used = time.monotonic()
        super().request(*arguments, **named)  # type: ignore[misc]

    @property
    def is_connected(self) -> bool:
        return bool(super().is_connected) and time.monotonic() - self._used < KEPT_SECONDS  # type: ignore[misc]


class _Connection(_Ageing, HTTPConnection):
    """Unencrypted."""


class _SecureConnection(_Ageing, HTTPSConnection):
    """Encrypted."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def open_pool(base_url: str, verify: bool | ssl.SSLContext = True) -> HTTPConnectionPool:
    """Connections to the server at `base_url`, through the proxy that the environment names for it, if there is one.

    `verify` is how its certificate is checked: by a context, by the authorities that are trusted here, or not at all.
    """
    wanted: dict[str, Any] = {"maxsize": KEPT}
    if urlsplit(base_url).scheme == "https":
        wanted |= {"ssl_context": verify if isinstance(verify, ssl.SSLContext) else _context(check=verify)}
    manager = urllib3.PoolManager(**wanted)
    if proxy := proxy_before(base_url):
        parts = urlsplit(proxy)
        name = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
        signed = urllib3.make_headers(proxy_basic_auth=name) if name else None
        manager = urllib3.ProxyManager(proxy, proxy_headers=signed, **wanted)
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
    return manager.connection_from_url(base_url)


def proxy_before(base_url: str) -> str:
    """The address of the proxy that stands before the server (`https_proxy`, `no_proxy`, …); empty if none does.

    None stands before this machine itself: it would be told the credential, and reach itself.
    """
    parts = urlsplit(base_url)
    if is_this_machine(parts.hostname) or proxy_bypass(parts.hostname or ""):
        return ""
    found = getproxies()
    proxy = found.get(parts.scheme) or found.get("all") or ""
    return proxy if "://" in proxy or not proxy else f"http://{proxy}"


def is_this_machine(hostname: str | None) -> bool:
    """Whether a host name or address means the machine that asks."""
    return hostname in ("localhost", "::1") or bool(re.fullmatch(r"127(\.\d{1,3}){3}", hostname or ""))


def was_never_sent(fault: HTTPError) -> bool:
    """Whether no byte of the request can have come to the server."""
    return isinstance(fault.original_error if isinstance(fault, ProxyError) else fault, _NEVER_SENT)


def said(fault: HTTPError) -> str:
    """What went wrong, without the names of urllib3's objects."""
    inner: BaseException = fault
    if isinstance(fault, ProxyError):
        inner = fault.original_error
    elif isinstance(fault, ProtocolError) and isinstance(fault.args[-1], Exception):
        inner = fault.args[-1]
    inner = inner.__cause__ or inner
    name = "the proxy cannot be reached: " if isinstance(fault, ProxyError) else ""
    return f"{name}{type(inner).__name__}: {str(inner) or type(fault).__name__}"


class UnreadableBody(Exception):
    """The pieces of a request could not be made: its cause is no fault of the network."""


def body_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces; an OSError in making them becomes UnreadableBody, so that it is not taken for one of the network."""
    try:
        yield from pieces
    except OSError as fault:
        raise UnreadableBody from fault


def _context(*, check: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not check:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif not any(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")):
        # the system's own authorities are there already, unless a container has none
        context.load_verify_locations(cafile=certifi.where())
    return context
