"""URLs of model elements: raw text behind the catalog, to the element and the part of it that they name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from deriva_ml_prefect.embedded.ermrest.url import decode
from deriva_ml_prefect.embedded.errors import BadRequest, NotFound

Kind = Literal[
    "catalog",
    "schemas",
    "schema",
    "tables",
    "table",
    "columns",
    "column",
    "keys",
    "key",
    "foreignkeys",
    "foreignkey",
]
WORD = re.compile(r"(?:[A-Za-z0-9\-._~*]|%[0-9A-Fa-f]{2})+")
PARTS = ("comment", "annotation", "acl", "acl_binding")


@dataclass(frozen=True)
class Target:
    """What a model URL names; names are decoded."""

    kind: Kind
    schema: str = ""
    table: str = ""
    columns: tuple[str, ...] = ()
    """The one column, the columns of a key, or those of a foreign key."""
    referenced_table: tuple[str | None, str] | None = None
    referenced_columns: tuple[str, ...] = ()
    part: str | None = None
    """`comment`, `annotation`, `acl` or `acl_binding` of the element; None for the element itself."""
    key: str | None = None
    """Which annotation, ACL or binding; None for all."""


def parse_model_url(raw: str) -> Target:
    """Target of the raw path behind `/catalog/N/`, which begins with `schema`, `annotation`, `acl` or `acl_binding`.

    Raises BadRequest for wrong syntax, NotFound for what is no model element.
    """
    segments = raw.split("/")
    if len(segments) > 1 and segments[-1] == "":
        segments.pop()
    keyword = segments[0].lower()
    if keyword in PARTS:
        return with_part("catalog", {}, segments)
    kind, names, rest = walk(segments[1:])
    return with_part(kind, names, rest)


def walk(segments: list[str]) -> tuple[Kind, dict[str, object], list[str]]:
    """Follow the segments down to an element: its kind, the names on the way, and the segments that are left."""
    names: dict[str, object] = {}
    if not segments:
        return "schemas", names, []
    names["schema"], rest = read_word(segments[0]), segments[1:]
    if not rest or rest[0].lower() != "table":
        return "schema", names, rest
    if len(rest) == 1:
        return "tables", names, []
    names["table"], rest = read_word(rest[1]), rest[2:]
    below = rest[0].lower() if rest else ""
    if below == "column":
        if len(rest) == 1:
            return "columns", names, []
        names["columns"] = (read_word(rest[1]),)
        return "column", names, rest[2:]
    if below == "key":
        if len(rest) == 1:
            return "keys", names, []
        names["columns"] = read_list(rest[1])
        return "key", names, rest[2:]
    if below == "foreignkey":
        if len(rest) == 1:
            return "foreignkeys", names, []
        names["columns"] = read_list(rest[1])
        return "foreignkey", names, walk_reference(names, rest[2:])
    return "table", names, rest


def walk_reference(names: dict[str, object], rest: list[str]) -> list[str]:
    """Follow `reference/S:T/K1,K2` as far as it goes; returns what is left."""
    if not rest or rest[0].lower() != "reference":
        return rest
    rest = rest[1:]
    if rest:
        schema, colon, table = rest[0].rpartition(":")
        names["referenced_table"] = (read_word(schema) if colon else None, read_word(table))
        rest = rest[1:]
        if rest:
            names["referenced_columns"] = read_list(rest[0])
            rest = rest[1:]
    return rest


def with_part(kind: Kind, names: dict[str, object], rest: list[str]) -> Target:
    if not rest:
        return Target(kind, **names)  # type: ignore[arg-type]
    part = rest[0].lower()
    if part not in PARTS or len(rest) > 2 or (part == "comment" and len(rest) > 1):
        for segment in rest:
            read_word(segment)
        raise NotFound(f"The model has no {'/'.join(rest)[:200]} here.")
    if kind in ("schemas", "tables", "columns", "keys", "foreignkeys"):
        raise NotFound(f"A set of elements has no {part}.")
    key = read_word(rest[1]) if len(rest) == 2 else None
    return Target(kind, **names, part=part, key=key)  # type: ignore[arg-type]


def read_word(raw: str) -> str:
    """One name, percent-decoded.

    Raises BadRequest when it is empty or has a reserved character unencoded.
    """
    if not WORD.fullmatch(raw):
        raise BadRequest(f"The path element {raw[:200]!r} is no name: reserved characters must be percent-encoded.")
    return decode(raw)


def read_list(raw: str) -> tuple[str, ...]:
    return tuple(read_word(word) for word in raw.split(","))
