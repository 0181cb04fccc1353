"""Resolve what a read gives back: output columns, groups, aggregates, sorting and paging."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import isfinite

from deriva_ml_prefect.embedded.ermrest.bins import MOMENTS
from deriva_ml_prefect.embedded.ermrest.model import Model, Type
from deriva_ml_prefect.embedded.ermrest.plan import (
    Aggregate,
    Bin,
    ColumnRef,
    Output,
    PagePlan,
    PathPlan,
    ReadPlan,
    Rights,
)
from deriva_ml_prefect.embedded.ermrest.resolve_filter import resolve_path
from deriva_ml_prefect.embedded.ermrest.resolve_path import find_column, find_reference, find_source
from deriva_ml_prefect.embedded.ermrest.sql import MADE_JSON
from deriva_ml_prefect.embedded.ermrest.tree import DataRequest, Item, Options, Page
from deriva_ml_prefect.embedded.ermrest.types import FLOATS, INTEGERS, Stored, cast_bound, cast_literal, parse_float4
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict

INT8 = Type("int8")
FLOAT4, FLOAT8 = Type("float4"), Type("float8")
NUMERIC = Type("numeric")
"""Of sums and averages that PostgreSQL computes exactly: stored as text."""
JSON = Type(MADE_JSON, Type("jsonb"), is_domain=True)
RIGHTS = ("trs", "tcrs")
AGGREGATES = ("min", "max", "avg", "sum", "cnt", "cnt_d", "array", "array_d")
MOST_BINS = 100_000
MOST_OUTPUTS = 1500
"""SQLite gives at most 2000 columns."""


def resolve_read(model: Model, request: DataRequest, options: Options) -> ReadPlan:
    """The whole plan of a GET. Raises Conflict for names, BadRequest for what the grammar cannot tell."""
    path = resolve_path(model, request.path)
    plan = {
        "entity": _plan_entity,
        "attribute": _plan_attribute,
        "attributegroup": _plan_group,
        "aggregate": _plan_aggregate,
    }[request.resource](path, request)
    if len(plan.outputs) > MOST_OUTPUTS:
        raise BadRequest(f"The answer would have more than {MOST_OUTPUTS} columns.")
    _refuse_duplicates(plan.outputs)
    if request.resource == "aggregate" and request.page.sort:
        raise BadRequest("An aggregate is one row and cannot be sorted.")
    if request.resource == "entity":
        for key in request.page.sort:
            find_column(path.table, key.name)
    return replace(plan, page=resolve_page(plan.outputs, request.page, options))


def _plan_entity(path: PathPlan, _: DataRequest) -> ReadPlan:
    outputs = tuple(Output(c.name, ColumnRef(path.current, c), c.type) for c in path.table.columns.values())
    return ReadPlan(path, outputs, "row" if path.distinct else "none")


def _plan_attribute(path: PathPlan, request: DataRequest) -> ReadPlan:
    outputs = tuple(output for item in request.items for output in _resolve_item(path, item, aggregates=False))
    return ReadPlan(path, outputs, "row" if path.distinct else "none")


def _plan_group(path: PathPlan, request: DataRequest) -> ReadPlan:
    keys = tuple(output for item in request.keys for output in _resolve_item(path, item, aggregates=False))
    for key in keys:
        if isinstance(key.expression, ColumnRef) and key.type.scalar == "json":
            raise Conflict(f"Column {key.name} of type json cannot be a group key; jsonb can.")
    items = tuple(output for item in request.items for output in _resolve_item(path, item, aggregates=True))
    return ReadPlan(path, (*keys, *items), "keys", len(keys))


def _plan_aggregate(path: PathPlan, request: DataRequest) -> ReadPlan:
    for item in request.items:
        if item.function is None or item.function in RIGHTS:
            raise BadRequest(f"The column {item.column} of an aggregate needs a function that aggregates.")
    items = tuple(output for item in request.items for output in _resolve_item(path, item, aggregates=True))
    return ReadPlan(path, items, "all")


def _refuse_duplicates(outputs: tuple[Output, ...]) -> None:
    seen: set[str] = set()
    for output in outputs:
        if output.name in seen:
            raise BadRequest(f"The output column {output.name!r} appears more than once.")
        seen.add(output.name)


def _resolve_item(path: PathPlan, item: Item, *, aggregates: bool) -> Iterator[Output]:
    if item.function is not None:
        yield _resolve_function(path, item, aggregates=aggregates)
    elif item.column.parts[-1] == "*":
        if item.alias is not None:
            raise BadRequest("The wildcard '*' cannot be given an alias.")
        source, _ = find_source(path, item.column)
        prefix = f"{item.column.parts[0]}:" if len(item.column.parts) > 1 else ""
        for column in path.sources[source].columns.values():
            yield Output(prefix + column.name, ColumnRef(source, column), column.type)
    else:
        reference = find_reference(path, item.column)
        yield Output(item.alias or reference.column.name, reference, reference.type)


def _resolve_function(path: PathPlan, item: Item, *, aggregates: bool) -> Output:
    function = item.function or ""
    if function in RIGHTS:
        return _resolve_rights(path, item)
    if function == "bin" and not aggregates:
        return _resolve_bin(path, item)
    if not aggregates or function not in AGGREGATES:
        raise BadRequest(f"The function {function!r} is not known here.")
    if item.alias is None:
        raise BadRequest(f"The aggregate {function}({item.column}) needs an output name: NAME:={function}(..).")
    if item.arguments:
        raise BadRequest(f"The function {function} takes one column.")
    if item.column.parts[-1] == "*":
        return _resolve_star(path, item, item.alias)
    reference = find_reference(path, item.column)
    _check_aggregate(function, reference)
    return Output(item.alias, Aggregate(function, (reference,)), _aggregate_type(function, reference.type))


def _aggregate_type(function: str, kind: Type) -> Type:
    if function in ("cnt", "cnt_d"):
        return INT8
    if function in ("array", "array_d"):
        return JSON
    if function == "avg":
        return FLOAT8 if kind.scalar in FLOATS else NUMERIC
    if function == "sum":
        if kind.scalar in FLOATS:
            return FLOAT4 if kind.scalar == "float4" else FLOAT8
        return NUMERIC if kind.scalar in ("int8", "serial8") else INT8
    return kind


def _resolve_star(path: PathPlan, item: Item, alias: str) -> Output:
    if item.function == "cnt":
        if len(item.column.parts) > 1:
            find_source(path, item.column)
        return Output(alias, Aggregate("cnt", ()), INT8)
    rows = {"array": "rows", "array_d": "rows_d"}.get(item.function or "")
    if rows is None:
        raise BadRequest(f"The function {item.function} cannot be applied to '*'.")
    source, _ = find_source(path, item.column)
    columns = tuple(ColumnRef(source, column) for column in path.sources[source].columns.values())
    return Output(alias, Aggregate(rows, columns, tuple(ref.column.name for ref in columns)), JSON)


def _check_aggregate(function: str, reference: ColumnRef) -> None:
    """Raise Conflict where PostgreSQL has no such function for the type."""
    kind = reference.type
    numeric = not kind.is_array and (kind.scalar in INTEGERS or kind.scalar in FLOATS)
    unordered = kind.scalar in ("boolean", "json", "jsonb", "uuid", "interval")
    impossible = (
        (function in ("sum", "avg") and not numeric)
        or (function in ("min", "max") and unordered)
        or (function in ("cnt_d", "array_d") and kind.scalar == "json")
    )
    if impossible:
        raise Conflict(
            f"The function {function} does not exist for column {reference.column.name} of type {kind.name}."
        )


def _resolve_rights(path: PathPlan, item: Item) -> Output:
    reference = find_reference(path, item.column)
    if item.arguments:
        raise BadRequest(f"The function {item.function} takes one column.")
    if reference.column.name != "RID":
        raise Conflict(f"The function {item.function} is for the column RID only, not for {reference.column.name}.")
    return Output(item.alias or reference.column.name, Rights(reference, item.function == "tcrs"), JSON)


def _resolve_bin(path: PathPlan, item: Item) -> Output:
    reference = find_reference(path, item.column)
    kind = reference.type
    if kind.is_array or kind.scalar not in (*INTEGERS, *FLOATS, *MOMENTS):
        raise Conflict(f"Column {reference.column.name} of type {kind.name} cannot be divided into bins.")
    if not 1 <= len(item.arguments) <= 3:
        raise BadRequest("A bin is written bin(column;bins;least;largest).")
    try:
        bins = int(item.arguments[0])
    except ValueError:
        bins = 0
    if not 1 <= bins <= MOST_BINS:
        raise BadRequest(f"The number of bins must be from 1 to {MOST_BINS}, not {item.arguments[0]!r}.")
    limits = [_cast_limit(kind, text) if text else None for text in item.arguments[1:]]
    low, high = (*limits, None, None)[:2]
    if any(limit is not None and not _is_finite(limit) for limit in (low, high)):
        raise Conflict("The limits of bins must be finite.")
    if low is not None and low == high:
        raise Conflict("The limits of bins must not be equal.")
    return Output(item.alias or reference.column.name, Bin(reference, bins, low, high), JSON)


def _cast_limit(kind: Type, text: str) -> Stored:
    value = cast_literal(kind, text)
    if kind.scalar != "float4":
        return value
    try:
        return parse_float4(text)
    except ValueError:
        raise Conflict(f"The limit {text!r:.80} is out of range for {kind.name}.") from None


def _is_finite(limit: Stored) -> bool:
    return not limit.endswith(("infinity", "Infinity", "NaN")) if isinstance(limit, str) else isfinite(limit or 0)


def resolve_page(outputs: tuple[Output, ...], page: Page, options: Options) -> PagePlan:
    positions = {output.name: position for position, output in enumerate(outputs)}
    keys = []
    for key in page.sort:
        if key.name not in positions:
            raise BadRequest(f"The sort key {key.name!r} is not among the output columns.")
        output = outputs[positions[key.name]]
        if output.type.scalar == "json" and isinstance(output.expression, ColumnRef):
            raise Conflict(f"Column {key.name} of type json cannot be sorted; jsonb can.")
        keys.append((positions[key.name], key.descending))
    limit = resolve_limit(options)
    if page.before is not None and page.after is None and limit is None:
        raise BadRequest("@before without @after needs a limit.")
    kinds = [outputs[position].type for position, _ in keys]
    return PagePlan(tuple(keys), _cast_bounds(kinds, page.after), _cast_bounds(kinds, page.before), limit)


def _cast_bounds(kinds: list[Type], values: tuple[str | None, ...] | None) -> tuple[Stored, ...] | None:
    if values is None:
        return None
    return tuple(None if v is None else cast_bound(kind, v) for kind, v in zip(kinds, values, strict=True))


def resolve_limit(options: Options) -> int | None:
    if options.limit is None or options.limit.lower() == "none":
        return None
    try:
        limit = int(options.limit)
    except ValueError:
        raise BadRequest(f"The limit {options.limit!r} is neither a number nor 'none'.") from None
    if limit < 0:
        raise Conflict("The limit must not be negative.")
    return min(limit, 2**62)
