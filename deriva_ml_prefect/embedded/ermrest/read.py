"""Answer a GET of data: entity, attribute, attributegroup and aggregate, now or at a snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from time import monotonic

from deriva_ml_prefect.embedded.database import Connection
from deriva_ml_prefect.embedded.ermrest.acl import (
    Access,
    RowRule,
    column_right,
    column_rule,
    require,
    require_columns,
    roles_of,
    row_rule,
    table_right,
)
from deriva_ml_prefect.embedded.ermrest.catalogs import Catalog, Reading
from deriva_ml_prefect.embedded.ermrest.clock import Moment
from deriva_ml_prefect.embedded.ermrest.definition import SYSTEM_COLUMNS
from deriva_ml_prefect.embedded.ermrest.model import Column, Model, Table
from deriva_ml_prefect.embedded.ermrest.negotiation import form_headers, negotiate
from deriva_ml_prefect.embedded.ermrest.plan import (
    Aggregate,
    Both,
    ColumnRef,
    Compare,
    Condition,
    Either,
    IsNull,
    Match,
    Negation,
    PathPlan,
    ReadPlan,
    Rights,
    where_allowed,
)
from deriva_ml_prefect.embedded.ermrest.preconditions import tagged, unchanged
from deriva_ml_prefect.embedded.ermrest.representation import Shape, render
from deriva_ml_prefect.embedded.ermrest.resolve_output import resolve_read
from deriva_ml_prefect.embedded.ermrest.sql import compile_read
from deriva_ml_prefect.embedded.ermrest.tree import DataRequest, Options
from deriva_ml_prefect.embedded.http import Client, Request, Response


def answer_read(catalog: Catalog, at: Moment | None, tree: DataRequest, options: Options, request: Request) -> Response:
    """The rows, streamed from one snapshot of the file; an error of the query is raised before the answer begins."""
    form = negotiate(request, options)
    with ExitStack() as stack:
        reading = stack.enter_context(catalog.reading(request, at))
        not_modified = unchanged(request, reading.revision)
        if not_modified is not None:
            return not_modified
        plan = resolve_read(reading.visible, tree, options)
        plan = decide_rights(reading, plan, request.client)
        plan = replace(plan, path=restrict_path(reading.model, plan.path, request.client, "select"))
        require_reading(reading.model, plan, request.client)
        pieces = _pieces(reading, plan, form, options)
        first = next(pieces, b"")
        second = next(pieces, None)
        headers = (*form_headers(form, options), *tagged(request, reading.revision))
        if second is None:
            return Response(200, headers, first)
        return Response(200, headers, _stream(stack.pop_all(), reading.connection, first + second, pieces))


def _pieces(reading: Reading, plan: ReadPlan, form: str, options: Options) -> Iterator[bytes]:
    query = compile_read(plan, reading.at.text if reading.at else None)
    shape = Shape(tuple(o.name for o in plan.outputs), tuple(o.type for o in plan.outputs))
    return render(reading.connection, query, shape, form, arrays_as_json=options.arrays == "json")


def _stream(stack: ExitStack, connection: Connection, first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces; the time that the client takes to fetch them is not counted as the query's."""
    with stack:
        for piece in chain([first], rest):
            given = monotonic()
            yield piece
            connection.deadline += monotonic() - given


def decide_rights(reading: Reading, plan: ReadPlan, client: Client | None) -> ReadPlan:
    """The plan with what the client may do; nobody may change the past."""
    access = Access(reading.model, roles_of(client))
    outputs = []
    for output in plan.outputs:
        if isinstance(output.expression, Rights):
            seen = plan.path.sources[output.expression.column.source]
            table = reading.model.schemas[seen.schema].tables[seen.name]
            decided = _decide(access, table, seen, output.expression, is_past=reading.at is not None)
            output = replace(output, expression=decided)
        outputs.append(output)
    return replace(plan, outputs=tuple(outputs))


def _decide(access: Access, table: Table, seen: Table, rights: Rights, *, is_past: bool) -> Rights:
    def settled(decision: bool | None, rule: RowRule) -> bool | Condition:
        if is_past or decision is not None:
            return bool(decision) and not is_past
        return where_allowed(rule, rights.column.source, access.roles)

    of_row = [
        (right, settled(table_right(access, table, right), row_rule(access, table, right)))
        for right in ("delete", "update")
    ]
    updates = [
        (
            column.name,
            column.name not in SYSTEM_COLUMNS
            and settled(column_right(access, table, column, "update"), column_rule(access, table, column, "update")),
        )
        for column in (seen.columns.values() if rights.of_columns else ())
    ]
    return replace(rights, of_row=tuple(of_row), updates=tuple(updates))


def restrict_path(model: Model, path: PathPlan, client: Client | None, right: str) -> PathPlan:
    """Require `select` of every table of the path and `right` of the current one.

    Where the client has a right for some rows only, the path is narrowed to them. Raises Forbidden or Unauthorized.
    """
    access = Access(model, roles_of(client))
    conditions: list[Condition] = []
    for position, seen in enumerate(path.sources):
        table = model.schemas[seen.schema].tables[seen.name]
        for needed in dict.fromkeys(("select", right if position == path.current else "select")):
            if require(model, table, client, needed) is None:
                conditions.append(where_allowed(row_rule(access, table, needed), position, access.roles))
    return replace(path, conditions=(*path.conditions, *conditions)) if conditions else path


def require_reading(model: Model, plan: ReadPlan, client: Client | None) -> None:
    """Raise Forbidden or Unauthorized where a column that the plan names may not be read."""
    named: dict[tuple[str, str], dict[str, Column]] = {}
    for reference in _references(plan):
        table: Table = plan.path.sources[reference.source]
        named.setdefault(table.full_name, {})[reference.column.name] = reference.column
    for (schema, name), columns in named.items():
        table = model.schemas[schema].tables[name]
        require_columns(model, table, columns.values(), client, "select")


def _references(plan: ReadPlan) -> Iterator[ColumnRef]:
    for output in plan.outputs:
        if isinstance(output.expression, ColumnRef):
            yield output.expression
        elif isinstance(output.expression, Aggregate):
            yield from output.expression.columns
        else:
            yield output.expression.column
    for join in plan.path.joins:
        for pairs in join.alternatives:
            for pair in pairs:
                yield from pair
    for part in plan.path.conditions:
        yield from _named_in(part)


def _named_in(part: Condition) -> Iterator[ColumnRef]:
    if isinstance(part, Compare | IsNull):
        yield part.column
    elif isinstance(part, Match):
        yield from part.columns
    elif isinstance(part, Negation):
        yield from _named_in(part.operand)
    elif isinstance(part, Both | Either):
        for operand in part.operands:
            yield from _named_in(operand)
