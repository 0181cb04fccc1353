"""Renaming: `POST /hatrac/new {"command": "rename_from", "source_name": "/old"}`.

The versions move to the new name, with their content; under the old name each becomes a link, so old URLs still
serve what they served.
"""

from __future__ import annotations

from dataclasses import dataclass
from sqlite3 import Connection
from typing import Any

import orjson

from deriva_ml_prefect.embedded.errors import BadRequest, Conflict
from deriva_ml_prefect.embedded.http import Client, Request, Response

from .answers import JSON, created
from .context import Store
from .objects import check_object, claim_object
from .rights import owner_of, require
from .store import Name, Version, find_name, insert_version, lineage, set_acl, versions
from .url import ROOT, parse_name, url_of, wants_parents

MOST_JSON = 1024 * 1024
KEYS = frozenset({"command", "source_name", "source_versions", "copy_acls"})


@dataclass(frozen=True)
class Rename:
    """What the request asks."""

    source: str
    versions: tuple[str, ...] | None
    """None: all."""
    copy_acls: bool


def rename_from(store: Store, request: Request, path: str) -> Response:
    """201 with the versions' new URLs; 204 if all of them are there already."""
    asked = _parse(request)
    if path == ROOT:
        raise BadRequest("The root namespace cannot be the new name of an object.")
    parents = wants_parents(request.query)
    missing: Conflict | None = None
    moved: list[str] = []
    with store.database.write() as connection:
        check_object(connection, path, request.client, parents=parents)
        source = _source(connection, asked.source, request.client)
        target = claim_object(connection, path, request.client, parents=parents)
        try:
            moving = _moving(connection, source, target, asked.versions)
        except Conflict as error:
            missing = error  # as in the original, the new name is taken all the same
        else:
            moved = [_move(connection, version, target, request.client, asked.copy_acls) for version in moving]
            if asked.copy_acls and moved:
                set_acl(connection, target, source.acl)
    if missing is not None:
        raise missing
    return created(*(url_of(path, version) for version in reversed(moved))) if moved else Response(204)


def _parse(request: Request) -> Rename:
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != JSON:
        raise BadRequest(
            f'POST to a name renames another object to it: send {{"command": "rename_from", …}} as {JSON}.'
        )
    try:
        document: Any = orjson.loads(request.body.read(MOST_JSON))
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The command is not JSON: {error}.") from None
    if not isinstance(document, dict) or document.get("command") != "rename_from":
        raise BadRequest("The only command for a name is rename_from.")
    unknown = document.keys() - KEYS
    if unknown:
        raise BadRequest(f"rename_from does not know {', '.join(sorted(unknown)):.200}.")
    source, chosen = document.get("source_name"), document.get("source_versions")
    if not isinstance(source, str):
        raise BadRequest("rename_from needs source_name: the object's path without /hatrac.")
    if chosen is not None and not (isinstance(chosen, list) and all(isinstance(one, str) for one in chosen)):
        raise BadRequest("source_versions must be a list of version ids.")
    copy_acls = document.get("copy_acls", False)
    if not isinstance(copy_acls, bool):
        raise BadRequest("copy_acls must be true or false.")
    return Rename(parse_name(source), tuple(chosen) if chosen is not None else None, copy_acls)


def _source(connection: Connection, path: str, client: Client | None) -> Name:
    source = find_name(connection, path)
    if source is None or source.is_deleted:
        raise Conflict(f"There is no object {path} to rename.")
    if not source.is_object:
        raise Conflict(f"{path} is a namespace; only objects are renamed.")
    require(client, source, lineage(connection, path), "owner", what=f"Renaming {path} needs its owner.")
    return source


def _moving(connection: Connection, source: Name, target: Name, chosen: tuple[str, ...] | None) -> list[Version]:
    """The versions that have yet to move, oldest first."""
    if source.id == target.id:
        raise Conflict(f"{source.path} cannot be renamed to itself.")
    there = {version.id for version in versions(connection, target)}
    found = {version.version: version for version in reversed(versions(connection, source))}
    if chosen is None:
        wanted = [version for version in found.values() if version.link is None or version.link in there]
        if not wanted:
            raise Conflict(f"{source.path} has no version to rename.")
    else:
        absent = [one for one in chosen if one not in found]
        if absent:
            raise Conflict(f"{source.path} has no version {', '.join(absent):.200}.")
        wanted = [version for version in found.values() if version.version in chosen]
    elsewhere = [version for version in wanted if version.link is not None and version.link not in there]
    if elsewhere:
        raise Conflict(f"{source.path}:{elsewhere[0].version} was renamed to another name before.")
    return [version for version in wanted if version.link is None]


def _move(connection: Connection, version: Version, target: Name, client: Client | None, copy_acls: bool) -> str:
    assert version.content is not None
    moved = insert_version(
        connection,
        target,
        version.version,
        content=version.content,
        length=version.length,
        md5=version.md5,
        sha256=version.sha256,
        metadata=version.metadata,
        acl=version.acl if copy_acls else {"owner": owner_of(client)},
    )
    connection.execute("UPDATE version SET link = ?, content = NULL WHERE id = ?", (moved, version.id))
    return version.version
