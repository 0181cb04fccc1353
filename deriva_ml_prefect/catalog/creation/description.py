"""The description of a new catalog, and the documents made from it."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from deriva_ml_prefect.catalog import documents
from deriva_ml_prefect.values.names import ML_SCHEMA


@cache
def description() -> dict[str, Any]:
    """`ml_schema.json`: schemas with their tables, terms by vocabulary, sentinel rows."""
    content: dict[str, Any] = json.loads(files(__package__).joinpath("ml_schema.json").read_text(encoding="utf-8"))
    return content


def schema_documents(project: str) -> dict[str, Any]:
    """The body of the one request that makes all schemas and tables; `project` names the empty domain schema."""
    schemas: dict[str, Any] = {}
    for schema, tables in description()["schemas"].items():
        schemas[schema] = {
            "schema_name": schema,
            "annotations": description()["schema_annotations"] if schema == ML_SCHEMA else {},
            "tables": {table["name"]: _table(schema, table, project) for table in tables},
        }
    schemas[project] = {"schema_name": project, "annotations": {}, "tables": {}}
    return {"schemas": schemas}


def _table(schema: str, table: dict[str, Any], project: str) -> dict[str, Any]:
    return documents.table_document(
        schema,
        table["name"],
        columns=[_column(column, project) for column in table["columns"]],
        keys=[documents.key(key["columns"], key.get("name")) for key in table["keys"]],
        foreign_keys=[
            documents.foreign_key(fkey["columns"], fkey["target"], name=fkey.get("name"), action=fkey["action"])
            for fkey in table["foreign_keys"]
        ],
    )


def _column(column: dict[str, Any], project: str) -> dict[str, Any]:
    default = column.get("default")
    return documents.column(
        column["name"],
        column["type"],
        nullok=column.get("nullok", True),
        default=default.replace("<project>", project) if isinstance(default, str) else default,
        annotations=column.get("annotations"),
    )
