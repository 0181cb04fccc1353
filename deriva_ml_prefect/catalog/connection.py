"""An open catalog: an address, an HTTP client, and what was learnt about its schema so far."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from deriva_ml_prefect.catalog.dialect import Dialect, detect_dialect
from deriva_ml_prefect.catalog.embedded_server import find_or_start, stored_token
from deriva_ml_prefect.catalog.schema import Schema, read_schema
from deriva_ml_prefect.catalog.urls import quote
from deriva_ml_prefect.config.settings import Settings, load_settings
from deriva_ml_prefect.exceptions import DerivaMLAuthenticationError, DerivaMLNotFoundError
from deriva_ml_prefect.transfer.client import HttpClient
from deriva_ml_prefect.transfer.credential import Credential, Find
from deriva_ml_prefect.transfer.pool import is_this_machine
from deriva_ml_prefect.values.address import EMBEDDED, Address

Fact = TypeVar("Fact")
Given = Mapping[str, str] | Find
"""A credential in deriva-py's form, or where to find it: such a function is asked again when the server refuses it."""

_open: dict[tuple[Address, int, str], Catalog] = {}
_open_lock = threading.Lock()


def _after_fork() -> None:
    """A thread of the parent may have held the lock at the fork."""
    global _open_lock
    _open_lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


class Catalog:
    """A catalog that requests can be sent to. Making one sends nothing; it may be shared between threads."""

    def __init__(
        self,
        address: Address,
        *,
        client: HttpClient,
        base_url: str,
        settings: Settings,
    ) -> None:
        self.address = address
        self.client = client
        self.base_url = base_url
        self.settings = settings
        self._facts: dict[Any, Any] = {}
        self._deriva: tuple[dict[str, str], Any] | None = None
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"Catalog({str(self.address)!r})"

    def path(self, rest: str, *, snapshot: str | None = None) -> str:
        """`rest` below this catalog, e.g. `entity/S:T`, at a snapshot if one is given."""
        version = f"@{quote(snapshot)}" if snapshot else ""
        return f"/ermrest/catalog/{quote(self.address.catalog_id)}{version}/{rest}"

    @property
    def model(self) -> dict[str, Any]:
        """The document of `GET /schema`, fetched once."""
        return self.remember("model", self._fetch_model)

    @property
    def schema(self) -> Schema:
        """The same, in the form that `schema`'s lookups need."""
        return self.remember("schema", lambda: read_schema(self.model))

    @property
    def dialect(self) -> Dialect:
        """Which generation of the ML schema this catalog has."""
        return self.remember("dialect", lambda: detect_dialect(self.schema, self.address.ml_schema))

    @property
    def deriva(self) -> Any:
        """deriva-py's ErmrestCatalog of the same catalog, made at first use and for each new credential."""
        values = self.client.credential.values
        with self._lock:
            if self._deriva is None or self._deriva[0] != values:
                self._deriva = (values, self._deriva_catalog(values))
            return self._deriva[1]

    def remember(self, name: Any, find: Callable[[], Fact]) -> Fact:
        """A fact about the schema, found once and kept until `refresh`."""
        with self._lock:
            if name not in self._facts:
                self._facts[name] = find()
            return cast("Fact", self._facts[name])

    def refresh(self) -> None:
        """Forget what was learnt about the schema: the next question asks the catalog."""
        with self._lock:
            self._facts.clear()

    def _fetch_model(self) -> dict[str, Any]:
        try:
            document: dict[str, Any] = self.client.request("GET", self.path("schema"), want_json=True).json()
        except DerivaMLNotFoundError as error:
            raise DerivaMLNotFoundError(
                f"{self.address} does not exist: {error} Check the host and the number or alias of the catalog; "
                "create_ml_catalog makes a new one."
            ) from error
        return document

    def _deriva_catalog(self, credential: Mapping[str, str]) -> Any:
        # deriva-py takes half a second to import, and most work does without it
        from deriva.core import ErmrestCatalog

        parts = urlsplit(self.base_url)
        made = ErmrestCatalog(parts.scheme, parts.netloc, self.address.catalog_id, credentials=credential or None)
        if parts.scheme == "http" and is_this_machine(parts.hostname):
            # its requests would show the credential to the proxy that the environment names
            made._session.trust_env = False
        return made


def open_catalog(address: Address, *, settings: Settings | None = None, credential: Given | None = None) -> Catalog:
    """A handle for the catalog at `address`. No request is sent, but an embedded DERIVA is started if it does not run.

    The credential stays in memory. Without one, deriva-py's own file (`~/.deriva/credential.json`) is asked.
    """
    chosen = settings or load_settings()
    client = connect_server(address.hostname, chosen, credential)
    return Catalog(address, client=client, base_url=client.base_url, settings=chosen)


def connect_server(hostname: str, settings: Settings, credential: Given | None = None) -> HttpClient:
    """A client for the host, which finds its credential anew when that is refused."""
    base_url, found = locate_server(hostname, settings, credential)
    return HttpClient(
        base_url,
        credential=found,
        verify=_verification(base_url),
        timeout=settings.timeout,
        retries=settings.retries,
    )


def catalog_for(address: Address) -> Catalog:
    """The handle that this process keeps for `address`, for callers that were given values only."""
    settings = load_settings()
    key = (address, os.getpid(), str(settings.home))
    with _open_lock:
        if key not in _open:
            _open[key] = open_catalog(address, settings=settings)
        return _open[key]


def keep_catalog(catalog: Catalog) -> None:
    """Let `catalog_for` answer with this handle in this process (it may carry a credential that no file has)."""
    with _open_lock:
        _open[catalog.address, os.getpid(), str(catalog.settings.home)] = catalog


def locate_server(hostname: str, settings: Settings, given: Given | None) -> tuple[str, Credential]:
    """Base URL and credential for a host name; a credential that was given as such is not looked up elsewhere."""
    if hostname == EMBEDDED:
        server = find_or_start(settings.embedded)
        values = given() if callable(given) else given
        if values:
            return server.url, Credential(values, given if callable(given) else None)
        return server.url, Credential({"bearer-token": server.token}, lambda: _embedded_credential(settings))
    base_url = f"{_scheme(hostname)}://{hostname}"
    if given and not callable(given):
        return base_url, Credential(given)
    find = _or_stored(given if callable(given) else None, hostname)
    return base_url, Credential(find(), find)


def _or_stored(given: Find | None, hostname: str) -> Find:
    return lambda: (given() if given else None) or stored_credential(hostname)


def _embedded_credential(settings: Settings) -> Mapping[str, str] | None:
    token = stored_token(settings.embedded)
    return {"bearer-token": token} if token else None


def stored_credential(hostname: str) -> Mapping[str, str]:
    """What deriva-py's login kept for the host; DerivaMLAuthenticationError if the file cannot be read."""
    # deriva-py takes half a second to import, and a given credential does without it
    from deriva.core import get_credential

    try:
        found = get_credential(hostname)
    except (OSError, ValueError, RecursionError) as problem:
        raise DerivaMLAuthenticationError(
            f"The stored credential for {hostname} cannot be read ({type(problem).__name__}). "
            "Log in again with deriva-globus-auth-utils login."
        ) from None
    return {str(k): str(v) for k, v in (found or {}).items() if isinstance(v, str)}


def _scheme(hostname: str) -> str:
    if chosen := os.environ.get("DERIVA_ML_SCHEME"):
        return chosen
    name, colon, _ = hostname.rpartition(":")
    return "http" if colon and name in {"localhost", "127.0.0.1", "[::1]"} else "https"


def _verification(base_url: str) -> bool | ssl.SSLContext:
    """How to check the server's certificate: the bundle that the environment names, else the usual ones."""
    if base_url.startswith("http:"):
        return True
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if bundle := os.environ.get(name):
            return ssl.create_default_context(cafile=bundle)
    return urlsplit(base_url).hostname != "localhost"
