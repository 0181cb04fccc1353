"""Static access control: who may do what with the catalog, a schema, a table, a column or a foreign key.

A right is decided True, False or None; None means that it depends on the row (an ACL binding is in force). Each element
inherits from the one above unless it has a list of its own for the right; an owner above may do everything below.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from deriva_ml_prefect.embedded.ermrest.model import Column, ForeignKey, Json, Model, Schema, Table
from deriva_ml_prefect.embedded.errors import Forbidden, HttpError, Unauthorized
from deriva_ml_prefect.embedded.http import Client

SUFFICIENT: Final[dict[str, frozenset[str]]] = {
    "owner": frozenset(),
    "create": frozenset({"owner"}),
    "write": frozenset({"owner"}),
    "insert": frozenset({"owner", "write"}),
    "update": frozenset({"owner", "write"}),
    "delete": frozenset({"owner", "write"}),
    "select": frozenset({"owner", "write", "update", "delete"}),
    "enumerate": frozenset({"owner", "create", "write", "insert", "update", "delete", "select"}),
}
"""Which other rights imply one."""
CATALOG_ACLS: Final = ("owner", "create", "enumerate", "write", "insert", "update", "delete", "select")
SCHEMA_ACLS: Final = CATALOG_ACLS
TABLE_ACLS: Final = ("owner", "enumerate", "write", "insert", "update", "delete", "select")
COLUMN_ACLS: Final = ("enumerate", "write", "insert", "update", "select")
FKEY_ACLS: Final = ("write", "insert", "update", "enumerate")
TABLE_BINDING_TYPES: Final = ("owner", "update", "delete", "select")
FKEY_BINDING_TYPES: Final = ("owner", "insert", "update")
READING: Final = frozenset({"select", "enumerate"})
NEVER: Final = {
    "RID": frozenset({"update", "write"}),
    "RMT": frozenset({"insert", "update", "write"}),
    "RMB": frozenset({"insert", "update", "write"}),
}
"""Rights on system columns that nobody has."""
Decision = bool | None
RowRule = tuple[tuple[Column, bool], ...]


@dataclass(frozen=True)
class Access:
    """Who asks, and of which model: what all decisions need."""

    model: Model
    roles: frozenset[str]

    @property
    def is_anonymous(self) -> bool:
        return self.roles == {"*"}


def roles_of(client: Client | None) -> frozenset[str]:
    return frozenset({"*"}) if client is None else client.roles | {"*"}


def refusal(client: Client | None, message: str) -> HttpError:
    """The error of missing rights: 401 for an anonymous client, 403 for a known one."""
    return Unauthorized(message) if client is None else Forbidden(message)


def is_listed(acls: Mapping[str, list[str]], right: str, roles: frozenset[str]) -> bool:
    return any(not roles.isdisjoint(acls.get(name) or ()) for name in (right, *SUFFICIENT[right]))


def catalog_right(access: Access, right: str) -> bool:
    if access.is_anonymous and right not in READING:
        return False
    return is_listed(access.model.acls, right, access.roles)


def schema_right(access: Access, schema: Schema, right: str) -> bool:
    if access.is_anonymous and right not in READING:
        return False
    if is_listed(schema.acls, right, access.roles) or catalog_right(access, "owner"):
        return True
    return right not in schema.acls and catalog_right(access, right)


def table_right(access: Access, table: Table, right: str) -> Decision:
    schema = access.model.schemas[table.schema]
    if not schema_right(access, schema, "enumerate"):
        return False
    if access.is_anonymous and right not in READING:
        return False
    if is_listed(table.acls, right, access.roles) or schema_right(access, schema, "owner"):
        return True
    if right not in table.acls and schema_right(access, schema, right):
        return True
    return None if bindings_in_scope(table.acl_bindings, right, access.roles) else False


def column_right(access: Access, table: Table, column: Column, right: str) -> Decision:
    if right in NEVER.get(column.name, ()):
        return False
    of_table = table_right(access, table, right)
    if of_table is False or (access.is_anonymous and right not in READING):
        return False
    if is_listed(column.acls, right, access.roles) or table_right(access, table, "owner"):
        return True
    if right not in column.acls and of_table:
        return True
    return None if bindings_in_scope(_bindings_of(table, column), right, access.roles) else False


def _bindings_of(table: Table, column: Column) -> dict[str, Json]:
    """A column's own bindings, and those of its table by other names."""
    return {**table.acl_bindings, **column.acl_bindings}


def shown_column_right(access: Access, table: Table, column: Column, right: str) -> Decision:
    """As model documents show it: nobody is told that RCB can be changed."""
    if column.name == "RCB" and right == "update":
        return False
    return column_right(access, table, column, right)


def foreign_key_right(access: Access, fkey: ForeignKey, right: str) -> Decision:
    table = table_named(access.model, fkey.table)
    if table is None:
        return False
    if right == "enumerate":
        target = table_named(access.model, fkey.referenced_table)
        if target is None or not can_enumerate_fkey(access, fkey, table, target):
            return False
    if access.is_anonymous and right not in READING and right not in ("insert", "update"):
        return False
    if is_listed(fkey.acls, right, access.roles) or table_right(access, table, "owner"):
        return True
    if right not in fkey.acls and table_right(access, table, right):
        return True
    return None if bindings_in_scope(fkey.acl_bindings, right, access.roles) else False


def can_enumerate_fkey(access: Access, fkey: ForeignKey, table: Table, target: Table) -> bool:
    from_columns = (column_right(access, table, table.columns[name], "select") for name in fkey.columns)
    to_columns = (column_right(access, target, target.columns[name], "select") for name in fkey.referenced_columns)
    return all(decision is not False for decision in (*from_columns, *to_columns))


def table_named(model: Model, name: tuple[str, str]) -> Table | None:
    schema = model.schemas.get(name[0])
    return schema.tables.get(name[1]) if schema else None


def bindings_in_scope(bindings: Mapping[str, Json], right: str, roles: frozenset[str]) -> list[Json]:
    """The bindings that may give the right for some rows."""
    wanted = {right, *SUFFICIENT[right]}
    return [
        binding
        for binding in bindings.values()
        if isinstance(binding, Mapping)
        and not roles.isdisjoint(binding.get("scope_acl") or ["*"])
        and not wanted.isdisjoint(binding["types"])
    ]


def row_rule(access: Access, table: Table, right: str) -> RowRule:
    """Where `table_right` says None: columns of the table that make a row accessible, and whether by any value.

    Else they do by one of the client's roles. Only bindings that name a column of the table itself are followed;
    others give nothing, which is the safe side.
    """
    return _columns_of_bindings(table, bindings_in_scope(table.acl_bindings, right, access.roles))


def column_rule(access: Access, table: Table, column: Column, right: str) -> RowRule:
    """The same where `column_right` says None."""
    return _columns_of_bindings(table, bindings_in_scope(_bindings_of(table, column), right, access.roles))


def reference_rule(access: Access, fkey: ForeignKey, target: Table, right: str) -> RowRule:
    """The same where `foreign_key_right` says None: columns of the table that is referred to."""
    return _columns_of_bindings(target, bindings_in_scope(fkey.acl_bindings, right, access.roles))


def _columns_of_bindings(table: Table, bindings: Iterable[Json]) -> RowRule:
    found: dict[tuple[str, bool], None] = {}
    for binding in bindings:
        projection = binding["projection"]
        if isinstance(projection, list) and len(projection) == 1:
            projection = projection[0]
        if isinstance(projection, str):
            found[projection, binding.get("projection_type") == "nonnull"] = None
    return tuple((table.columns[name], by_any) for name, by_any in found if name in table.columns)


def require_catalog(model: Model, client: Client | None, right: str) -> None:
    if not catalog_right(Access(model, roles_of(client)), right):
        raise refusal(client, f"{right} access on the catalog")


def require_schema(model: Model, schema: Schema, client: Client | None, right: str) -> None:
    if not schema_right(Access(model, roles_of(client)), schema, right):
        raise refusal(client, f"{right} access on schema {schema.name}")


def require(model: Model, table: Table, client: Client | None, right: str) -> Decision:
    """Raise Forbidden (401 for an anonymous client) unless the client has the right on the table.

    Returns True, or None where it has it for some rows only (`row_rule`).
    """
    decision = table_right(Access(model, roles_of(client)), table, right)
    if decision is False:
        raise refusal(client, f"{right} access on table {table.schema}:{table.name}")
    return decision


def require_all_rows(model: Model, table: Table, client: Client | None, right: str) -> None:
    """The same, where a right for some rows only is none."""
    if require(model, table, client, right) is None:
        raise refusal(client, f"{right} access on table {table.schema}:{table.name}")


def require_columns(model: Model, table: Table, columns: Iterable[Column], client: Client | None, right: str) -> None:
    """Raise Forbidden (401 for an anonymous client) unless the client has the right on each of these columns."""
    access = Access(model, roles_of(client))
    for column in columns:
        if column_right(access, table, column, right) is False:
            raise refusal(client, f"{right} access on column {table.schema}:{table.name}:{column.name}")


def visible_model(model: Model, roles: frozenset[str]) -> Model:
    """The model without what these roles may not even see; names are resolved against it."""
    access = Access(model, roles)
    if catalog_right(access, "owner"):
        return model
    schemas = {
        name: replace(
            schema,
            tables={
                table.name: visible_table(access, table)
                for table in schema.tables.values()
                if table_right(access, table, "enumerate") is not False
            },
        )
        for name, schema in model.schemas.items()
        if schema_right(access, schema, "enumerate")
    }
    incoming = {
        name: tuple(fkey for fkey in fkeys if foreign_key_right(access, fkey, "enumerate") is not False)
        for name, fkeys in model.incoming.items()
    }
    return replace(model, schemas=schemas, incoming=incoming)


def visible_table(access: Access, table: Table) -> Table:
    columns = {
        name: column
        for name, column in table.columns.items()
        if column_right(access, table, column, "enumerate") is not False
    }
    keys = tuple(
        key
        for key in table.keys
        if all(column_right(access, table, table.columns[name], "select") is not False for name in key.columns)
    )
    fkeys = tuple(fkey for fkey in table.foreign_keys if foreign_key_right(access, fkey, "enumerate") is not False)
    return replace(table, columns=columns, keys=keys, foreign_keys=fkeys)
