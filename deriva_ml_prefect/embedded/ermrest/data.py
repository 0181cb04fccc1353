"""The data resources of a catalog: entity, attribute, attributegroup, aggregate, entity_rid.

`handle_data` is the one door: it parses the URL and calls what answers the method. `service` routes to it.
"""

from __future__ import annotations

from typing import Final

from deriva_ml_prefect.embedded.ermrest.acl import refusal
from deriva_ml_prefect.embedded.ermrest.catalogs import Catalog
from deriva_ml_prefect.embedded.ermrest.clock import Moment
from deriva_ml_prefect.embedded.ermrest.delete import answer_clear, answer_delete
from deriva_ml_prefect.embedded.ermrest.insert import answer_insert
from deriva_ml_prefect.embedded.ermrest.locate import answer_locate
from deriva_ml_prefect.embedded.ermrest.read import answer_read
from deriva_ml_prefect.embedded.ermrest.update import answer_update, answer_upsert
from deriva_ml_prefect.embedded.ermrest.url import parse_options, parse_request
from deriva_ml_prefect.embedded.errors import MethodNotAllowed
from deriva_ml_prefect.embedded.http import Request, Response

METHODS: Final = {
    "entity": ("GET", "HEAD", "POST", "PUT", "DELETE"),
    "attribute": ("GET", "HEAD", "DELETE"),
    "attributegroup": ("GET", "HEAD", "PUT"),
    "aggregate": ("GET", "HEAD"),
    "entity_rid": ("GET", "HEAD"),
}
RESOURCES: Final = tuple(METHODS)


def handle_data(catalog: Catalog, at: Moment | None, resource: str, rest: str, request: Request) -> Response:
    """Answer a request for a data resource.

    `resource` is one of RESOURCES, `rest` the raw path after it, `at` the snapshot asked for (None: the present).
    """
    method = request.method
    if method not in METHODS[resource]:
        raise MethodNotAllowed(f"{method} is not offered by {resource}.", (("Allow", ", ".join(METHODS[resource])),))
    if resource == "entity_rid":
        return answer_locate(catalog, at, rest, request)
    if method in ("GET", "HEAD"):
        return answer_read(catalog, at, parse_request(resource, rest), parse_options(request.query), request)
    if at is not None:
        raise refusal(request.client, "The past cannot be changed: leave out the snapshot.")
    tree, options = parse_request(resource, rest), parse_options(request.query)
    if resource == "attributegroup":
        return answer_update(catalog, tree, options, request)
    if resource == "attribute":
        return answer_clear(catalog, tree, request)
    if method == "DELETE":
        return answer_delete(catalog, tree, request)
    answer = answer_insert if method == "POST" else answer_upsert
    return answer(catalog, tree, options, request)
