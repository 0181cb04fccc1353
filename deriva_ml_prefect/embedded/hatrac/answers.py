"""Answers that many resources share: lists of paths in three forms, JSON, texts, what was created, what was changed.

Each carries an entity tag made from its bytes, and obeys the conditions of the request.
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from deriva_ml_prefect.embedded.errors import PreconditionFailed
from deriva_ml_prefect.embedded.http import Request, Response

from .url import last_segment

JSON = "application/json"
URIS = "text/uri-list"
HTML = "text/html"
TEXT = "text/plain"
VARY = ("vary", "cookie, authorization, accept")


def accepted(header: str, offered: Sequence[str]) -> str:
    """The type to answer with. As in the original, types are tried in ascending order of q; no match: the first one."""
    wanted: list[tuple[float, str]] = []
    for part in header.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        q = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                try:
                    q = float(value)
                except ValueError:
                    q = 1.0
        wanted.append((q, kind))
    for _, kind in sorted(wanted, key=lambda pair: pair[0]):
        if kind in offered:
            return kind
    return offered[0]


def tag_of(content: bytes, kind: str = "") -> str:
    """An entity tag, with its quotes."""
    return '"' + hashlib.md5(kind.encode() + b"\0" + content, usedforsecurity=False).hexdigest() + '"'


def _tags(header: str) -> set[str]:
    return {part.strip().removeprefix("W/") for part in header.split(",")}


def conditions_hold(request: Request, tag: str | None) -> bool:
    """Whether If-Match and If-None-Match allow the request; `tag` None: the resource does not exist yet."""
    if "if-match" in request.headers:
        tags = _tags(request.headers["if-match"])
        if tag is None or not ("*" in tags or tag in tags):
            return False
    if "if-none-match" in request.headers and tag is not None:
        tags = _tags(request.headers["if-none-match"])
        return not ("*" in tags or tag in tags)
    return True


def has_conditions(request: Request) -> bool:
    return "if-match" in request.headers or "if-none-match" in request.headers


def require_conditions(request: Request, tag: Callable[[], str | None]) -> None:
    """Before a change. PreconditionFailed: the resource is not in the state that the request names."""
    if has_conditions(request) and not conditions_hold(request, tag()):
        raise PreconditionFailed("The resource has changed: read it again, then repeat the request with its new ETag.")


def unchanged(tag: str) -> Response:
    return Response(304, (("etag", tag), VARY))


def represent(request: Request, content: bytes, kind: str) -> Response:
    """A read's answer: these bytes, or 304."""
    tag = tag_of(content, kind)
    if not conditions_hold(request, tag):
        return unchanged(tag)
    return Response(200, (("content-type", kind), ("etag", tag), VARY), content)


def json_bytes(value: Any) -> bytes:
    return orjson.dumps(value) + b"\n"


def listing(request: Request, title: str, urls: Sequence[str]) -> Response:
    """A list of paths as JSON, as text/uri-list, or as a page of links."""
    kind = accepted(request.headers.get("accept", ""), (JSON, URIS, HTML))
    if kind == JSON:
        content = json_bytes(list(urls))
    elif kind == URIS:
        content = "".join(url + "\n" for url in urls).encode()
    else:
        links = "".join(f'  <a href="{html.escape(url)}">{html.escape(last_segment(url))}</a>\n' for url in urls)
        content = f"<!DOCTYPE html>\n<html>\n  <h1>Index of {html.escape(title)}</h1>\n{links}</html>".encode()
    return represent(request, content, kind)


def created(*urls: str) -> Response:
    """201: the body lists what was made, a single one is also the Location."""
    location = (("location", urls[0]),) if len(urls) == 1 else ()
    return Response(201, (("content-type", URIS), *location), "".join(url + "\n" for url in urls).encode())


def done() -> Response:
    return Response(204)
