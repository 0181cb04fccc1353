"""Bodies in and answers out, as all resources but the data itself use them."""

from __future__ import annotations

import orjson

from deriva_ml_prefect.embedded.ermrest.clock import Moment
from deriva_ml_prefect.embedded.ermrest.model import Json
from deriva_ml_prefect.embedded.ermrest.preconditions import tagged
from deriva_ml_prefect.embedded.errors import BadRequest
from deriva_ml_prefect.embedded.http import Request, Response

LARGEST_DOCUMENT = 64 * 1024 * 1024
DEEPEST = 100
JSON_TYPE = ("Content-Type", "application/json")
TEXT_TYPE = ("Content-Type", "text/plain; charset=utf-8")


def read_json(request: Request, *, empty: bool = False) -> Json:
    """The request body as JSON; with `empty`, no body is None.

    Raises BadRequest for anything else, and for documents nested more than 100 deep.
    """
    content = request.body.read(LARGEST_DOCUMENT)
    if empty and not content.strip():
        return None
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The request body is not JSON: {error}.") from error
    if depth_over(document, DEEPEST):
        raise BadRequest(f"The request body is nested more than {DEEPEST} deep.")
    return document


def depth_over(document: Json, limit: int) -> bool:
    """Whether a document is nested more than `limit` deep; visits it level by level."""
    level = [document]
    for _ in range(limit + 1):
        level = [
            member
            for value in level
            if isinstance(value, dict | list)
            for member in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return False
    return True


def json_answer(request: Request, document: Json, revision: Moment, status: int = 200) -> Response:
    return json_bytes_answer(request, orjson.dumps(document) + b"\n", revision, status)


def json_bytes_answer(request: Request, content: bytes, revision: Moment, status: int = 200) -> Response:
    return Response(status, (JSON_TYPE, *tagged(request, revision)), content)


def text_answer(request: Request, text: str, revision: Moment) -> Response:
    return Response(200, (TEXT_TYPE, *tagged(request, revision)), f"{text}\n".encode())


def empty_answer(request: Request, revision: Moment, status: int = 204) -> Response:
    return Response(status, tagged(request, revision))
