"""Namespaces: made, listed, deleted with all that is in them; and the making of a name for an object."""

from __future__ import annotations

from sqlite3 import Connection

from deriva_ml_prefect.embedded.errors import Conflict, Forbidden, NotFound, NotImplementedHere
from deriva_ml_prefect.embedded.http import Client, Request, Response

from .answers import JSON, created, json_bytes, listing, require_conditions, tag_of
from .context import Store
from .rights import owner_of, refuse, require
from .store import (
    Name,
    children,
    delete_names,
    find_name,
    get_name,
    insert_name,
    lineage,
    subtree,
)
from .url import ROOT, parent_of, url_of, wants_parents


def check_place(connection: Connection, path: str, client: Client | None, *, parents: bool) -> None:
    """Whether `client` may make a name at a path where none is.

    NotFound: there is no namespace to hold it; Conflict: what should hold it is an object or was deleted.
    """
    above = lineage(connection, path)
    nearest = above[-1]
    if nearest.is_deleted or nearest.is_object:
        what = "was deleted, and a name is not used twice" if nearest.is_deleted else "is an object, not a namespace"
        if nearest.is_deleted and not parents:
            raise NotFound(f"There is no {nearest.path}.")
        raise Conflict(f"{nearest.path} {what}.")
    if nearest.path != parent_of(path) and not parents:
        raise NotFound(f"There is no {parent_of(path)}. Ask with ?parents=true to make it on the way.")
    require(
        client, nearest, above[:-1], "owner", "create", what=f"Making {path} needs owner or create of {nearest.path}."
    )


def make_namespace(connection: Connection, path: str, client: Client | None, *, parents: bool) -> Name:
    """A new namespace, with the namespaces above it that are missing if `parents`. The checks are `check_place`'s."""
    check_place(connection, path, client, parents=parents)
    return insert_with_parents(connection, path, client, is_object=False)


def insert_with_parents(connection: Connection, path: str, client: Client | None, *, is_object: bool) -> Name:
    """A new name, with the namespaces above it that are missing; `check_place` has allowed it."""
    missing: list[str] = []
    above = parent_of(path)
    while find_name(connection, above) is None:
        missing.append(above)
        above = parent_of(above)
    for namespace in reversed(missing):
        insert_name(connection, namespace, is_object=False, owner=owner_of(client))
    return insert_name(connection, path, is_object=is_object, owner=owner_of(client))


def put_namespace(store: Store, request: Request, path: str) -> Response:
    with store.database.write() as connection:
        existing = find_name(connection, path)
        if existing is not None and not existing.is_deleted:
            tag = listing_tag(connection, existing)
            require_conditions(request, lambda: tag)
            require(request.client, existing, lineage(connection, path), "owner")
            raise Conflict(f"{path} exists already.")
        require_conditions(request, lambda: None)
        if existing is not None:
            raise Conflict(f"{path} was deleted, and a name is not used twice.")
        make_namespace(connection, path, request.client, parents=wants_parents(request.query))
    return created(url_of(path))


def get_namespace(request: Request, connection: Connection, name: Name, above: list[Name]) -> Response:
    """What is directly in a namespace."""
    require(request.client, name, above, "owner", "read", "create")
    if "range" in request.headers:
        raise NotImplementedHere("A namespace's list is not served in parts.")
    return listing(request, url_of(name.path), [url_of(child.path) for child in children(connection, name)])


def delete_name(store: Store, request: Request, path: str, tag: str | None) -> Response:
    """Delete an object, or a namespace with everything below it, all of which the client must own.

    `tag` is the entity tag of the name as it is now, None if the request has no conditions.
    """
    with store.database.write() as connection:
        name = get_name(connection, path)
        if path == ROOT:
            refuse_root(request.client)
        require_conditions(request, lambda: tag)
        above = lineage(connection, path)
        gone = subtree(connection, name)
        by_path = {item.path: item for item in (*above, *gone)}
        for item in gone:
            require(
                request.client, item, _above(item.path, by_path), "owner", what=f"Deleting {item.path} needs its owner."
            )
        contents = delete_names(connection, gone)
    store.remove(contents)
    return Response(204)


def refuse_root(client: Client | None) -> None:
    if client is None:
        refuse(client, "The root namespace cannot be deleted.")
    raise Forbidden("The root namespace cannot be deleted.")


def listing_tag(connection: Connection, name: Name) -> str:
    """The entity tag of a namespace's list in its default form."""
    return tag_of(json_bytes([url_of(child.path) for child in children(connection, name)]), JSON)


def _above(path: str, known: dict[str, Name]) -> list[Name]:
    names: list[Name] = []
    while path != ROOT:
        path = parent_of(path)
        if path in known:
            names.append(known[path])
    return names
