"""How a browser gets in: a code that works once, within a minute, becomes a cookie that scripts cannot read.

`POST /authn/code` by a client that shows its token answers `{"code": …, "seconds": 60, "path": "/authn/login?code=…"}`.
`GET /authn/login?code=C[&next=/path]` takes the code, sets the cookie `webauthn` and leads on to `next`. The cookie
holds a secret of that browser, not the token; `sessions.json` (mode 0600) keeps hashes of these secrets, so that a
browser stays in when the server is restarted, and `DELETE /authn/session` ends just that one. Codes live in memory.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

import orjson

from .errors import BadRequest, Forbidden, MethodNotAllowed, Unauthorized
from .files import write_private
from .http import Client, Request, Response

FILE = "sessions.json"
CODE_SECONDS = 60.0
MOST_CODES = 20
SESSION_SECONDS = 30 * 24 * 3600.0
MOST_SESSIONS = 50


@dataclass(frozen=True)
class Grant:
    """Who, and until when in seconds."""

    client: str
    until: float


class Logins:
    """The codes that wait and the sessions of browsers, of one data folder; used by all threads."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        self._codes: dict[str, Grant] = {}
        self._sessions: dict[str, Grant] | None = None

    def make_code(self, client_id: str) -> str:
        """A code for this client; of too many, the oldest is forgotten."""
        code = secrets.token_urlsafe(24)
        with self._lock:
            now = self._clock()
            self._codes = {key: grant for key, grant in self._codes.items() if grant.until > now}
            while len(self._codes) >= MOST_CODES:
                del self._codes[next(iter(self._codes))]
            self._codes[_hash(code)] = Grant(client_id, now + CODE_SECONDS)
        return code

    def take_code(self, code: str) -> str | None:
        """A new session's secret for a code that is good, which it then is no more; None for any other."""
        with self._lock:
            grant = self._codes.pop(_hash(code), None)
            now = self._clock()
            if grant is None or grant.until <= now:
                return None
            secret = secrets.token_urlsafe(32)
            sessions = {key: known for key, known in self._known().items() if known.until > now}
            while len(sessions) >= MOST_SESSIONS:
                del sessions[next(iter(sessions))]
            sessions[_hash(secret)] = Grant(grant.client, now + SESSION_SECONDS)
            self._keep(sessions)
            return secret

    def find(self, secret: str) -> str | None:
        """The id of the client whose session has this secret."""
        with self._lock:
            grant = self._known().get(_hash(secret))
            return grant.client if grant is not None and grant.until > self._clock() else None

    def end(self, secret: str) -> None:
        """Forget a session."""
        with self._lock:
            sessions = dict(self._known())
            if sessions.pop(_hash(secret), None) is not None:
                self._keep(sessions)

    def _known(self) -> dict[str, Grant]:
        if self._sessions is None:
            try:
                document = json.loads((self._folder / FILE).read_text(encoding="utf-8"))
                self._sessions = {key: Grant(str(client), float(until)) for key, (client, until) in document.items()}
            except FileNotFoundError:
                self._sessions = {}
            except (ValueError, TypeError, AttributeError):  # not of our making: browsers log in again
                self._sessions = {}
        return self._sessions

    def _keep(self, sessions: dict[str, Grant]) -> None:
        document = {key: [grant.client, grant.until] for key, grant in sessions.items()}
        write_private(self._folder / FILE, json.dumps(document, indent=1) + "\n")
        self._sessions = sessions


def _hash(secret: str) -> str:
    """What is kept of a secret; looking it up by its hash tells nothing by the time it takes."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def give_code(logins: Logins, request: Request) -> Response:
    """POST /authn/code: a code for the caller, who must show a token."""
    if request.method != "POST":
        raise MethodNotAllowed("A code is made by POST to /authn/code.")
    client: Client | None = request.client
    if client is None:
        raise Unauthorized("A code is given to those who show a token.")
    if "authorization" not in request.headers:
        raise Forbidden("A code is given for a token in the header Authorization, not for a cookie.")
    code = logins.make_code(client.id)
    document = {"code": code, "seconds": int(CODE_SECONDS), "path": f"/authn/login?code={code}"}
    headers = (("content-type", "application/json"), ("cache-control", "no-store"))
    return Response(201, headers, orjson.dumps(document) + b"\n")


def take_login(logins: Logins, request: Request) -> Response:
    """GET /authn/login: the cookie for the code, and on to `next`, a path of this server."""
    if request.method != "GET":  # HEAD too: whoever looks ahead at a link must not use up its code
        raise MethodNotAllowed("A browser logs in by GET of /authn/login.")
    if request.headers.get("sec-fetch-site") == "cross-site":
        raise Forbidden("A page of another site may not log a browser in: open the address by hand.")
    asked = parse_qs(request.query, keep_blank_values=True, max_num_fields=10)
    target = asked.get("next", ["/authn/session"])[0]
    if not target.startswith("/") or target.startswith("//") or not target.isprintable() or "\\" in target:
        raise BadRequest("The parameter next is a path on this server; it begins with one slash.")
    if not target.isascii():
        raise BadRequest("The parameter next has to be percent-encoded twice where it is not ASCII.")
    secret = logins.take_code(asked.get("code", [""])[0])
    if secret is None:
        raise Forbidden("This code was used before, or is older than a minute: ask for another one.")
    cookie = f"webauthn={secret}; Path=/; Max-Age={int(SESSION_SECONDS)}; HttpOnly; SameSite=Strict"
    headers = (
        ("location", target),
        ("set-cookie", cookie),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("content-type", "text/plain"),
    )
    return Response(303, headers, f"You are logged in; on to {target}\n".encode())
