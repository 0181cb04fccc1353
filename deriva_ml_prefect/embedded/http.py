"""What a service of the embedded DERIVA is given and what it gives back, whatever web server stands in front.

A service is a plain synchronous callable `Request -> Response`; it runs in a worker thread. `app` does the
awaiting: it parses the request line, authenticates, pulls the body and pushes the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Client:
    """Who asks. `roles` are all ACL entries that the client matches: its id, its attributes and `*`."""

    id: str
    display_name: str
    roles: frozenset[str]
    full_name: str = ""
    email: str = ""


class Body(Protocol):
    """The request body, read once, from the service's own thread."""

    length: int | None
    """Content-Length in bytes; None when the client sent a chunked body."""

    def chunks(self) -> Iterator[bytes]:
        """The body as it arrives, in pieces of any size."""

    def read(self, limit: int) -> bytes:
        """The whole body; over `limit` bytes is errors.TooLarge (413)."""


@dataclass(frozen=True)
class Request:
    method: str
    """In upper case. HEAD arrives as HEAD; `app` leaves out the body of its answer, a service answers it as a GET."""
    path: str
    """Raw and undecoded, as the client sent it, without the query: punctuation has meaning before decoding."""
    query: str
    """Raw and undecoded, without the question mark."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: Body
    client: Client | None
    """None for an anonymous request."""


@dataclass(frozen=True)
class Response:
    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | Iterator[bytes] = b""
    """Bytes, or pieces that are sent as they are made (an iterator with close() is closed at the end).

    Pieces are asked for one at a time, each from whatever worker thread is free, and only as fast as the client
    takes them: an SQLite connection under an iterator needs `check_same_thread=False`. An error raised before
    64 KiB were made becomes an ordinary error answer; later ones cut the connection."""
    length: int | None = field(default=None)
    """Content-Length where `body` is an iterator of known size; None streams in HTTP chunks."""


class Service(Protocol):
    def __call__(self, request: Request) -> Response: ...
