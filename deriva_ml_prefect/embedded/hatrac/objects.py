"""Objects and their versions: put, read whole or in part, listed, deleted."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from sqlite3 import Connection

from deriva_ml_prefect.embedded.errors import BadRequest, Conflict, TooLarge
from deriva_ml_prefect.embedded.http import Client, Request, Response

from .answers import (
    VARY,
    conditions_hold,
    created,
    has_conditions,
    listing,
    require_conditions,
    unchanged,
)
from .content import Written, new_content
from .context import Store
from .metadata import from_headers, verify
from .namespaces import check_place, delete_name, get_namespace, insert_with_parents, listing_tag
from .ranges import parse_range
from .rights import owner_of, require
from .store import (
    Name,
    Version,
    current_version,
    delete_versions,
    find_name,
    follow,
    get_name,
    get_object,
    get_version,
    insert_version,
    lineage,
    versions,
)
from .url import Target, last_segment, url_of, wants_parents

MOST_BYTES = 128 * 1024 * 1024
OCTETS = "application/octet-stream"


def check_object(connection: Connection, path: str, client: Client | None, *, parents: bool) -> Name | None:
    """The object that a new version goes to, None if it is to be made first; raises if the client may do neither."""
    name = find_name(connection, path)
    if name is None:
        check_place(connection, path, client, parents=parents)
        return None
    if name.is_deleted:
        raise Conflict(f"{path} was deleted, and a name is not used twice.")
    if not name.is_object:
        raise Conflict(f"{path} is a namespace.")
    require(client, name, lineage(connection, path), "owner", "update", what=f"A new version of {path} needs update.")
    return name


def claim_object(connection: Connection, path: str, client: Client | None, *, parents: bool) -> Name:
    """The object that a new version goes to, made if need be."""
    name = check_object(connection, path, client, parents=parents)
    return name or insert_with_parents(connection, path, client, is_object=True)


def put_object(store: Store, request: Request, path: str) -> Response:
    """Keep the request's body as a new version: on disk, then in the database, then answered."""
    if request.body.length is not None and request.body.length > MOST_BYTES:
        raise TooLarge(f"One PUT carries at most {MOST_BYTES} bytes; use an upload job (POST …;upload) for more.")
    parents = wants_parents(request.query)
    with store.database.read() as connection:
        name = check_object(connection, path, request.client, parents=parents)
        require_conditions(request, lambda: _tag_of_object(connection, name))
    content = new_content()
    stated: dict[str, str] = {}
    try:
        stated = from_headers(request.headers)
        pieces, accept = _bounded(request.body.chunks()), partial(_accept, stated)
        written = store.contents.store(content, pieces, accept, sha256="content-sha256" in stated)
    except BadRequest:
        if name is None:
            with store.database.write() as connection:  # as in the original, the refused object's name is taken
                claim_object(connection, path, request.client, parents=parents)
        raise
    new = partial(_insert_version, request, path, content, written, stated, parents=parents)
    try:
        store.database.write_together(new)
    except BaseException:  # no row mentions the content
        store.contents.remove([content])
        raise
    return created(url_of(path, content))


def _accept(stated: dict[str, str], written: Written) -> None:
    wrong = verify(stated, written.md5, written.sha256)
    if wrong:
        raise BadRequest(wrong)


def _insert_version(
    request: Request,
    path: str,
    content: str,
    written: Written,
    stated: dict[str, str],
    connection: Connection,
    *,
    parents: bool,
) -> None:
    name = find_name(connection, path)
    require_conditions(request, lambda: _tag_of_object(connection, name))
    insert_version(
        connection,
        claim_object(connection, path, request.client, parents=parents),
        content,
        content=content,
        length=written.length,
        md5=written.md5,
        sha256=written.sha256,
        metadata=stated,
        acl={"owner": owner_of(request.client)},
    )


def _bounded(pieces: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > MOST_BYTES:
            raise TooLarge(f"One PUT carries at most {MOST_BYTES} bytes; use an upload job (POST …;upload) for more.")
        yield piece


def _tag_of_object(connection: Connection, name: Name | None) -> str | None:
    current = current_version(connection, name) if name is not None else None
    return f'"{current.version}"' if current else None


def get_target(store: Store, request: Request, target: Target) -> Response:
    """GET and HEAD of a namespace, an object or a version."""
    try:
        return _find_and_read(store, request, target)
    except FileNotFoundError:  # deleted between the look at the database and the opening of the file: look again
        return _find_and_read(store, request, target)


def _find_and_read(store: Store, request: Request, target: Target) -> Response:
    with store.database.read() as connection:
        if target.version is None:
            name = get_name(connection, target.name)
            if not name.is_object:
                return get_namespace(request, connection, name, lineage(connection, target.name))
        else:
            name = get_object(connection, target.name)
        version = follow(connection, get_version(connection, name, target.version))
        above = [*lineage(connection, version.path), get_object(connection, version.path)]
        require(request.client, version, above, "owner", "read", what=f"Reading {version.path} needs read.")
        return _content(store, request, version)


def _content(store: Store, request: Request, version: Version) -> Response:
    tag = f'"{version.version}"'
    if not conditions_hold(request, tag):
        return unchanged(tag)
    asked = request.headers.get("range")
    if request.headers.get("if-range", tag) != tag:
        asked = None
    span = parse_range(asked, version.length)
    head = request.method == "HEAD"
    default_name = f"filename*=UTF-8''{last_segment(version.path)}"
    headers = [
        ("content-type", version.metadata.get("content-type", OCTETS)),
        ("content-location", url_of(version.path, version.version)),
        ("content-disposition", version.metadata.get("content-disposition", default_name)),
        ("etag", tag),
        VARY,
    ]
    if span is None or head:
        headers += [
            (key, version.metadata[key]) for key in ("content-md5", "content-sha256") if key in version.metadata
        ]
    if span is not None:
        headers.append(("content-range", str(span)))
    status = 200 if span is None else 206
    if head:
        return Response(status, (*headers, ("accept-ranges", "bytes")), b"", version.length)
    assert version.content is not None
    start, length = (span.first, span.length) if span else (0, version.length)
    return Response(status, tuple(headers), store.contents.read(version.content, start, length), length)


def get_versions(store: Store, request: Request, path: str) -> Response:
    """The versions of an object, newest first."""
    with store.database.read() as connection:
        name = get_object(connection, path)
        require(request.client, name, lineage(connection, path), "owner", "read", "update")
        return listing(request, url_of(path), [url_of(path, found.version) for found in versions(connection, name)])


def delete_target(store: Store, request: Request, target: Target) -> Response:
    """DELETE of a namespace, an object or a version."""
    if target.version is None:
        tag = None
        if has_conditions(request):
            with store.database.read() as connection:
                name = get_name(connection, target.name)
                tag = _tag_of_object(connection, name) if name.is_object else listing_tag(connection, name)
        return delete_name(store, request, target.name, tag)
    with store.database.write() as connection:
        name = get_object(connection, target.name)
        version = get_version(connection, name, target.version)
        above = [*lineage(connection, target.name), name]
        require(request.client, version, above, "owner", what=f"Deleting a version of {name.path} needs its owner.")
        require_conditions(request, lambda: f'"{version.version}"')
        contents = delete_versions(connection, [version])
    store.remove(contents)
    return Response(204)
