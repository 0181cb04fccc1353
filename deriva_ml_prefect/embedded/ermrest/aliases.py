"""Aliases: other ids under which a catalog answers."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from deriva_ml_prefect.embedded.ermrest.acl import refusal, roles_of
from deriva_ml_prefect.embedded.ermrest.model import Json
from deriva_ml_prefect.embedded.ermrest.registry import Order, Registry, find_entry, read_owner, reserve
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict, NotFound
from deriva_ml_prefect.embedded.http import Client


def create_alias(registry: Registry, order: Order) -> str:
    """Enter an alias; one without a target only keeps its id from being taken. Returns the id."""
    with registry.database.write() as connection:
        check_target(registry, order.metadata.get("alias_target"))
        return reserve(connection, order, is_alias=True)[1]


def check_target(registry: Registry, target: str | None) -> None:
    if target is None:
        return
    with registry.database.read() as connection:
        try:
            _, is_alias, _, _ = find_entry(connection, target)
        except NotFound as error:
            raise Conflict(f"There is no catalog {target} for an alias to stand for.") from error
    if is_alias:
        raise Conflict(f"An alias cannot stand for {target}, which is an alias itself.")


def describe_alias(registry: Registry, identity: str, client: Client | None) -> dict[str, Json]:
    """The document of an alias, for its owners.

    Raises NotFound, Forbidden (or Unauthorized).
    """
    with registry.database.read() as connection:
        _, is_alias, owner, metadata = find_entry(connection, identity)
    if not is_alias:
        raise NotFound(f"{identity} is a catalog, not an alias.")
    if roles_of(client).isdisjoint(owner):
        raise refusal(client, f"owner access on alias {identity}")
    document = {"id": identity, "owner": owner, "alias_target": metadata.get("alias_target")}
    return document | {name: metadata[name] for name in ("name", "description") if name in metadata}


def change_alias(registry: Registry, identity: str, document: Json, client: Client) -> dict[str, Json]:
    """Give an alias another target, owner, name or description; what the document lacks stays."""
    describe_alias(registry, identity, client)
    if not isinstance(document, Mapping):
        raise BadRequest("The document of an alias must be a JSON object.")
    if document.get("id", identity) != identity:
        raise BadRequest(f"The id in the document is not {identity}.")
    for name in ("alias_target", "name", "description"):
        if not isinstance(document.get(name), str | None):
            raise BadRequest(f"The field {name} must be a text or null.")
    check_target(registry, document.get("alias_target"))
    with registry.database.write() as connection:
        serial, _, owner, metadata = find_entry(connection, identity)
        owner = read_owner(document["owner"], client) if "owner" in document else owner
        metadata |= {name: document[name] for name in ("alias_target", "name", "description") if name in document}
        kept = {name: value for name, value in metadata.items() if value is not None}
        connection.execute(
            "UPDATE catalog SET owner = ?, metadata = ? WHERE serial = ?",
            (orjson.dumps(owner).decode(), orjson.dumps(kept).decode(), serial),
        )
    return describe_alias(registry, identity, client)


def delete_alias(registry: Registry, identity: str, client: Client | None) -> None:
    """Free the id of an alias; the catalog stays."""
    describe_alias(registry, identity, client)
    with registry.database.write() as connection:
        connection.execute("DELETE FROM catalog WHERE id = ? AND is_alias = 1", (identity,))
