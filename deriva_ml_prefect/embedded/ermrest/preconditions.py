"""ETags and the headers If-Match and If-None-Match.

An ETag names who asked, what form was asked for, and the revision that answered. A reader whose precondition fails is
told 304, a writer 412 before anything has changed.
"""

from __future__ import annotations

import hashlib
import re

from deriva_ml_prefect.embedded.ermrest.acl import roles_of
from deriva_ml_prefect.embedded.ermrest.clock import Moment
from deriva_ml_prefect.embedded.errors import PreconditionFailed
from deriva_ml_prefect.embedded.http import Request, Response

LISTED = re.compile(r'(?:W/)?("[^"]*")')


def entity_tag(request: Request, revision: Moment) -> str:
    roles = hashlib.md5("\n".join(sorted(roles_of(request.client))).encode(), usedforsecurity=False).hexdigest()
    accepted = request.headers.get("accept", "*").replace('"', "'")
    if request.method != "GET":
        accepted = "*"
    return f'"{roles[:16]};{"*" if accepted == "*/*" else accepted};{revision.snaptime}"'


def tagged(request: Request, revision: Moment) -> tuple[tuple[str, str], ...]:
    """Headers for an answer that shows this revision, or made it."""
    return (("ETag", entity_tag(request, revision)), ("Vary", "accept, cookie, authorization"))


def names_revision(header: str, request: Request, revision: Moment) -> bool:
    """Whether a list of ETags, or `*`, names what the client would get now; the form asked for does not matter."""
    if header.strip() == "*":
        return True
    now = entity_tag(request, revision)
    if request.method == "GET":
        return now in LISTED.findall(header)
    who, when = now.split(";")[0], now.rsplit(";", 1)[1]
    return any(tag.split(";")[0] == who and tag.rsplit(";", 1)[-1] == when for tag in LISTED.findall(header))


def holds(request: Request, revision: Moment) -> bool:
    match, none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    if match is not None and not names_revision(match, request, revision):
        return False
    return none_match is None or not names_revision(none_match, request, revision)


def unchanged(request: Request, revision: Moment) -> Response | None:
    """The answer 304 to a read whose preconditions do not hold, else None."""
    if holds(request, revision):
        return None
    return Response(304, tagged(request, revision))


def require_preconditions(request: Request, revision: Moment) -> None:
    """Raise PreconditionFailed unless a change may go ahead upon this revision."""
    if not holds(request, revision):
        raise PreconditionFailed("The resource is not in the state that If-Match or If-None-Match asks for.")
