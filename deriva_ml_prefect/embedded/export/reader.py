"""Reads this server's catalog and objects, in this process, as the client that asked for the export."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import orjson

from deriva_ml_prefect.embedded.body import MemoryBody
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict, HttpError
from deriva_ml_prefect.embedded.http import Client, Request, Response, Service

from .specification import LOOPBACK

AS_SENT: Final = "!#$%&'()*+,/:;=?@[]~"
"""What deriva-py's HTTP library leaves alone in a path; all else it percent-encodes, and so do we."""
LARGEST_ROW_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True)
class ObjectFacts:
    """What Hatrac says about an object without giving it out."""

    length: int
    md5: str | None
    sha256: str | None
    filename: str | None


@dataclass(frozen=True)
class Reader:
    """One client's view of one catalog, and of the object store."""

    ermrest: Service
    hatrac: Service
    client: Client
    catalog: str
    base_url: str
    """Scheme, host and port that the client uses, without a slash at the end."""

    @contextmanager
    def query(self, path: str, form: str) -> Iterator[Iterator[bytes]]:
        """The pieces of the answer to GET of `path` below the catalog. Errors name the query and keep their status."""
        with self._get(self.ermrest, f"/ermrest/catalog/{self.catalog}{path}", form) as response:
            yield _pieces(response)

    def first_row(self, path: str) -> dict[str, Any]:
        """The answer to a query as one JSON object; of several rows the first, {} if there is none."""
        with self.query(path, "application/json") as pieces:
            content = bytearray()
            for piece in pieces:
                content += piece
                if len(content) > LARGEST_ROW_BYTES:
                    raise Conflict(f"The query {path[:200]} answers more than {LARGEST_ROW_BYTES} bytes; limit it.")
        document = orjson.loads(content)
        row = document[0] if isinstance(document, list) and document else document
        return row if isinstance(row, dict) else {}

    def own_path(self, url: str) -> str | None:
        """The path of a URL on this server, which may be relative; None for another place."""
        if url.startswith("/") and not url.startswith("//"):
            return url
        try:
            named, ours = urlsplit(url), urlsplit(self.base_url)
            own = named.scheme in ("http", "https") and named.hostname in LOOPBACK and named.port == ours.port
        except ValueError:
            return None
        return named.path if own else None

    def absolute(self, url: str) -> str:
        """A URL that a reader of the bag can fetch: one relative to this server gets its address."""
        if urlsplit(url).scheme:
            return url
        return f"{self.base_url}{'' if url.startswith('/') else '/'}{url}"

    def object_facts(self, url: str) -> ObjectFacts:
        """Length and checksums of an object of this server. Raises Conflict for one of another server."""
        with self._get(self.hatrac, self._object_path(url), "*/*", "HEAD") as response:
            headers = {name.lower(): value for name, value in response.headers}
            length = response.length if response.length is not None else int(headers.get("content-length", "0"))
        return ObjectFacts(
            length, _hex(headers.get("content-md5")), _hex(headers.get("content-sha256")), _filename(headers)
        )

    @contextmanager
    def object_content(self, url: str) -> Iterator[Iterator[bytes]]:
        """The bytes of an object of this server."""
        with self._get(self.hatrac, self._object_path(url), "*/*") as response:
            yield _pieces(response)

    def _object_path(self, url: str) -> str:
        path = self.own_path(url)
        if path is None or not path.startswith("/hatrac/"):
            raise Conflict(
                f"{url[:200]!r} is no object of this server, and nothing is read from others: give its length and "
                "checksum in the row (length, md5 or sha256), so that it can be listed in fetch.txt unread."
            )
        return path

    @contextmanager
    def _get(self, service: Service, target: str, form: str, method: str = "GET") -> Iterator[Response]:
        path, _, query = quote(target, safe=AS_SENT).partition("?")
        request = Request(method, path, query, {"accept": form}, MemoryBody(b"", 0), self.client)
        try:
            response = service(request)
        except HttpError as error:
            error.message = f"While exporting, GET {target[:500]}: {error.message or error.sentence}"
            raise
        try:
            if response.status != 200:
                raise BadRequest(f"While exporting, GET {target[:500]} answered {response.status}.")
            yield response
        finally:
            close = getattr(response.body, "close", None)
            if close is not None:
                close()


def _pieces(response: Response) -> Iterator[bytes]:
    return iter((response.body,)) if isinstance(response.body, bytes) else iter(response.body)


def _hex(value: str | None) -> str | None:
    """A checksum header's value, base64 or hexadecimal, in hexadecimal."""
    if not value:
        return None
    try:
        if len(value) in (32, 64):
            return bytes.fromhex(value).hex()
        return base64.b64decode(value, validate=True).hex()
    except (ValueError, binascii.Error):
        return None


def _filename(headers: dict[str, str]) -> str | None:
    _, mark, name = headers.get("content-disposition", "").partition("filename*=UTF-8''")
    return unquote(name) if mark and name else None
