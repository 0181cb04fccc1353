"""A model being changed: frozen values replaced one by one until the request is done, and the numbers they need."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from deriva_ml_prefect.embedded.ermrest.acl import Access, column_right, roles_of, schema_right, table_right
from deriva_ml_prefect.embedded.ermrest.clock import allocate_physical, allocate_rids
from deriva_ml_prefect.embedded.ermrest.model import Column, ForeignKey, Json, Model, Schema, Table, TableName
from deriva_ml_prefect.embedded.ermrest.model_store import assemble_model
from deriva_ml_prefect.embedded.errors import Conflict
from deriva_ml_prefect.embedded.http import Client


@dataclass
class Draft:
    """The model as changed so far in one transaction."""

    connection: sqlite3.Connection
    model: Model
    client: Client | None
    echoes: dict[str, Json] = field(default_factory=dict)
    """By RID of a column made in this request: its type as the client wrote it, which is how the answer shows it."""

    @property
    def access(self) -> Access:
        return Access(self.model, roles_of(self.client))

    def new_rid(self) -> str:
        return allocate_rids(self.connection, 1)[0]

    def new_physical(self) -> int:
        return allocate_physical(self.connection, 1)[0]

    def schema(self, name: str) -> Schema:
        """Raises Conflict when there is none, or none that the client may see."""
        found = self.model.schemas.get(name)
        if found is None or not schema_right(self.access, found, "enumerate"):
            raise Conflict(f"Schema {name} does not exist.")
        return found

    def table(self, name: TableName) -> Table:
        """Raises Conflict when there is none, or none that the client may see."""
        found = self.schema(name[0]).tables.get(name[1])
        if found is None or table_right(self.access, found, "enumerate") is False:
            raise Conflict(f"Table {name[1]} does not exist in schema {name[0]}.")
        return found

    def column(self, table: Table, name: str) -> Column:
        """Raises Conflict when there is none, or none that the client may see."""
        found = table.columns.get(name)
        if found is None or column_right(self.access, table, found, "enumerate") is False:
            raise Conflict(f"Column {name} does not exist in table {table.schema}:{table.name}.")
        return found


def set_catalog_parts(
    draft: Draft, *, annotations: dict[str, Json] | None = None, acls: dict[str, list[str]] | None = None
) -> None:
    """Replace the catalog's own annotations or ACLs; None leaves them."""
    model = draft.model
    draft.model = replace(
        model,
        annotations=model.annotations if annotations is None else annotations,
        acls=model.acls if acls is None else acls,
    )


def put_schema(draft: Draft, schema: Schema, *, instead_of: str | None = None) -> None:
    """Add the schema, or put it in the place of the one named."""
    schemas = {name: value for name, value in draft.model.schemas.items() if name != instead_of}
    schemas[schema.name] = schema
    rebuild(draft, schemas)


def put_table(draft: Draft, table: Table, *, instead_of: TableName | None = None) -> Table:
    """Add the table, or put it in the place of the one named. Returns it."""
    schemas = dict(draft.model.schemas)
    if instead_of is not None and instead_of != table.full_name:
        old = schemas[instead_of[0]]
        remaining = {name: value for name, value in old.tables.items() if name != instead_of[1]}
        schemas[old.name] = replace(old, tables=remaining)
    schema = schemas[table.schema]
    schemas[table.schema] = replace(schema, tables={**schema.tables, table.name: table})
    rebuild(draft, schemas)
    return table


def remove_table(draft: Draft, name: TableName) -> None:
    schema = draft.model.schemas[name[0]]
    remaining = {key: table for key, table in schema.tables.items() if key != name[1]}
    rebuild(draft, {**draft.model.schemas, schema.name: replace(schema, tables=remaining)})


def remove_schema(draft: Draft, name: str) -> None:
    rebuild(draft, {key: schema for key, schema in draft.model.schemas.items() if key != name})


def change_tables(draft: Draft, change: Callable[[Table], Table], among: Iterable[TableName] | None = None) -> None:
    """Pass tables (all, or those named) through a function that keeps each one's name; what comes back replaces it."""
    wanted = None if among is None else set(among)
    schemas = {}
    for name, schema in draft.model.schemas.items():
        tables = {
            key: change(table) if wanted is None or table.full_name in wanted else table
            for key, table in schema.tables.items()
        }
        same = all(tables[key] is table for key, table in schema.tables.items())
        schemas[name] = schema if same else replace(schema, tables=tables)
    rebuild(draft, schemas)


def change_foreign_keys(draft: Draft, change: Callable[[ForeignKey], ForeignKey]) -> None:
    """Pass all foreign keys of the model through a function."""

    def change_table(table: Table) -> Table:
        changed = tuple(change(fkey) for fkey in table.foreign_keys)
        return table if changed == table.foreign_keys else replace(table, foreign_keys=changed)

    change_tables(draft, change_table)


def rebuild(draft: Draft, schemas: dict[str, Schema]) -> None:
    model = draft.model
    draft.model = assemble_model(model.version, schemas, model.annotations, model.acls)
