"""ERMrest's front door: which resource a path names, and what stands behind it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import quote

import orjson

from deriva_ml_prefect.embedded.ermrest.acl import Access, refusal, require_catalog, roles_of
from deriva_ml_prefect.embedded.ermrest.aliases import change_alias, create_alias, delete_alias, describe_alias
from deriva_ml_prefect.embedded.ermrest.answers import JSON_TYPE, json_answer, read_json
from deriva_ml_prefect.embedded.ermrest.catalogs import Catalog
from deriva_ml_prefect.embedded.ermrest.clock import Moment, decode_urlb32, last_moment
from deriva_ml_prefect.embedded.ermrest.documents import FEATURES, Viewer, describe_catalog
from deriva_ml_prefect.embedded.ermrest.history import handle_history
from deriva_ml_prefect.embedded.ermrest.model import Json
from deriva_ml_prefect.embedded.ermrest.model_resources import handle_model
from deriva_ml_prefect.embedded.ermrest.model_url import parse_model_url, read_word
from deriva_ml_prefect.embedded.ermrest.parts import handle_part
from deriva_ml_prefect.embedded.ermrest.preconditions import require_preconditions, tagged, unchanged
from deriva_ml_prefect.embedded.ermrest.registry import (
    create_catalog,
    delete_catalog,
    find_catalog,
    open_registry,
    read_order,
    require_creator,
)
from deriva_ml_prefect.embedded.errors import BadRequest, MethodNotAllowed, NotFound, NotImplementedHere
from deriva_ml_prefect.embedded.http import Request, Response
from deriva_ml_prefect.embedded.repair import Tell, tell_log

VERSION: Final = "0.5.0 (embedded)"
DATA: Final = frozenset({"entity", "attribute", "attributegroup", "aggregate", "entity_rid"})
MODEL: Final = frozenset({"schema", "annotation", "acl", "acl_binding"})
REFUSED: Final = frozenset({"textfacet", "meta", "password"})


class ErmrestService:
    """All of `/ermrest`, upon one data folder. Called from many threads."""

    def __init__(self, data_folder: Path, tell: Tell = tell_log) -> None:
        self._registry = open_registry(data_folder, tell)

    def __call__(self, request: Request) -> Response:
        if request.method == "HEAD":
            request = replace(request, method="GET")
        segments = request.path.split("/")[2:]
        resource = segments[0].lower() if segments else ""
        if resource == "" and len(segments) <= 1:
            return self._advertise(request)
        if resource == "catalog":
            if len(segments) == 1 or segments[1:] == [""]:
                return self._create_catalog(request)
            return self._in_catalog(segments[1], "/".join(segments[2:]), request)
        if resource == "alias":
            return self._in_aliases([segment for segment in segments[1:] if segment], request)
        raise NotFound(f"ERMrest has no resource {request.path[:200]}.")

    def _advertise(self, request: Request) -> Response:
        require_method(request, "GET")
        return Response(200, (JSON_TYPE,), orjson.dumps({"version": VERSION, "features": FEATURES}) + b"\n")

    def _create_catalog(self, request: Request) -> Response:
        require_method(request, "POST")
        client = require_creator(request.client)
        order = read_order(read_json(request, empty=True), client)
        catalog = create_catalog(self._registry, order, client)
        return created(f"/ermrest/catalog/{quote(catalog.id, safe='')}", catalog.id)

    def _in_aliases(self, segments: list[str], request: Request) -> Response:
        if not segments:
            require_method(request, "POST")
            client = require_creator(request.client)
            identity = create_alias(self._registry, read_order(read_json(request, empty=True), client))
            return created(f"/ermrest/alias/{quote(identity, safe='')}", identity)
        if len(segments) > 1:
            raise NotFound("An alias has nothing below it.")
        require_method(request, "GET", "PUT", "DELETE")
        identity = read_word(segments[0])
        if request.method == "DELETE":
            delete_alias(self._registry, identity, request.client)
            return Response(204)
        if request.method == "PUT":
            return self._put_alias(identity, request)
        document = describe_alias(self._registry, identity, request.client)
        return Response(200, (JSON_TYPE,), orjson.dumps(document) + b"\n")

    def _put_alias(self, identity: str, request: Request) -> Response:
        client = require_creator(request.client)
        document = read_json(request)
        try:
            described, status = change_alias(self._registry, identity, document, client), 200
        except NotFound:
            order = read_order({**document, "id": identity} if isinstance(document, dict) else document, client)
            create_alias(self._registry, order)
            described, status = describe_alias(self._registry, identity, client), 201
        return Response(status, (JSON_TYPE,), orjson.dumps(described) + b"\n")

    def _in_catalog(self, named: str, rest: str, request: Request) -> Response:
        raw_id, at_sign, raw_snapshot = named.partition("@")
        identity = read_word(raw_id)
        catalog = find_catalog(self._registry, identity)
        at = read_snapshot(raw_snapshot) if at_sign else None
        if at is not None and request.method != "GET":
            raise refusal(request.client, "The past cannot be changed: leave out the snapshot.")
        if request.client is not None and at is None and request.method == "GET":
            catalog.welcome(request.client)
        resource, _, below = rest.partition("/")
        keyword = resource.lower()
        if keyword == "":
            if below:
                raise BadRequest("The path has an empty element.")
            return self._itself(catalog, identity, at, request)
        if keyword in MODEL:
            target = parse_model_url(rest)
            handle = handle_model if target.part is None else handle_part
            return handle(catalog, at, target, request)
        if keyword in DATA:
            from deriva_ml_prefect.embedded.ermrest.data import handle_data

            return handle_data(catalog, at, keyword, below, request)
        if keyword == "history":
            return handle_history(catalog, at, below, request)
        if keyword in REFUSED:
            raise NotImplementedHere(f"The resource {keyword} is not implemented.")
        raise NotFound(f"A catalog has no resource {resource[:100]}.")

    def _itself(self, catalog: Catalog, identity: str, at: Moment | None, request: Request) -> Response:
        if request.method == "POST":
            raise BadRequest("A catalog is made by POST to /ermrest/catalog.")
        require_method(request, "GET", "DELETE")
        if request.method == "DELETE":
            with catalog.database.read() as connection:
                revision = last_moment(connection)
                require_catalog(catalog.model(connection), request.client, "owner")
            require_preconditions(request, revision)
            delete_catalog(self._registry, identity, request.client)
            return Response(204, tagged(request, revision))
        with catalog.reading(request, at) as reading:
            early = unchanged(request, reading.revision)
            if early is not None:
                return early
            viewer = Viewer(Access(reading.visible, roles_of(request.client)), is_past=reading.at is not None)
            described: dict[str, Json] = {"id": identity, **catalog.metadata}
            if identity != catalog.id:
                described["alias_target"] = catalog.id
            document = describe_catalog(viewer, described, reading.revision.snaptime)
            return json_answer(request, document, reading.revision)


def created(location: str, identity: str) -> Response:
    return Response(201, (JSON_TYPE, ("Location", location)), orjson.dumps({"id": identity}) + b"\n")


def require_method(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise MethodNotAllowed(f"{request.method} is not for this resource, only {', '.join(methods)}.")


def read_snapshot(raw: str) -> Moment:
    """The moment that a URL names behind `@`.

    Raises BadRequest.
    """
    try:
        return Moment(decode_urlb32(raw))
    except ValueError as error:
        raise BadRequest(f"{raw!r:.80} is not a snapshot: {error}.") from error
