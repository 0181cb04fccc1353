"""Who may do what: access lists of namespaces, objects and versions, and the `subtree-` lists inherited from above."""

from __future__ import annotations

from collections.abc import Sequence

from deriva_ml_prefect.embedded.errors import Forbidden, Unauthorized
from deriva_ml_prefect.embedded.http import Client

from .store import Name, Version

NAMESPACE_ACCESS = ("owner", "create", "read", "subtree-owner", "subtree-create", "subtree-read", "subtree-update")
OBJECT_ACCESS = ("owner", "update", "read", "subtree-owner", "subtree-read")
VERSION_ACCESS = ("owner", "read")


def access_names(holder: Name | Version) -> tuple[str, ...]:
    """The access lists that a namespace, object or version has."""
    if isinstance(holder, Version):
        return VERSION_ACCESS
    return OBJECT_ACCESS if holder.is_object else NAMESPACE_ACCESS


def require(
    client: Client | None, holder: Name | Version, above: Sequence[Name], *accesses: str, what: str = ""
) -> None:
    """Pass if one of the accesses is granted by the holder itself, or by a `subtree-` list of a name above it.

    Raises Unauthorized for an anonymous client and Forbidden for a known one.
    """
    roles = client.roles if client else frozenset({"*"})
    for access in accesses:
        if roles & set(holder.acl.get(access, ())):
            return
        if any(roles & set(name.acl.get(f"subtree-{access}", ())) for name in above):
            return
    refuse(client, what or f"Access to {holder.path} needs {' or '.join(accesses)}.")


def refuse(client: Client | None, message: str) -> None:
    if client is None:
        raise Unauthorized(message + " Send a token.")
    raise Forbidden(message)


def owner_of(client: Client | None) -> tuple[str, ...]:
    """The owner list of something that this client makes."""
    return (client.id,) if client else ()
