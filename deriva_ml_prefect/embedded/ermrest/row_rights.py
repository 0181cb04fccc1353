"""What of the rights depends on the rows that a client writes: which rows, and to which rows they may refer.

All of these raise Forbidden, Unauthorized for an anonymous client.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from deriva_ml_prefect.embedded.ermrest.acl import (
    Access,
    foreign_key_right,
    reference_rule,
    refusal,
    roles_of,
    row_rule,
    table_named,
    table_right,
)
from deriva_ml_prefect.embedded.ermrest.model import ForeignKey, Table
from deriva_ml_prefect.embedded.ermrest.plan import where_allowed
from deriva_ml_prefect.embedded.ermrest.row_changes import Change
from deriva_ml_prefect.embedded.ermrest.sql import Writer, condition


def refuse_rows(change: Change, table: Table, right: str, rows: str) -> None:
    """Refuse where the right is given for some rows only, and one of this set is not among them."""
    access = _access(change)
    if table_right(access, table, right) is None:
        writer = Writer()
        allowed = condition(writer, where_allowed(row_rule(access, table, right), 0, access.roles))
        inside = f"s0.rowid IN (SELECT row FROM {rows})"
        if _exists(change, f"{table.physical} AS s0 WHERE {inside} AND NOT ({allowed})", writer):
            raise refusal(
                change.writing.client, f"{right} access on one or more rows of table {table.schema}:{table.name}"
            )


def refuse_input(change: Change, table: Table, right: str, rows: str, inputs: Mapping[str, str]) -> None:
    """Refuse input that is not null in a column of a foreign key that the client may not use.

    `inputs` has the columns of the set by the names of the columns that they are for.
    """
    for fkey in _limited(change, table, inputs, right):
        given = " OR ".join(f"{inputs[name]} IS NOT NULL" for name in fkey.columns if name in inputs)
        if foreign_key_right(_access(change), fkey, right) is False and _exists(change, f"{rows} WHERE {given}"):
            raise _no_reference(change, fkey, right)


def refuse_references(change: Change, table: Table, right: str, which: str, columns: Collection[str]) -> None:
    """Refuse rows `f` of the table, as they are now, that refer by one of these columns to what the client may not."""
    access = _access(change)
    for fkey in _limited(change, table, columns, right):
        given = " OR ".join(f"f.{table.columns[name].physical} IS NOT NULL" for name in fkey.columns if name in columns)
        writer, condition_ = Writer(), "1"
        target = table_named(access.model, fkey.referenced_table)
        if foreign_key_right(access, fkey, right) is None and target is not None:
            pairs = zip(fkey.columns, fkey.referenced_columns, strict=True)
            equal = " AND ".join(
                f"s0.{target.columns[to].physical} = f.{table.columns[name].physical}" for name, to in pairs
            )
            rule = reference_rule(access, fkey, target, right)
            allowed = condition(writer, where_allowed(rule, 0, access.roles))
            condition_ = f"NOT EXISTS (SELECT 1 FROM {target.physical} AS s0 WHERE {equal} AND {allowed})"
            given = " AND ".join(f"f.{table.columns[name].physical} IS NOT NULL" for name in fkey.columns)
        if _exists(change, f"{table.physical} AS f WHERE {which} AND ({given}) AND {condition_}", writer):
            raise _no_reference(change, fkey, right)


def _access(change: Change) -> Access:
    return Access(change.writing.model, roles_of(change.writing.client))


def _limited(change: Change, table: Table, columns: Collection[str], right: str) -> list[ForeignKey]:
    """The foreign keys with one of these columns that the client may not use for all that they could refer to."""
    access, names = _access(change), frozenset(columns)
    return [
        fkey
        for fkey in table.foreign_keys
        if not names.isdisjoint(fkey.columns) and foreign_key_right(access, fkey, right) is not True
    ]


def _exists(change: Change, rest: str, writer: Writer | None = None) -> bool:
    found = change.connection.execute(f"SELECT 1 FROM {rest} LIMIT 1", tuple(writer.parameters if writer else ()))
    return found.fetchone() is not None


def _no_reference(change: Change, fkey: ForeignKey, right: str) -> Exception:
    return refusal(change.writing.client, f"{right} access on foreign key {fkey.name[1]}")
