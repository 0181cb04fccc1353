"""Fields of model documents: read, and refused with BadRequest where a client wrote something else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from deriva_ml_prefect.embedded.ermrest.model import Json, TableName
from deriva_ml_prefect.embedded.errors import BadRequest

LONGEST_NAME: Final = 63
"""Bytes of a name in UTF-8."""
ACTIONS: Final = ("NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT")


def read_object(value: Json, what: str) -> Mapping[str, Json]:
    if not isinstance(value, Mapping):
        raise BadRequest(f"The document of a {what} must be a JSON object.")
    return value


def read_list(value: Json, what: str) -> list[Json]:
    if not isinstance(value, list):
        raise BadRequest(f"The field {what} must be a JSON array.")
    return value


def read_name(value: Json, what: str) -> str:
    """A name of at most 63 bytes in UTF-8.

    Raises BadRequest for any other value.
    """
    if not isinstance(value, str) or not value:
        raise BadRequest(f"A {what} needs a name, which is a text.")
    if len(value.encode("utf-8", "surrogatepass")) > LONGEST_NAME:
        raise BadRequest(f"The {what} name {value} is longer than {LONGEST_NAME} bytes.")
    if "\0" in value:
        raise BadRequest(f"The {what} name holds a NUL character.")
    return value


def read_names(value: Json, what: str) -> tuple[str, ...]:
    """A list of different names, at least one."""
    names = tuple(name for name in read_list(value, what) if isinstance(name, str))
    if not names or len(names) != len(value):
        raise BadRequest(f"The field {what} must be a list of column names.")
    return tuple(dict.fromkeys(names))


def read_comment(document: Mapping[str, Json]) -> str | None:
    comment = document.get("comment")
    if comment is not None and not isinstance(comment, str):
        raise BadRequest("A comment must be a text or null.")
    return comment


def read_annotations(document: Mapping[str, Json]) -> dict[str, Json]:
    annotations = document.get("annotations")
    return dict(read_object({} if annotations is None else annotations, "set of annotations"))


def read_constraint_name(document: Mapping[str, Json]) -> str | None:
    """The constraint's name in `names`, a list of [schema name, constraint name]; None when it is left to us."""
    names = document.get("names")
    if not names:
        return None
    first = read_list(names, "names")[0]
    if not isinstance(first, list) or len(first) != 2:
        raise BadRequest("A constraint name must be a pair [schema_name, constraint_name].")
    return read_name(first[1], "constraint")


def read_action(document: Mapping[str, Json], field: str) -> str:
    action = document.get(field)
    if action is None:
        return "NO ACTION"
    if not isinstance(action, str) or action.upper() not in ACTIONS:
        raise BadRequest(f"The field {field} must be one of {', '.join(ACTIONS)}.")
    return action.upper()


def read_column_set(value: Json, what: str, default: TableName | None) -> tuple[TableName, tuple[str, ...]]:
    """The one table and its columns that a list of {schema_name, table_name, column_name} names."""
    tables, columns = set(), []
    for item in read_list(value, f"{what} columns"):
        item = read_object(item, f"{what} column")
        schema = item.get("schema_name", default[0] if default else None)
        table = item.get("table_name", default[1] if default else None)
        if not isinstance(schema, str) or not isinstance(table, str) or not isinstance(item.get("column_name"), str):
            raise BadRequest(f"Each {what} column needs a schema_name, table_name and column_name.")
        tables.add((schema, table))
        columns.append(item["column_name"])
    if len(tables) != 1 or len(set(columns)) != len(columns):
        raise BadRequest(f"The {what} columns must be different columns of one table.")
    return tables.pop(), tuple(columns)
