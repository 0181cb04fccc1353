"""Hatrac's URLs: `/hatrac/a/b`, `…:VERSION`, `…;versions`, `…;metadata/KEY`, `…;acl/NAME/ROLE`, `…;upload/JOB/K`.

Names are compared as they are encoded, so nothing of a name is decoded here; `:` and `;` have meaning only unescaped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from deriva_ml_prefect.embedded.errors import BadRequest, NotFound

PREFIX = "/hatrac"
ROOT = "/"
SEGMENT = re.compile(r"(?:[-._~A-Za-z0-9]|%[0-9A-Fa-f]{2})+")
VERSION = re.compile(r"[-._~=A-Za-z0-9]+")
MOST_ARGUMENTS = {"versions": 0, "metadata": 1, "acl": 2, "upload": 2}
OF_VERSIONS = frozenset({"metadata", "acl"})


@dataclass(frozen=True)
class Target:
    """What a request is about."""

    name: str
    """`/` or `/a/b`, as encoded by the client, without `/hatrac`."""
    version: str | None = None
    resource: str | None = None
    """`versions`, `metadata`, `acl`, `upload`, or None: the name or version itself."""
    arguments: tuple[str, ...] = ()
    """What follows the resource, decoded."""


def parse_target(path: str) -> Target:
    """The target of a raw path. BadRequest: characters a name cannot have; NotFound: no such kind of resource."""
    rest = path[len(PREFIX) :]
    cut = min((i for i in (rest.find(":"), rest.find(";")) if i >= 0), default=len(rest))
    plain, rest = rest[:cut], rest[cut:]
    if rest and plain.endswith("/") and plain != "/":
        raise NotFound(f"There is no resource {path:.200}.")
    name = parse_name(plain)
    version = None
    if rest.startswith(":"):
        version, semicolon, rest = rest[1:].partition(";")
        rest = semicolon + rest
        if not VERSION.fullmatch(version) or name == ROOT:
            raise NotFound(f"There is no resource {path:.200}.")
    if not rest:
        return Target(name, version)
    keyword, *arguments = rest[1:].split("/")
    if arguments and arguments[-1] == "":
        arguments.pop()
    known = MOST_ARGUMENTS.get(keyword, -1) >= len(arguments) and all(arguments)
    if not known or (version is not None and keyword not in OF_VERSIONS):
        raise NotFound(f"There is no resource {path:.200}.")
    return Target(name, version, keyword, tuple(unquote(argument) for argument in arguments))


def parse_name(text: str) -> str:
    """A checked name: `/` or `/a/b`; one slash at its end is dropped. BadRequest for anything else."""
    trimmed = text.removesuffix("/")
    if not trimmed:
        return ROOT
    if not trimmed.startswith("/"):
        raise BadRequest(f"The name {text:.200} does not begin with a slash.")
    for segment in trimmed[1:].split("/"):
        if not SEGMENT.fullmatch(segment) or segment in (".", ".."):
            raise BadRequest(
                f"{segment[:200]!r} cannot be part of a name: use letters, digits, '-', '.', '_', '~' and %XX."
            )
    return trimmed


def parent_of(name: str) -> str:
    """The namespace that a name other than the root lies in."""
    return name.rsplit("/", 1)[0] or ROOT


def last_segment(name: str) -> str:
    return name.rsplit("/", 1)[1]


def url_of(name: str, version: str | None = None) -> str:
    """The path under which a name, or a version of it, is served."""
    return (PREFIX + name if name != ROOT else PREFIX + "/") + (f":{version}" if version else "")


def wants_parents(query: str) -> bool:
    """Whether the query asks for missing namespaces to be made (`?parents=true`)."""
    for part in re.split("[&;]", query):
        key, _, value = part.partition("=")
        if unquote(key).lower() == "parents":
            return unquote(value).lower() == "true"
    return False
