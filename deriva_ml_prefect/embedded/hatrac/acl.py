"""Access lists as resources: `;acl`, `;acl/NAME`, `;acl/NAME/ROLE`. Only owners see or change them."""

from __future__ import annotations

from collections.abc import Callable
from sqlite3 import Connection

import orjson

from deriva_ml_prefect.embedded.errors import BadRequest, MethodNotAllowed, NotFound
from deriva_ml_prefect.embedded.http import Request, Response

from .answers import JSON, TEXT, done, json_bytes, represent, require_conditions, tag_of
from .context import Store
from .rights import NAMESPACE_ACCESS, OBJECT_ACCESS, VERSION_ACCESS, access_names, require
from .store import Acl, Name, Version, follow, get_name, get_object, get_version, lineage, set_acl
from .url import Target

MOST_JSON = 1024 * 1024
ANY_ACCESS = frozenset((*NAMESPACE_ACCESS, *OBJECT_ACCESS, *VERSION_ACCESS))
METHODS = {0: ("GET", "HEAD"), 1: ("GET", "HEAD", "PUT", "DELETE"), 2: ("GET", "HEAD", "PUT", "DELETE")}
Change = Callable[[tuple[str, ...]], tuple[str, ...]]


def acl_resource(store: Store, request: Request, target: Target) -> Response:
    """All of a namespace's, object's or version's lists, one of them, or one role in one of them."""
    if request.method not in METHODS[len(target.arguments)]:
        raise MethodNotAllowed(f"{request.method} is not a method of this access list.")
    access, role = (*target.arguments, None, None)[:2]
    if access is not None and access not in ANY_ACCESS:
        raise BadRequest(f"There is no access list named {access!r:.100}.")
    if request.method in ("GET", "HEAD"):
        with store.database.read() as connection:
            holder, above = _find(connection, target)
            _check_access(holder, access)
            require(request.client, holder, above, "owner")
            return _read(request, holder, access, role)
    assert access is not None
    change = _change(request, role)
    with store.database.write() as connection:
        holder, above = _find(connection, target)
        _check_access(holder, access)
        require(request.client, holder, above, "owner")
        before = holder.acl.get(access, ())
        require_conditions(request, lambda: _tag(before, role))
        after: Acl = {**holder.acl, access: change(before)}
        set_acl(connection, holder, after)
    return done()


def _find(connection: Connection, target: Target) -> tuple[Name | Version, list[Name]]:
    if target.version is None:
        return get_name(connection, target.name), lineage(connection, target.name)
    name = get_object(connection, target.name)
    version = follow(connection, get_version(connection, name, target.version))
    return version, [*lineage(connection, version.path), get_object(connection, version.path)]


def _check_access(holder: Name | Version, access: str | None) -> None:
    if access is not None and access not in access_names(holder):
        raise BadRequest(f"{holder.path} has no access list named {access}; it has {', '.join(access_names(holder))}.")


def _read(request: Request, holder: Name | Version, access: str | None, role: str | None) -> Response:
    if access is None:
        lists = {name: list(holder.acl.get(name, ())) for name in access_names(holder)}
        return represent(request, json_bytes(lists), JSON)
    roles = holder.acl.get(access, ())
    if role is None:
        return represent(request, json_bytes(roles), JSON)
    if role not in roles:
        raise NotFound(f"{role!r:.200} is not in {access} of {holder.path}.")
    return represent(request, _role_text(role), TEXT)


def _role_text(role: str) -> bytes:
    return role.encode() + b"\n\n"


def _tag(roles: tuple[str, ...], role: str | None) -> str | None:
    """The ETag that a read of the list, or of the role in it, gives; None where the role is not in it."""
    if role is None:
        return tag_of(json_bytes(roles), JSON)
    return tag_of(_role_text(role), TEXT) if role in roles else None


def _change(request: Request, role: str | None) -> Change:
    """What the request does to one list."""
    if request.method == "DELETE":
        return _without(role) if role is not None else lambda _: ()
    if role is not None:
        return lambda roles: roles if role in roles else (*roles, role)
    stated = _stated(request)
    return lambda _: stated


def _without(role: str) -> Change:
    def change(roles: tuple[str, ...]) -> tuple[str, ...]:
        if role not in roles:
            raise NotFound(f"{role!r:.200} is not in this access list.")
        return tuple(other for other in roles if other != role)

    return change


def _stated(request: Request) -> tuple[str, ...]:
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != JSON:
        raise BadRequest(f"An access list is sent as {JSON}: a list of role names.")
    try:
        roles = orjson.loads(request.body.read(MOST_JSON))
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The access list is not JSON: {error}.") from None
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise BadRequest("An access list is a JSON list of role names.")
    return tuple(dict.fromkeys(roles))
