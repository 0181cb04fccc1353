"""Who asks: tokens kept in a file, and the resource /authn/session.

`tokens.json` in the data folder (mode 0600) is one JSON object, name → token. The name `owner` is made at the first
start and may do everything; other names are identities without rights until an ACL grants them some. A client shows
its token as cookie `webauthn=T` or as `Authorization: Bearer T`; a browser shows the secret of its login instead (see
`login`). A client's id is `https://embedded.deriva/NAME`:
it stays the same when its token is renewed. No token, or an unknown one, is an anonymous request.
"""

from __future__ import annotations

import fcntl
import getpass
import hmac
import json
import os
import re
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from .errors import BadRequest, MethodNotAllowed, NotFound
from .files import write_private
from .http import Client, Request, Response
from .login import Logins, give_code, take_login

FILE = "tokens.json"
LOCK = "tokens.lock"
OWNER = "owner"
ADMINISTRATOR = "admin"
"""The role that the owner has beside its own id: policies name it, deriva-ml's own among them."""
NAMESPACE = "https://embedded.deriva/"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
LIFETIME = timedelta(days=365)
COOKIE = re.compile(r'(?:^|;)\s*webauthn\s*=\s*"?([^";\s]*)"?')


def client_id(name: str) -> str:
    """The id that the identity of this name has in ACLs, RCB and RMB."""
    return NAMESPACE + name


def describe(name: str) -> Client:
    """The identity of one token. The owner bears the name of the person who runs the server."""
    identity = client_id(name)
    login, full = _person() if name == OWNER else (name, name)
    roles = {identity, "*", ADMINISTRATOR} if name == OWNER else {identity, "*"}
    return Client(identity, login, frozenset(roles), full, f"{login}@localhost")


def _person() -> tuple[str, str]:
    """(login name, full name) of whoever runs this process."""
    try:
        login = getpass.getuser()
    except (KeyError, OSError):  # a container may run a user id that has no account
        login = f"uid{os.getuid()}"
    try:
        import pwd

        full = pwd.getpwuid(os.getuid()).pw_gecos.split(",")[0].strip()
    except (ImportError, KeyError):
        full = ""
    return login, full or login


def read_tokens(folder: Path) -> dict[str, str]:
    """Name → token; empty when there is no file yet."""
    try:
        document = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    if not isinstance(document, dict) or not all(isinstance(token, str) for token in document.values()):
        raise ValueError(f"{folder / FILE} must hold one JSON object of names and tokens; repair or remove it.")
    return document


def ensure_owner(folder: Path) -> str:
    """The owner's token, made if there is none yet."""
    with _changing(folder):
        tokens = read_tokens(folder)
        if OWNER not in tokens:
            tokens[OWNER] = secrets.token_urlsafe(32)
            write_private(folder / FILE, json.dumps(tokens, indent=1) + "\n")
        return tokens[OWNER]


def add_token(folder: Path, name: str) -> str:
    """A token for the identity `name`; an identity that has one gets a new one in its place. ValueError: bad name."""
    if not NAME.fullmatch(name) or name == OWNER:
        raise ValueError(
            f"{name!r} cannot name an identity: use letters, digits, '.', '_' and '-' (and not '{OWNER}')."
        )
    with _changing(folder):
        tokens = read_tokens(folder)
        tokens[name] = secrets.token_urlsafe(32)
        write_private(folder / FILE, json.dumps(tokens, indent=1) + "\n")
        return tokens[name]


@contextmanager
def _changing(folder: Path) -> Iterator[None]:
    """Only one process at a time changes the token file."""
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


class Identities:
    """The token file as the running server sees it; read again when it has changed."""

    def __init__(self, folder: Path, logins: Logins) -> None:
        self._folder = folder
        self._logins = logins
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._clients: dict[str, Client] = {}

    def find(self, headers: Mapping[str, str]) -> Client | None:
        """The client whose token, or login, these headers show; None is anonymous."""
        token = token_of(headers)
        if not token:
            return None
        found = None
        for known, client in self._known().items():
            if hmac.compare_digest(known.encode(), token.encode("utf-8", "surrogateescape")):
                found = client
        if found is None and "authorization" not in headers:
            who = self._logins.find(token)
            found = next((client for client in self._known().values() if client.id == who), None)
        return found

    def _known(self) -> dict[str, Client]:
        status = (self._folder / FILE).stat()
        stamp = (status.st_mtime_ns, status.st_ino)
        with self._lock:
            if stamp != self._stamp:
                tokens = read_tokens(self._folder)
                self._clients = {token: describe(name) for name, token in tokens.items()}
                self._stamp = stamp
            return self._clients


def token_of(headers: Mapping[str, str]) -> str | None:
    """The token in `Authorization: Bearer T` or in the cookie `webauthn=T`."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        return credentials.strip()
    found = COOKIE.search(headers.get("cookie", ""))
    return found.group(1) if found else None


def session_document(client: Client, now: datetime) -> dict[str, Any]:
    """What /authn/session tells about a client: the form that webauthn gives it."""
    who = {
        "id": client.id,
        "display_name": client.display_name,
        "full_name": client.full_name,
        "email": client.email,
        "identities": [client.id],
    }
    others = sorted(client.roles - {client.id, "*"})
    return {
        "client": who,
        "attributes": [who, *({"id": role, "display_name": role} for role in others)],
        "since": now.isoformat(),
        "expires": (now + LIFETIME).isoformat(),
        "seconds_remaining": int(LIFETIME.total_seconds()),
        "vary_headers": ["cookie"],
        "tracking": "",
    }


@dataclass(frozen=True)
class AuthnService:
    """/authn/session, and the two resources by which a browser logs in."""

    logins: Logins

    def __call__(self, request: Request) -> Response:
        path = request.path.rstrip("/")
        if path == "/authn/code":
            return give_code(self.logins, request)
        if path == "/authn/login":
            return take_login(self.logins, request)
        if path != "/authn/session":
            raise NotFound(f"There is no {request.path:.200} here; the session is /authn/session.")
        return answer_session(self.logins, request)


def answer_session(logins: Logins, request: Request) -> Response:
    """GET and PUT /authn/session describe the caller, 404 for nobody; DELETE ends a browser's login."""
    if request.method not in ("GET", "HEAD", "PUT", "DELETE"):
        if request.method == "POST":
            raise BadRequest("This server has no login form: send a token as cookie or bearer token.")
        raise MethodNotAllowed(f"{request.method} is not a method of /authn/session.")
    if request.client is None:
        raise NotFound("No session found: the request shows no token that this server knows.")
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"), ("cache-control", "no-store"))
    if request.method == "DELETE":
        logins.end(token_of(request.headers) or "")
        forget = ("set-cookie", "webauthn=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict")
        return Response(200, (*headers, forget), orjson.dumps({"logout_url": "/"}) + b"\n")
    document = session_document(request.client, datetime.now(UTC))
    return Response(200, headers, orjson.dumps(document) + b"\n")
