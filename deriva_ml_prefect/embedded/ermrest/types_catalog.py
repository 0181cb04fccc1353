"""The column types that ERMrest knows: its own names, the spellings of SQL, domains and arrays."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from deriva_ml_prefect.embedded.ermrest.model import Json, Type
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict

BUILT_IN: Final = (
    "boolean",
    "date",
    "float4",
    "float8",
    "int2",
    "int4",
    "int8",
    "interval",
    "json",
    "jsonb",
    "serial2",
    "serial4",
    "serial8",
    "text",
    "timestamp",
    "timestamptz",
    "time",
    "timetz",
    "uuid",
)
SPELLINGS: Final = {
    "bool": "boolean",
    "real": "float4",
    "double precision": "float8",
    "smallint": "int2",
    "integer": "int4",
    "int": "int4",
    "bigint": "int8",
    "smallserial": "serial2",
    "serial": "serial4",
    "bigserial": "serial8",
    "character varying": "text",
    "varchar": "text",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
    "time without time zone": "time",
    "time with time zone": "timetz",
}
DOMAINS: Final = {
    "ermrest_rid": "text",
    "ermrest_rcb": "text",
    "ermrest_rmb": "text",
    "ermrest_curie": "text",
    "ermrest_uri": "text",
    "longtext": "text",
    "markdown": "text",
    "gene_sequence": "text",
    "color_rgb_hex": "text",
    "uri": "text",
    "url": "text",
    "curie": "text",
    "ermrest_rct": "timestamptz",
    "ermrest_rmt": "timestamptz",
}
STORAGE: Final = {
    "boolean": "INTEGER",
    "int2": "INTEGER",
    "int4": "INTEGER",
    "int8": "INTEGER",
    "serial2": "INTEGER",
    "serial4": "INTEGER",
    "serial8": "INTEGER",
    "float4": "REAL",
    "float8": "REAL",
}
"""SQLite type of what is stored; all else is TEXT."""


@lru_cache(maxsize=256)
def resolve_type(name: str) -> Type:
    """The type of that name.

    Raises Conflict when there is none.
    """
    canonical = SPELLINGS.get(name.strip().lower(), name)
    if canonical in BUILT_IN:
        return Type(canonical)
    if canonical in DOMAINS:
        return Type(canonical, Type(DOMAINS[canonical]), is_domain=True)
    if canonical.endswith("[]"):
        element = resolve_type(canonical[:-2])
        if not element.is_array and not element.name.startswith("serial"):
            return Type(f"{element.name}[]", element, is_array=True)
    raise Conflict(f"Type {name} is not known here. Use one of: {', '.join((*BUILT_IN, *DOMAINS))}, or NAME[].")


def type_of_document(document: Json) -> Type:
    """The type that a model document asks for.

    Raises BadRequest for what is no type document, Conflict for a type that does not exist.
    """
    if not isinstance(document, Mapping):
        raise BadRequest('A column type must be an object such as {"typename": "text"}.')
    if document.get("is_array"):
        base = type_of_document(document.get("base_type"))
        return resolve_type(f"{base.name}[]")
    name = document.get("typename")
    if not isinstance(name, str):
        raise BadRequest("A column type needs its typename.")
    if name.endswith("[]"):
        raise Conflict(f"Type {name} must be asked for with is_array and its base_type.")
    return resolve_type(name)


def echo_of_type(document: Json) -> dict[str, Json]:
    """As the answer to a creation shows the type: like the document that asked for it, its name made canonical."""
    kind = type_of_document(document)
    if kind.is_array:
        return {"typename": kind.name, "is_array": True, "base_type": echo_of_type(document["base_type"])}
    if kind.is_domain and document.get("is_domain"):
        return document_of_type(kind)
    return {"typename": kind.name}


def document_of_type(kind: Type) -> dict[str, Json]:
    """As a model document shows a type."""
    document: dict[str, Json] = {"typename": kind.name}
    if kind.is_array:
        document["is_array"] = True
    if kind.is_domain:
        document["is_domain"] = True
    if kind.base:
        document["base_type"] = document_of_type(kind.base)
    return document


def storage_of_type(kind: Type) -> str:
    """SQLite's column type for values of this type."""
    return "TEXT" if kind.is_array else STORAGE.get(kind.scalar, "TEXT")
