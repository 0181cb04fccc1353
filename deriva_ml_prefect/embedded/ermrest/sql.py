"""SQL text of a plan: names from the model's physical ones only, every value a bound parameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from deriva_ml_prefect.embedded.ermrest.bins import MOMENTS
from deriva_ml_prefect.embedded.ermrest.model import Column, Table, Type
from deriva_ml_prefect.embedded.ermrest.ordering import KEYED
from deriva_ml_prefect.embedded.ermrest.plan import (
    Aggregate,
    Bin,
    Both,
    ColumnRef,
    Compare,
    Condition,
    Either,
    IsNull,
    Join,
    Match,
    Negation,
    OneOf,
    Output,
    PagePlan,
    PathPlan,
    ReadPlan,
    Rights,
)
from deriva_ml_prefect.embedded.ermrest.types import JSONS, Stored, is_float, is_integer, is_json

MOST_LISTED = 500
"""Longer lists travel as one JSON parameter."""


MADE_JSON = "made json"
"""Name of the type of an output that SQLite puts together: it is JSON, but not yet as jsonb prints it."""
MOST_ARGUMENTS = 90
"""SQLite's functions take at most 100 arguments."""
MOST_FLATTENED = 4
"""In a snapshot, so many joined tables are planned through their present and former rows; more are put together first.

The time to plan doubles with each."""
Keys = list[tuple[str, Output, bool]]
"""Sort keys: SQL name, output, whether descending."""


@dataclass(frozen=True)
class Query:
    text: str
    parameters: tuple[Stored, ...]


@dataclass
class Writer:
    """Collects the parameters while text is made, in the order in which the text names them.

    `at` is the stored text of the moment that is read, None for the present.
    """

    at: str | None = None
    together: bool = False
    """Whether the present and the former rows of a table are put together before they are joined."""
    parameters: list[Stored] = field(default_factory=list)

    def bind(self, value: Stored) -> str:
        self.parameters.append(value)
        return f"?{len(self.parameters)}"


def compile_read(plan: ReadPlan, at: str | None = None) -> Query:
    """The rows of a plan, each value in its stored form, one SQL column for each output."""
    writer = Writer(at, len(plan.path.sources) > MOST_FLATTENED)
    expressions = [output_expression(writer, plan, output) for output in plan.outputs]
    selected = ", ".join(f"{expression} AS o{i}" for i, expression in enumerate(expressions))
    text = f"SELECT {selected} FROM {from_clause(writer, plan.path)}"
    conditions = [condition(writer, part) for part in plan.path.conditions]
    inline = plan.grouping == "none"
    if inline:
        conditions += page_conditions(writer, plan, expressions)
    if conditions:
        text += f" WHERE {balanced('AND', conditions)}"
    text += group_clause(plan, expressions)
    if not inline and (plan.page.after is not None or plan.page.before is not None):
        names = [f"o{i}" for i in range(len(plan.outputs))]
        bounds = page_conditions(writer, plan, names)
        text = f"SELECT * FROM ({text}) WHERE {balanced('AND', bounds)}"
    text = order_and_limit(writer, plan, text, expressions if inline else None)
    return Query(text, tuple(writer.parameters))


def compile_rowids(path: PathPlan) -> Query:
    """SQLite's row numbers of the rows of the current table that the path reaches, each once."""
    writer = Writer()
    text = f"SELECT DISTINCT s{path.current}.rowid FROM {from_clause(writer, path)}"
    conditions = [condition(writer, part) for part in path.conditions]
    conditions.append(f"s{path.current}.rowid IS NOT NULL")
    return Query(f"{text} WHERE {balanced('AND', conditions)}", tuple(writer.parameters))


def source(writer: Writer, table: Table) -> str:
    """The table's rows at the moment that is read."""
    if writer.at is None:
        return table.physical
    columns = ", ".join(column.physical for column in table.columns.values())
    began = table.columns["RMT"].physical
    at = writer.bind(writer.at)
    together = " LIMIT -1" if writer.together else ""
    return (
        f"(SELECT {columns} FROM {table.physical} WHERE {began} <= {at} UNION ALL "
        f"SELECT {columns} FROM {table.history} WHERE {began} <= {at} AND until_ > {at}{together})"
    )


def from_clause(writer: Writer, path: PathPlan) -> str:
    text = f"{source(writer, path.sources[0])} AS s0"
    for position, (table, join) in enumerate(zip(path.sources[1:], path.joins, strict=True), 1):
        kind = f"{join.outer.upper()} JOIN" if join.outer else "JOIN"
        text += f" {kind} {source(writer, table)} AS s{position} ON {join_condition(join)}"
    return text


def join_condition(join: Join) -> str:
    alternatives = [
        " AND ".join(f"{reference(left)} = {reference(right)}" for left, right in pairs) for pairs in join.alternatives
    ]
    return alternatives[0] if len(alternatives) == 1 else "(" + " OR ".join(f"({a})" for a in alternatives) + ")"


def reference(column: ColumnRef) -> str:
    return f"s{column.source}.{column.column.physical}"


def balanced(operator: str, parts: Sequence[str]) -> str:
    """The parts joined as a tree of little depth: SQLite refuses expressions that are 1000 deep."""
    if not parts:
        return "1" if operator == "AND" else "0"
    if len(parts) == 1:
        return parts[0]
    if len(parts) <= 8:
        return "(" + f" {operator} ".join(parts) + ")"
    half = len(parts) // 2
    return f"({balanced(operator, parts[:half])} {operator} {balanced(operator, parts[half:])})"


def condition(writer: Writer, part: Condition) -> str:
    if isinstance(part, Negation):
        return f"(NOT {condition(writer, part.operand)})"
    if isinstance(part, Both):
        return balanced("AND", [condition(writer, operand) for operand in part.operands])
    if isinstance(part, Either):
        return balanced("OR", [condition(writer, operand) for operand in part.operands])
    if isinstance(part, IsNull):
        return f"({reference(part.column)} IS NULL)"
    if isinstance(part, OneOf):
        return balanced("OR", [_one_of(writer, column, part.values) for column in part.columns])
    if isinstance(part, Match):
        return _match(writer, part)
    return _compare(writer, part)


def _compare(writer: Writer, part: Compare) -> str:
    name, kind = reference(part.column), part.column.type
    joined = "AND" if part.every else "OR"
    if kind.is_array:
        member = order_form(kind.base or kind, _JSON_MEMBER if kind.scalar in JSONS else "value")
        values = [order_form(kind.base or kind, writer.bind(value)) for value in part.values]
        if part.operator == "=":
            found = [f"EXISTS (SELECT 1 FROM json_each({name}) WHERE {member} = {value})" for value in values]
            return f"(CASE WHEN {name} IS NULL THEN NULL ELSE {balanced(joined, found)} END)"
        # an array without members, or of nulls alone, is neither: the maximum of nothing is null
        found = [f"(SELECT max({member} {part.operator} {value}) FROM json_each({name}))" for value in values]
        return "(" + balanced(joined, found) + ")"
    if part.operator == "=" and not part.every and len(part.values) > 1 and kind.scalar not in KEYED:
        return f"({name} IN ({listed(writer, part.values)}))"
    compared = order_form(kind, name)
    parts = [f"{compared} {part.operator} {order_form(kind, writer.bind(value))}" for value in part.values]
    return "(" + balanced(joined, parts) + ")"


_JSON_MEMBER = (
    "(CASE type WHEN 'null' THEN NULL WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' "
    "WHEN 'object' THEN value WHEN 'array' THEN value ELSE json_quote(value) END)"
)
"""A member of an array of JSON, in json_each, as JSON text."""


def equal_form(kind: Type, expression: str) -> str:
    """SQL for what makes values equal or not in groups: a key, where different texts are equal."""
    return order_form(kind, expression) if kind.scalar in ("interval", "jsonb") else expression


def order_form(kind: Type, expression: str) -> str:
    """SQL for what a value is compared and sorted by: itself, or a key where its stored form does not sort."""
    if kind.is_array:
        return f"order_array({expression}, '{kind.scalar}')"
    function = {
        "interval": "order_interval",
        "json": "order_json",
        "jsonb": "order_json",
        "timetz": "order_zoned_time",
    }.get(kind.scalar)
    if kind.scalar == "numeric":
        return f"CAST({expression} AS REAL)"
    return f"{function}({expression})" if function else expression


def listed(writer: Writer, values: Sequence[Stored]) -> str:
    if len(values) <= MOST_LISTED:
        return ", ".join(writer.bind(value) for value in values)
    return f"SELECT value FROM json_each({writer.bind(orjson.dumps(values).decode())})"


def _one_of(writer: Writer, column: ColumnRef, values: Sequence[str]) -> str:
    name = reference(column)
    inside = listed(writer, values)
    if column.type.is_array:
        return f"({name} IS NOT NULL AND EXISTS (SELECT 1 FROM json_each({name}) WHERE value IN ({inside})))"
    return f"({name} IS NOT NULL AND {name} IN ({inside}))"


def _match(writer: Writer, part: Match) -> str:
    function = "match_folded_text" if part.fold_case else "match_text"
    patterns = [writer.bind(pattern) for pattern in part.patterns]
    operator = "AND" if part.every else "OR"
    texts = [text_form(column.type, reference(column)) for column in part.columns]
    tests = [balanced("OR", [f"{function}({pattern}, {text})" for text in texts]) for pattern in patterns]
    return "(" + balanced(operator, tests) + ")"


def text_form(kind: Type, expression: str) -> str:
    """SQL for the text of a value that regular expressions look at."""
    scalar = kind.scalar
    if kind.is_array:
        return f"searched_array({expression}, '{scalar}')"
    if scalar == "boolean":
        return f"(CASE {expression} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END)"
    if scalar == "timestamptz":
        plain = f"substr({expression}, 1, 19) || 'Z'"
        return f"(CASE WHEN {_odd_date(expression)} THEN searched_instant({expression}) ELSE {plain} END)"
    if scalar in ("date", "timestamp"):
        return (
            f"(CASE WHEN {_odd_date(expression)} THEN searched_date({expression}) ELSE substr({expression}, 1, 19) END)"
        )
    if scalar in ("time", "timetz"):
        return f"searched_time({expression}, {int(scalar == 'timetz')})"
    return csv_form(kind, expression)


def _odd_date(expression: str) -> str:
    """SQL for whether a stored date needs a closer look: its year has not four digits, or it is infinite."""
    return f"({expression} < '0' OR {expression} >= 'A')"


def csv_form(kind: Type, expression: str, *, arrays_as_json: bool = False) -> str:
    """SQL for the text of a value in CSV."""
    if kind.is_array:
        printer = "print_plain_array_json" if arrays_as_json else "print_array"
        return f"{printer}({expression}, '{kind.scalar}')"
    scalar = kind.scalar
    if kind.name == MADE_JSON:
        return f"print_made_json({expression})"
    if scalar == "boolean":
        return f"(CASE {expression} WHEN 1 THEN 't' WHEN 0 THEN 'f' END)"
    if scalar in ("float4", "float8"):
        return f"print_float({expression})" if scalar == "float8" else f"print_single({expression})"
    if scalar in ("date", "timestamp", "timestamptz"):
        plain = expression
        if scalar != "date":
            plain = f"replace(replace({expression}, 'T', ' '), '+00:00', '+00')"
        if kind.is_domain:
            return plain
        return f"(CASE WHEN {_odd_date(expression)} THEN print_plain_date({expression}) ELSE {plain} END)"
    return f"CAST({expression} AS TEXT)" if is_integer(kind) else expression


def json_form(kind: Type, expression: str) -> str:
    """SQL for a value as an argument of SQLite's JSON functions."""
    if kind.is_array:
        return f"json({array_json(kind, expression)})"
    if is_json(kind):
        return f"json({expression})"
    if kind.scalar in ("date", "timestamp", "timestamptz") and not kind.is_domain:
        return f"print_date({expression})"
    if kind.scalar == "float4":
        return f"json(print_single_json({expression}))"
    if kind.scalar == "boolean":
        return f"(CASE {expression} WHEN 1 THEN json('true') WHEN 0 THEN json('false') END)"
    if is_float(kind):
        return f"json(print_float_json({expression}))"
    return expression


def array_json(kind: Type, expression: str) -> str:
    """SQL for an array as JSON shows it."""
    stored_otherwise = kind.scalar in ("date", "timestamp", "timestamptz", "float4", "float8")
    return f"print_array_json({expression}, '{kind.scalar}')" if stored_otherwise else expression


def output_expression(writer: Writer, plan: ReadPlan, output: Output) -> str:
    expression = output.expression
    if isinstance(expression, ColumnRef):
        is_example = plan.grouping == "keys" and output not in plan.outputs[: plan.keys]
        return f"first_value_of({reference(expression)})" if is_example else reference(expression)
    if isinstance(expression, Bin):
        return _bin(writer, plan, expression)
    if isinstance(expression, Rights):
        is_example = plan.grouping == "keys" and output not in plan.outputs[: plan.keys]
        return f"first_value_of({_rights(writer, expression)})" if is_example else _rights(writer, expression)
    return _aggregate(writer, expression)


def _row_object(writer: Writer, expression: Aggregate) -> str:
    """A JSON object of many columns: several of few columns, their texts joined."""
    pairs = [
        f"{writer.bind(name)}, {json_form(column.type, reference(column))}"
        for name, column in zip(expression.names, expression.columns, strict=True)
    ]
    half = MOST_ARGUMENTS // 2
    objects = [f"json_object({', '.join(pairs[start : start + half])})" for start in range(0, len(pairs), half)]
    if len(objects) == 1:
        return objects[0]
    inner = " || ',' || ".join(f"substr({one}, 2, length({one}) - 2)" for one in objects)
    return f"json('{{' || {inner} || '}}')"


def _aggregate(writer: Writer, expression: Aggregate) -> str:
    function = expression.function
    if function in ("rows", "rows_d"):
        distinct = "DISTINCT " if function == "rows_d" else ""
        return f"(CASE WHEN count(*) THEN json_group_array({distinct}{_row_object(writer, expression)}) END)"
    if not expression.columns:
        return "count(*)"
    (column,) = expression.columns
    name = reference(column)
    if function == "cnt":
        return f"count({name})"
    if function == "cnt_d":
        return f"count(DISTINCT {equal_form(column.type, name)})"
    if function in ("array", "array_d"):
        distinct = "DISTINCT " if function == "array_d" else ""
        return f"(CASE WHEN count(*) THEN json_group_array({distinct}{json_form(column.type, name)}) END)"
    if function in ("sum", "avg"):
        return _sum_or_mean(function, column.type, name)
    key = order_form(column.type, name)
    if key == name:
        return f"{function}({name})"
    found = f"{function}({key} || ' ' || {name})"
    return f"substr({found}, instr({found}, ' ') + 1)"


def _sum_or_mean(function: str, kind: Type, name: str) -> str:
    """As PostgreSQL: sums of integers are exact, their averages numeric; not-a-number makes the result not-a-number."""
    if is_integer(kind):
        halves = f"sum({name} >> 32), sum({name} & 4294967295)"
        if function == "avg":
            return f"mean_of_integers({halves}, count({name}))"
        return f"whole_sum({halves})" if kind.scalar in ("int8", "serial8") else f"sum({name})"
    found = f"(CASE WHEN max({name}) = 'NaN' THEN 'NaN' WHEN count({name}) THEN ifnull({function}({name}), 'NaN') END)"
    return f"to_single({found})" if kind.scalar == "float4" and function == "sum" else found


def _rights(writer: Writer, expression: Rights) -> str:
    """JSON text such as `{"delete": false, "update": true, "column_update": {"RID": false, "x": true}}`."""
    pieces = ["{", *_members(expression.of_row)]
    if expression.of_columns:
        pieces += [', "column_update": {', *_members(expression.updates), "}"]
    pieces.append("}")
    parts: list[str] = []
    text = ""
    for piece in pieces:
        if isinstance(piece, str):
            text += piece
            continue
        parts += [writer.bind(text), f"(CASE WHEN {condition(writer, piece)} THEN 'true' ELSE 'false' END)"]
        text = ""
    return f"({' || '.join([*parts, writer.bind(text)])})"


def _members(rights: Sequence[tuple[str, bool | Condition]]) -> list[str | Condition]:
    pieces: list[str | Condition] = []
    for position, (name, right) in enumerate(rights):
        pieces.append(f"{', ' if position else ''}{orjson.dumps(name).decode()}: ")
        pieces.append(("true" if right else "false") if isinstance(right, bool) else right)
    return pieces


def _bin(writer: Writer, plan: ReadPlan, expression: Bin) -> str:
    name = reference(expression.column)
    limits = []
    for function, limit in (("min", expression.low), ("max", expression.high)):
        if limit is not None:
            limits.append(writer.bind(limit))
            continue
        inner = f"SELECT {function}({name}) FROM {from_clause(writer, plan.path)}"
        conditions = [_finite(expression.column), *(condition(writer, part) for part in plan.path.conditions)]
        limits.append(f"({inner} WHERE {balanced('AND', conditions)})")
    scalar = expression.column.type.scalar
    function = "find_moment_bin" if scalar in MOMENTS else "find_bin"
    return f"{function}({name}, {writer.bind(expression.bins)}, {limits[0]}, {limits[1]}, '{scalar}')"


def _finite(column: ColumnRef) -> str:
    name = reference(column)
    if column.type.scalar in MOMENTS:
        return f"{name} NOT IN ('infinity', '-infinity')"
    return f"abs({name}) < 9e999 AND {name} <> 'NaN'" if is_float(column.type) else "1"


def group_clause(plan: ReadPlan, expressions: Sequence[str]) -> str:
    if plan.grouping == "row":
        key = _shortest_key(plan.path.table)
        return " GROUP BY " + ", ".join(f"s{plan.path.current}.{column.physical}" for column in key)
    if plan.grouping == "keys":
        keys = zip(plan.outputs, expressions[: plan.keys], strict=False)
        return " GROUP BY " + ", ".join(
            text if isinstance(output.expression, Bin) else equal_form(output.type, text) for output, text in keys
        )
    return ""


def _shortest_key(table: Table) -> list[Column]:
    keys = [[table.columns[name] for name in key.columns] for key in table.keys]
    strict = [key for key in keys if not any(column.nullok for column in key)]
    return min(strict, key=len, default=list(table.columns.values()))


def page_conditions(writer: Writer, plan: ReadPlan, names: Sequence[str]) -> list[str]:
    page = plan.page
    conditions = []
    keys = [(names[position], plan.outputs[position], descending) for position, descending in page.keys]
    if page.after is not None:
        conditions.append(_beyond(writer, plan, keys, page.after, forward=True))
    if page.before is not None:
        conditions.append(_beyond(writer, plan, keys, page.before, forward=False))
    return conditions


def _beyond(writer: Writer, plan: ReadPlan, keys: Keys, values: Sequence[Stored], *, forward: bool) -> str:
    """Rows that sort after (or before) the values: the first key that differs decides. Null is larger than all."""
    alternatives = []
    equal: list[str] = []
    for (name, output, descending), value in zip(keys, values, strict=True):
        compared, bound = name, None if value is None else writer.bind(value)
        if not isinstance(output.expression, Bin):
            compared = order_form(output.type, name)
            bound = None if bound is None else order_form(output.type, bound)
        larger = forward != descending
        step = _larger(compared, bound, is_never_null(plan, output)) if larger else _smaller(compared, bound)
        alternatives.append(" AND ".join((*equal, step)))
        if len(alternatives) < len(keys):
            equal.append(f"{compared} IS {bound or 'NULL'}")
    return balanced("OR", [f"({alternative})" for alternative in alternatives])


def _larger(name: str, bound: str | None, never_null: bool) -> str:
    if bound is None:
        return "0"
    beyond = f"{name} > {bound}"
    return beyond if never_null else f"({beyond} OR {name} IS NULL)"


def _smaller(name: str, bound: str | None) -> str:
    return f"{name} IS NOT NULL" if bound is None else f"{name} < {bound}"


def is_never_null(plan: ReadPlan, output: Output) -> bool:
    outer = any(join.outer for join in plan.path.joins)
    return not outer and isinstance(output.expression, ColumnRef) and not output.expression.column.nullok


def order_and_limit(writer: Writer, plan: ReadPlan, text: str, expressions: Sequence[str] | None) -> str:
    page: PagePlan = plan.page
    if page.keys:
        backward = page.before is not None and page.after is None
        text += f" ORDER BY {_order(plan, expressions, backward=backward)}"
        if backward:
            return (
                f"SELECT * FROM ({text} LIMIT {writer.bind(page.limit)}) ORDER BY {_order(plan, None, backward=False)}"
            )
    if page.limit is not None:
        text += f" LIMIT {writer.bind(page.limit)}"
    return text


def _order(plan: ReadPlan, expressions: Sequence[str] | None, *, backward: bool) -> str:
    terms = []
    for position, descending in plan.page.keys:
        name = expressions[position] if expressions else f"o{position}"
        down = descending != backward
        if isinstance(plan.outputs[position].expression, Bin):
            # by the index of the bin; as in PostgreSQL the bin of null is before them all
            terms.append(f"json_extract({name}, '$[0]'){' DESC' if down else ''}")
            continue
        term = f"{order_form(plan.outputs[position].type, name)}{' DESC' if down else ''}"
        if not is_never_null(plan, plan.outputs[position]):
            term += " NULLS FIRST" if down else " NULLS LAST"
        terms.append(term)
    return ", ".join(terms)
