"""The history resource: how far back a catalog can be read, and forgetting what is older than a snapshot."""

from __future__ import annotations

from deriva_ml_prefect.embedded.database import Connection
from deriva_ml_prefect.embedded.ermrest.acl import require_catalog
from deriva_ml_prefect.embedded.ermrest.answers import empty_answer, json_answer
from deriva_ml_prefect.embedded.ermrest.catalogs import Catalog
from deriva_ml_prefect.embedded.ermrest.clock import Moment, decode_urlb32
from deriva_ml_prefect.embedded.ermrest.preconditions import unchanged
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict, MethodNotAllowed, NotFound, NotImplementedHere
from deriva_ml_prefect.embedded.http import Request, Response


def handle_history(catalog: Catalog, rest: str, request: Request) -> Response:
    """Answer `/history/FROM,UNTIL`; either may be empty."""
    segments = rest.strip("/").split("/")
    if segments == [""]:
        raise NotFound("Name a range of snapshots: /history/FROM,UNTIL; either may be empty.")
    if len(segments) > 1:
        raise NotImplementedHere("Amending single elements of the past is not implemented.")
    since, comma, until = segments[0].replace("%2C", ",").replace("%2c", ",").partition(",")
    if not comma:
        raise BadRequest("A range of snapshots is written FROM,UNTIL; either may be empty.")
    first, last = read_moment(since), read_moment(until)
    if request.method == "GET":
        return read_range(catalog, first, last, request)
    if request.method == "DELETE":
        if first is not None or last is None:
            raise BadRequest("History can only be forgotten from its beginning: DELETE /history/,UNTIL.")
        return forget(catalog, last, request)
    raise MethodNotAllowed(f"{request.method} is not for a range of snapshots.")


def read_moment(text: str) -> Moment | None:
    """A snaptime, or None for an empty text.

    Raises BadRequest.
    """
    if not text:
        return None
    try:
        return Moment(decode_urlb32(text))
    except ValueError as error:
        raise BadRequest(f"{text!r:.80} is not a snapshot: {error}.") from error


def read_range(catalog: Catalog, first: Moment | None, last: Moment | None, request: Request) -> Response:
    """The first and last revision in the range."""
    with catalog.reading(request) as reading:
        require_catalog(reading.model, request.client, "owner")
        early = unchanged(request, reading.revision)
        if early is not None:
            return early
        low, high = reading.connection.execute(
            "SELECT min(micros), max(micros) FROM revision WHERE micros >= ? AND micros <= ?",
            (first.micros if first else 0, last.micros if last else reading.revision.micros),
        ).fetchone()
        if low is None:
            raise Conflict("No revision of the catalog lies in that range.")
        amended = reading.connection.execute("SELECT amended FROM catalog_state").fetchone()[0]
        document = {
            "snaprange": [Moment(low).snaptime, Moment(high).snaptime],
            "amendver": None if amended is None else Moment(amended).snaptime,
        }
        return json_answer(request, document, reading.revision)


def forget(catalog: Catalog, until: Moment, request: Request) -> Response:
    """Forget all that ended before `until`; from there on the past reads as before."""
    with catalog.writing(request) as writing:
        require_catalog(writing.model, request.client, "owner")
        if until >= writing.now:
            raise Conflict("The present cannot be forgotten: name a snapshot of the past.")
        connection = writing.connection
        kept = connection.execute("SELECT max(micros) FROM revision WHERE micros <= ?", (until.micros,)).fetchone()[0]
        if kept is not None:
            forget_rows(connection, Moment(kept))
            connection.execute("DELETE FROM revision WHERE micros < ?", (kept,))
            connection.execute("DELETE FROM model_part WHERE until <= ?", (kept,))
            connection.execute(
                "DELETE FROM model_version WHERE micros < (SELECT max(micros) FROM model_version WHERE micros <= ?)",
                (kept,),
            )
        now = writing.now
    return empty_answer(request, now)


def forget_rows(connection: Connection, kept: Moment) -> None:
    tables = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 'h[0-9]*'"
    ).fetchall()
    for (name,) in tables:
        connection.execute(f"DELETE FROM {name} WHERE until_ <= ?", (kept.text,))
