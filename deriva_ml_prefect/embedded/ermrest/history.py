"""The history resource: how far back a catalog can be read, and forgetting what is older than a snapshot."""

from __future__ import annotations

from deriva_ml_prefect.embedded.database import Connection
from deriva_ml_prefect.embedded.ermrest.acl import require_catalog
from deriva_ml_prefect.embedded.ermrest.answers import empty_answer, json_answer
from deriva_ml_prefect.embedded.ermrest.catalogs import Catalog
from deriva_ml_prefect.embedded.ermrest.clock import LARGEST, Moment, clamp_moment, decode_urlb32, last_moment
from deriva_ml_prefect.embedded.ermrest.preconditions import unchanged
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict, MethodNotAllowed, NotFound, NotImplementedHere
from deriva_ml_prefect.embedded.http import Request, Response


def handle_history(catalog: Catalog, at: Moment | None, rest: str, request: Request) -> Response:
    """Answer `/history/FROM,UNTIL`; either may be empty. A snapshot has no history of its own."""
    if at is not None:
        raise NotFound("A snapshot has no history: leave out the snapshot.")
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
    """The first and last revision of the range; a snapshot that was named is taken back to the revision it shows."""
    with catalog.reading(request) as reading:
        require_catalog(reading.model, request.client, "owner")
        early = unchanged(request, reading.revision)
        if early is not None:
            return early
        low, high = find_range(reading.connection, first, last)
        amended = reading.connection.execute("SELECT amended FROM catalog_state").fetchone()[0]
        document = {
            "snaprange": [low.snaptime, high.snaptime],
            "amendver": None if amended is None else Moment(amended).snaptime,
        }
        return json_answer(request, document, reading.revision)


def find_range(connection: Connection, first: Moment | None, last: Moment | None) -> tuple[Moment, Moment]:
    """Raises Conflict for a snapshot before all history, or ends that are turned; NotFound for an empty range."""
    low = None if first is None else clamp(connection, first)
    high = None if last is None else clamp(connection, last)
    if low is None:
        found = "SELECT min(micros) FROM revision WHERE micros < ?"
        (micros,) = connection.execute(found, (high.micros if high else LARGEST,)).fetchone()
        low = None if micros is None else Moment(micros)
    if high is None:
        high = last_moment(connection)
    if low is None:
        raise NotFound("No revision of the catalog lies in that range.")
    if low > high:
        raise Conflict("A range of snapshots ends before it begins.")
    return low, high


def clamp(connection: Connection, asked: Moment) -> Moment:
    found = clamp_moment(connection, asked)
    if found is None:
        raise Conflict(f"Snapshot {asked.snaptime} is before the first revision of the catalog.")
    return found


def forget(catalog: Catalog, until: Moment, request: Request) -> Response:
    """Forget all that ended before the revision that `until` shows; from there on the past reads as before.

    Raises NotFound when nothing was before.
    """
    with catalog.writing(request) as writing:
        require_catalog(writing.model, request.client, "owner")
        connection = writing.connection
        _, kept = find_range(connection, None, clamp_before(connection, until, writing.now))
        forget_rows(connection, kept)
        connection.execute("DELETE FROM revision WHERE micros < ?", (kept.micros,))
        connection.execute("DELETE FROM model_part WHERE until <= ?", (kept.micros,))
        connection.execute(
            "DELETE FROM model_version WHERE micros < (SELECT max(micros) FROM model_version WHERE micros <= ?)",
            (kept.micros,),
        )
        now = writing.now
    return empty_answer(request, now)


def clamp_before(connection: Connection, asked: Moment, now: Moment) -> Moment:
    """The moment itself, or the last revision before this request's own."""
    if asked < now:
        return asked
    (micros,) = connection.execute("SELECT max(micros) FROM revision WHERE micros < ?", (now.micros,)).fetchone()
    return Moment(micros)


def forget_rows(connection: Connection, kept: Moment) -> None:
    tables = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 'h[0-9]*'"
    ).fetchall()
    for (name,) in tables:
        connection.execute(f"DELETE FROM {name} WHERE until_ <= ?", (kept.text,))
    connection.execute("DELETE FROM former_rows WHERE micros <= ?", (kept.micros,))
