"""Model documents out: what a client is shown of the catalog, its schemas, tables, columns, keys and foreign keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from deriva_ml_prefect.embedded.ermrest.acl import (
    CATALOG_ACLS,
    Access,
    Decision,
    catalog_right,
    foreign_key_right,
    schema_right,
    shown_column_right,
    table_right,
)
from deriva_ml_prefect.embedded.ermrest.model import Column, ForeignKey, Json, Key, Schema, Table
from deriva_ml_prefect.embedded.ermrest.types_catalog import document_of_type

SYSTEM_DEFAULTS: Final = {
    "RID": "_ermrest.urlb32_encode(nextval('_ermrest.rid_seq'::regclass))",
    "RCT": "now()",
    "RMT": "now()",
    "RCB": "_ermrest.current_client()",
    "RMB": "_ermrest.current_client()",
}
"""What ERMrest shows as the defaults of system columns; clients copy them."""
FEATURES: Final[Mapping[str, Json]] = {
    "trs": True,
    "tcrs": True,
    "history_control": True,
    "implicit_fkey_index": True,
    "catalog_post_input": True,
    "catalog_alias": True,
    "quantified_value_lists": True,
    "quantified_rid_lists": True,
    "rid_lease": True,
    "registry_catalog": True,
    "csv_array_json": True,
    "indexing_preferences": {"btree": True, "trgm": True, "gin_array": True},
}
CHANGES: Final = frozenset({"owner", "create", "insert", "update", "delete"})


@dataclass(frozen=True)
class Viewer:
    """For whom a document is made. In the past nothing can be changed, so those rights show as false."""

    access: Access
    is_past: bool = False
    echoes: Mapping[str, Json] = field(default_factory=dict)
    """Types as the client wrote them, by RID of the columns that this request made."""

    def shown(self, right: str, decision: Decision) -> Decision:
        return False if self.is_past and right in CHANGES else decision


def describe_catalog(viewer: Viewer, identity: Mapping[str, Json], snaptime: str) -> dict[str, Json]:
    """The catalog without its schemas; `identity` has its id and what else the registry knows of it."""
    return {**head_of_model(viewer, snaptime), **identity}


def describe_model(viewer: Viewer, snaptime: str) -> dict[str, Json]:
    """The document of `/schema`; the viewer's model must be the one that the viewer may see."""
    schemas = viewer.access.model.schemas.values()
    return {
        **head_of_model(viewer, snaptime),
        "schemas": {schema.name: describe_schema(viewer, schema) for schema in schemas},
    }


def head_of_model(viewer: Viewer, snaptime: str) -> dict[str, Json]:
    model = viewer.access.model
    document: dict[str, Json] = {
        "snaptime": snaptime,
        "annotations": dict(model.annotations),
        "rights": {right: viewer.shown(right, catalog_right(viewer.access, right)) for right in ("owner", "create")},
        "features": dict(FEATURES),
    }
    if catalog_right(viewer.access, "owner"):
        document["acls"] = {name: model.acls.get(name, []) for name in CATALOG_ACLS}
    return document


def describe_schema(viewer: Viewer, schema: Schema) -> dict[str, Json]:
    document = {
        "RID": schema.rid,
        "schema_name": schema.name,
        "comment": schema.comment,
        "rights": {
            right: viewer.shown(right, schema_right(viewer.access, schema, right)) for right in ("owner", "create")
        },
        "annotations": dict(schema.annotations),
        "tables": {table.name: describe_table(viewer, table) for table in schema.tables.values()},
    }
    if schema_right(viewer.access, schema, "owner"):
        document["acls"] = dict(schema.acls)
    return document


def describe_table(viewer: Viewer, table: Table) -> dict[str, Json]:
    document = {
        "RID": table.rid,
        "schema_name": table.schema,
        "table_name": table.name,
        "rights": {
            right: viewer.shown(right, table_right(viewer.access, table, right))
            for right in ("owner", "insert", "update", "delete", "select")
        },
        "column_definitions": [describe_column(viewer, table, column) for column in table.columns.values()],
        "keys": [describe_key(key) for key in table.keys],
        "foreign_keys": [describe_foreign_key(viewer, fkey) for fkey in table.foreign_keys],
        "kind": table.kind,
        "comment": table.comment,
        "annotations": dict(table.annotations),
    }
    if table_right(viewer.access, table, "owner"):
        document["acls"] = dict(table.acls)
        document["acl_bindings"] = dict(table.acl_bindings)
    return document


def describe_column(viewer: Viewer, table: Table, column: Column) -> dict[str, Json]:
    made = column.rid in viewer.echoes
    default = column.default
    if default is None and not made:
        default = SYSTEM_DEFAULTS.get(column.name)
    document = {
        "RID": column.rid,
        "name": column.name,
        "rights": {
            right: viewer.shown(right, shown_column_right(viewer.access, table, column, right))
            for right in ("insert", "update", "select", "delete")
        },
        "type": viewer.echoes[column.rid] if made else document_of_type(column.type),
        "default": default,
        "nullok": column.nullok,
        "comment": column.comment,
        "annotations": dict(column.annotations),
    }
    if table_right(viewer.access, table, "owner"):
        document["acls"] = dict(column.acls)
        document["acl_bindings"] = dict(column.acl_bindings)
    return document


def describe_key(key: Key) -> dict[str, Json]:
    return {
        "RID": key.rid,
        "comment": key.comment,
        "annotations": dict(key.annotations),
        "unique_columns": list(key.columns),
        "names": [list(key.name)],
    }


def describe_foreign_key(viewer: Viewer, fkey: ForeignKey) -> dict[str, Json]:
    document = {
        "RID": fkey.rid,
        "foreign_key_columns": describe_column_set(fkey.table, fkey.columns),
        "referenced_columns": describe_column_set(fkey.referenced_table, fkey.referenced_columns),
        "rights": {
            right: viewer.shown(right, foreign_key_right(viewer.access, fkey, right)) for right in ("insert", "update")
        },
        "comment": fkey.comment,
        "annotations": dict(fkey.annotations),
        "names": [list(fkey.name)],
        "on_delete": fkey.on_delete,
        "on_update": fkey.on_update,
    }
    table = viewer.access.model.schemas[fkey.table[0]].tables[fkey.table[1]]
    if table_right(viewer.access, table, "owner"):
        document["acls"] = dict(fkey.acls)
        document["acl_bindings"] = dict(fkey.acl_bindings)
    return document


def describe_column_set(table: tuple[str, str], columns: Iterable[str]) -> list[dict[str, str]]:
    return [{"schema_name": table[0], "table_name": table[1], "column_name": name} for name in columns]
