"""JSON documents that define tables, in the shapes that deriva-ml's own schema has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deriva_ml_prefect.catalog.naming import base_name, make_id
from deriva_ml_prefect.exceptions import DerivaMLValidationError

Document = dict[str, Any]

ASSET_TAG = "tag:isrd.isi.edu,2017:asset"
DISPLAY_TAG = "tag:misd.isi.edu,2015:display"
_TEXT_DOMAINS = (
    "ermrest_rid", "ermrest_rcb", "ermrest_rmb", "ermrest_curie", "ermrest_uri", "markdown", "longtext",
    "gene_sequence", "color_rgb_hex", "uri", "url", "curie",
)  # fmt: skip
_DOMAINS = dict.fromkeys(_TEXT_DOMAINS, "text") | {"ermrest_rct": "timestamptz", "ermrest_rmt": "timestamptz"}
_SCALARS = frozenset({
    "boolean", "date", "float4", "float8", "int2", "int4", "int8", "interval", "json", "jsonb", "serial2", "serial4",
    "serial8", "text", "timestamp", "timestamptz", "time", "timetz", "uuid",
})  # fmt: skip
_SYSTEM = (
    ("RID", "ermrest_rid", False, "Record ID"),
    ("RCT", "ermrest_rct", False, "Creation Time"),
    ("RMT", "ermrest_rmt", False, "Modified Time"),
    ("RCB", "ermrest_rcb", True, "Created By"),
    ("RMB", "ermrest_rmb", True, "Modified By"),
)


@dataclass(frozen=True)
class Target:
    """What a reference points to: one column of a table that has a key on it."""

    schema: str
    table: str
    column: str
    typename: str = "text"


def type_document(typename: str) -> Document:
    """A column type by its name: scalar, domain, or an array of either (`text[]`)."""
    if typename.endswith("[]"):
        return {"typename": typename, "is_array": True, "base_type": type_document(typename[:-2])}
    if typename in _DOMAINS:
        return {"typename": typename, "is_domain": True, "base_type": {"typename": _DOMAINS[typename]}}
    if typename in _SCALARS:
        return {"typename": typename}
    raise DerivaMLValidationError(f"{typename!r} is no column type of ERMrest. Take one of {sorted(_SCALARS)}.")


def column(
    name: str,
    typename: str,
    *,
    nullok: bool = True,
    default: Any = None,
    comment: str | None = None,
    annotations: Mapping[str, Any] | None = None,
) -> Document:
    return {
        "name": name,
        "type": type_document(typename),
        "nullok": nullok,
        "default": default,
        "comment": comment,
        "annotations": dict(annotations or {}),
    }


def key(columns: Sequence[str], name: str | None = None) -> Document:
    """A key; without a name the server names it `<table>_<columns>_key`."""
    return {"unique_columns": list(columns), "names": [["placeholder", name]] if name else []}


def foreign_key(
    columns: Sequence[str],
    target: tuple[str, str, Sequence[str]],
    *,
    name: str | None = None,
    action: str = "NO ACTION",
) -> Document:
    """A foreign key; `target` is (schema, table, columns), `action` is taken on update and on delete."""
    schema, table, referenced = target
    return {
        "foreign_key_columns": [{"column_name": c} for c in columns],
        "referenced_columns": [{"schema_name": schema, "table_name": table, "column_name": c} for c in referenced],
        "names": [["placeholder", name]] if name else [],
        "on_update": action,
        "on_delete": action,
    }


def reference(table: str, base: str, target: Target, *, nullok: bool = False) -> tuple[Document, Document]:
    """Column and foreign key of a reference in table `table`: named after the base name, cascading both ways.

    Types made for the system's columns (`ermrest_*`) are replaced by their base type.
    """
    typename = _DOMAINS[target.typename] if target.typename.startswith("ermrest_") else target.typename
    return column(base, typename, nullok=nullok), foreign_key(
        [base], (target.schema, target.table, [target.column]), name=make_id(table, base, "fkey"), action="CASCADE"
    )


def table_document(
    schema: str,
    name: str,
    *,
    columns: Iterable[Document],
    keys: Iterable[Document] = (),
    foreign_keys: Iterable[Document] = (),
    comment: str | None = None,
    annotations: Mapping[str, Any] | None = None,
) -> Document:
    """A table with the system's columns, key and foreign keys added."""
    system = [
        column(c, typename, nullok=nullok, annotations={DISPLAY_TAG: {"name": display}})
        for c, typename, nullok, display in _SYSTEM
    ]
    clients = [
        foreign_key([c], ("public", "ERMrest_Client", ["ID"]), name=make_id(name, c, "fkey")) for c in ("RCB", "RMB")
    ]
    return {
        "schema_name": schema,
        "table_name": name,
        "kind": "table",
        "comment": comment,
        "annotations": dict(annotations or {}),
        "column_definitions": [*system, *columns],
        "keys": [key(["RID"]), *keys],
        "foreign_keys": [*clients, *foreign_keys],
    }


def vocabulary(schema: str, name: str, *, curie_prefix: str, comment: str | None = None) -> Document:
    """A vocabulary: ID and URI filled by the server from the row's RID, names unique."""
    return table_document(
        schema,
        name,
        columns=vocabulary_columns(curie_prefix),
        keys=[key(["ID"]), key(["URI"]), key(["Name"])],
        comment=comment,
    )


def vocabulary_columns(curie_prefix: str) -> list[Document]:
    return [
        column("ID", "ermrest_curie", nullok=False, default=f"{curie_prefix}:{{RID}}"),
        column("URI", "ermrest_uri", nullok=False, default="/id/{RID}"),
        column("Name", "text", nullok=False),
        column("Description", "markdown", nullok=False),
        column("Synonyms", "text[]"),
    ]


def asset(
    schema: str,
    name: str,
    *,
    columns: Sequence[Document] = (),
    foreign_keys: Sequence[Document] = (),
    references: Sequence[Target] = (),
    comment: str | None = None,
) -> Document:
    """An asset table: the five columns of every asset, then `columns`, then one reference for each target."""
    used = {"URL", "Filename", "Description", "Length", "MD5"} | {c["name"] for c in columns}
    pairs = []
    for target in references:
        base = base_name(target.table, used)
        used.add(base)
        pairs.append(reference(name, base, target))
    return table_document(
        schema,
        name,
        columns=[*asset_columns(schema, name), *columns, *(pair[0] for pair in pairs)],
        keys=[key(["URL"])],
        foreign_keys=[*foreign_keys, *(pair[1] for pair in pairs)],
        comment=comment,
    )


def asset_columns(schema: str, name: str) -> list[Document]:
    pattern = f"/hatrac/{{{{$catalog.id}}}}/{schema}/{name}/" + "{{{MD5}}}.{{#encode}}{{{Filename}}}{{/encode}}"
    annotations = {ASSET_TAG: asset_annotation(pattern)}
    return [
        column("URL", "text", nullok=False, comment="URL to the asset", annotations=annotations),
        column("Filename", "text", comment="Filename of the asset that was uploaded"),
        column("Description", "markdown", comment="Description of the asset"),
        column("Length", "int8", nullok=False, comment="Asset length (bytes)"),
        column("MD5", "text", nullok=False, comment="Asset content MD5 checksum"),
    ]


def asset_annotation(url_pattern: str) -> Document:
    """What makes column URL the address of a file; the key of the checksum is `md5`."""
    return {
        "filename_column": "Filename",
        "byte_count_column": "Length",
        "md5": "MD5",
        "url_pattern": url_pattern,
        "display": {"*": {"file_preview": {"content_type_mapping": {"application/octet-stream": "text"}}}},
    }


def association(
    schema: str,
    ends: Sequence[Target],
    *,
    name: str | None = None,
    extra: Sequence[tuple[Document, Document]] = (),
    references: Sequence[tuple[Target, bool]] = (),
    columns: Sequence[Document] = (),
    defaults: Mapping[str, Any] | None = None,
    comment: str | None = None,
) -> Document:
    """A table whose key is the combination of its ends; what follows the ends makes it impure.

    `references` are (target, nullable), `defaults` are column defaults by column name.
    """
    bases: list[str] = []
    for end in ends:
        bases.append(base_name(end.table, set(bases)))
    table = name or make_id(*(end.table for end in ends))
    pairs = [reference(table, base, end) for base, end in zip(bases, ends, strict=True)]
    used = set(bases)
    further = list(extra)
    for target, nullok in references:
        base = base_name(target.table, used)
        used.add(base)
        further.append(reference(table, base, target, nullok=nullok))
    document = table_document(
        schema,
        table,
        columns=[*(pair[0] for pair in pairs), *(pair[0] for pair in further), *columns],
        keys=[key(bases, make_id(table, "assoc", "key"))],
        foreign_keys=[pair[1] for pair in [*pairs, *further]],
        comment=comment,
    )
    for definition in document["column_definitions"]:
        if defaults and definition["name"] in defaults:
            definition["default"] = defaults[definition["name"]]
    return document
