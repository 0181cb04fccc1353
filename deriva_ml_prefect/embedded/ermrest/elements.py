"""Finding the element of the model that a URL names.

What is missing decides the answer: the element itself 404, one above it or a whole foreign key 409.
"""

from __future__ import annotations

from deriva_ml_prefect.embedded.ermrest.model import Column, ForeignKey, Key, Model, Schema, Table
from deriva_ml_prefect.embedded.ermrest.model_url import Target
from deriva_ml_prefect.embedded.errors import Conflict, HttpError, NotFound

Element = Model | Schema | Table | Column | Key | ForeignKey


def find_schema(model: Model, target: Target, missing: type[HttpError] = Conflict) -> Schema:
    schema = model.schemas.get(target.schema)
    if schema is None:
        raise missing(f"Schema {target.schema} does not exist.")
    return schema


def find_table(model: Model, target: Target, missing: type[HttpError] = Conflict) -> Table:
    table = find_schema(model, target).tables.get(target.table)
    if table is None:
        raise missing(f"Table {target.table} does not exist in schema {target.schema}.")
    return table


def find_column(model: Model, target: Target, missing: type[HttpError] = Conflict) -> Column:
    column = find_table(model, target).columns.get(target.columns[0])
    if column is None:
        raise missing(f"Column {target.columns[0]} does not exist in table {target.schema}:{target.table}.")
    return column


def find_key(model: Model, target: Target, missing: type[HttpError] = Conflict) -> Key:
    wanted = set(target.columns)
    found = next((key for key in find_table(model, target).keys if set(key.columns) == wanted), None)
    if found is None:
        raise missing(f"Table {target.schema}:{target.table} has no key on {', '.join(target.columns)}.")
    return found


def find_foreign_keys(model: Model, target: Target) -> list[ForeignKey]:
    """All foreign keys that a URL of any length names.

    Raises NotFound when no foreign key has these columns, Conflict when a URL that names both ends finds none.
    """
    wanted = set(target.columns)
    found = [fkey for fkey in find_table(model, target).foreign_keys if set(fkey.columns) == wanted]
    if target.referenced_table is not None:
        if not found:
            raise Conflict(f"Table {target.schema}:{target.table} has no foreign key on {', '.join(target.columns)}.")
        other = find_referenced(model, target.referenced_table)
        found = [fkey for fkey in found if fkey.referenced_table == other.full_name]
        if target.referenced_columns:
            pairs = set(zip(target.columns, target.referenced_columns, strict=False))
            found = [
                fkey
                for fkey in found
                if len(fkey.columns) == len(target.referenced_columns)
                and set(zip(fkey.columns, fkey.referenced_columns, strict=True)) == pairs
            ]
            if not found:
                raise Conflict(f"Table {target.schema}:{target.table} has no such foreign key to {other.name}.")
        return found
    if not found:
        raise NotFound(f"Table {target.schema}:{target.table} has no foreign key on {', '.join(target.columns)}.")
    return found


def find_referenced(model: Model, name: tuple[str | None, str]) -> Table:
    schemas = model.schemas.values() if name[0] is None else [model.schemas.get(name[0])]
    found = [schema.tables[name[1]] for schema in schemas if schema is not None and name[1] in schema.tables]
    if len(found) != 1:
        raise Conflict(f"Table {name[1]} is {'not in the model' if not found else 'in several schemas: name one'}.")
    return found[0]


def find_foreign_key(model: Model, target: Target) -> ForeignKey:
    """The one foreign key that a URL names.

    Raises Conflict when it names several, or one that is missing at both of its ends.
    """
    found = find_foreign_keys(model, target)
    if len(found) != 1:
        raise Conflict(f"The URL names {len(found)} foreign keys: name one by its columns, its table and its key.")
    return found[0]


def find_element(model: Model, target: Target) -> Element:
    """The element whose part (comment, annotations, ACLs, bindings) a URL names; missing elements are 409."""
    match target.kind:
        case "schema":
            return find_schema(model, target)
        case "table":
            return find_table(model, target)
        case "column":
            return find_column(model, target)
        case "key":
            return find_key(model, target)
        case "foreignkey":
            return find_foreign_key(model, target)
        case _:
            return model
