"""Rows of a query as bytes: a JSON array, a stream of JSON objects, or CSV as PostgreSQL writes it.

Pieces are made as they are asked for, so an answer of any size needs the memory of one batch of rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

import orjson

from deriva_ml_prefect.embedded.ermrest.dates import print_date
from deriva_ml_prefect.embedded.ermrest.model import Type
from deriva_ml_prefect.embedded.ermrest.negotiation import CSV, JSON
from deriva_ml_prefect.embedded.ermrest.printing import print_array_json, shortest_single
from deriva_ml_prefect.embedded.ermrest.sql import MOST_ARGUMENTS, Query, csv_form
from deriva_ml_prefect.embedded.ermrest.types import is_float, is_integer, is_json

BATCH: Final = 2000
FIRST: Final = 100
PIECE: Final = 1024 * 1024
_NEVER_QUOTED: Final = ("boolean", "timestamptz", "timestamp", "date", "time", "timetz", "uuid", "float4", "float8")
_MARKS: Final = ("','", "'\"'", "char(10)", "char(13)")
"""SQL for the characters that make a field need quotes."""
Values = Sequence[Any]


@dataclass(frozen=True)
class Shape:
    """What is needed of a row's columns: their names and types, in order."""

    names: tuple[str, ...]
    types: tuple[Type, ...]


def render(
    connection: sqlite3.Connection, query: Query, shape: Shape, form: str, *, arrays_as_json: bool = False
) -> Iterator[bytes]:
    """Run the query and yield its rows in the given form.

    `query` gives one column for each of the shape's, named o0, o1, ..
    """
    if form == CSV:
        return _render_csv(connection, query, shape, arrays_as_json=arrays_as_json)
    return render_objects(connection, ((query, shape),), as_array=form == JSON)


def render_objects(
    connection: sqlite3.Connection, parts: Sequence[tuple[Query, Shape]], *, as_array: bool
) -> Iterator[bytes]:
    """Rows of one query after the other as JSON: in one array, or a line each."""
    first = True
    for query, shape in parts:
        cursor = connection.execute(query.text, query.parameters)
        count = FIRST
        while rows := cursor.fetchmany(count):
            objects = json_objects(rows, shape)
            if as_array:
                piece = (b"[" if first else b",\n") + orjson.dumps(objects)[1:-1]
            else:
                piece = b"\n".join([orjson.dumps(member) for member in objects]) + b"\n"
            yield piece
            first = False
            count = next_count(len(rows), len(piece))
    if as_array:
        yield b"[]\n" if first else b"]\n"


def next_count(count: int, size: int) -> int:
    """How many rows to take next, when `count` of them were `size` bytes: about PIECE, and no leap."""
    return max(1, min(BATCH, 4 * count, PIECE * count // size))


def json_objects(rows: Sequence[tuple[Any, ...]], shape: Shape) -> list[dict[str, Any]]:
    """Rows as objects that orjson writes as ERMrest would."""
    names = shape.names
    changes = [(position, change) for position, kind in enumerate(shape.types) if (change := _changer(kind))]
    if not changes or not rows:
        return [dict(zip(names, row, strict=True)) for row in rows]
    columns: list[Values] = list(zip(*rows, strict=True))
    for position, change in changes:
        columns[position] = change(columns[position])
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _changer(kind: Type) -> Callable[[Values], Values] | None:
    scalar = kind.scalar
    if kind.is_array and scalar in ("date", "timestamp", "timestamptz", "float4", "float8"):
        return lambda values: _as_fragments([print_array_json(value, scalar) for value in values])
    if kind.is_array or is_json(kind) or scalar == "numeric":
        return _as_fragments
    if scalar == "boolean":
        return _as_booleans
    if scalar in ("date", "timestamp", "timestamptz") and not kind.is_domain:
        return _as_dates
    if scalar == "float4":
        return lambda values: _as_numbers([_as_single(value) for value in values])
    return _as_numbers if is_float(kind) else None


def _as_single(value: Any) -> Any:
    return shortest_single(value) if isinstance(value, float) and isfinite(value) else value


def _as_dates(values: Values) -> Values:
    if all(value is None or "0" <= value < "A" for value in values):
        return values
    return [print_date(value) for value in values]


def _as_fragments(values: Values) -> Values:
    fragment = orjson.Fragment
    return [None if value is None else fragment(value) for value in values]


def _as_booleans(values: Values) -> Values:
    return [None if value is None else bool(value) for value in values]


def _as_numbers(values: Values) -> Values:
    """JSON has no infinity: PostgreSQL writes it as a string."""
    infinity = float("inf")
    if infinity in values or -infinity in values:
        return [{infinity: "Infinity", -infinity: "-Infinity"}.get(value, value) for value in values]
    return values


def _render_csv(connection: sqlite3.Connection, query: Query, shape: Shape, *, arrays_as_json: bool) -> Iterator[bytes]:
    yield (",".join(quote_field(name) for name in shape.names) + "\n").encode()
    fields = [
        csv_field(kind, f"o{position}", arrays_as_json=arrays_as_json) for position, kind in enumerate(shape.types)
    ]
    groups = [fields[start : start + MOST_ARGUMENTS] for start in range(0, len(fields), MOST_ARGUMENTS)]
    line = " || ',' || ".join(f"format('{','.join(['%s'] * len(group))}', {', '.join(group)})" for group in groups)
    cursor = connection.execute(f"SELECT {line} || char(10) FROM ({query.text})", query.parameters)
    count = FIRST
    while rows := cursor.fetchmany(count):
        piece = "".join([row[0] for row in rows]).encode()
        yield piece
        count = next_count(len(rows), len(piece))


def quote_field(text: str) -> str:
    if text == "" or any(char in text for char in ',"\n\r'):
        return '"' + text.replace('"', '""') + '"'
    return text


def csv_field(kind: Type, expression: str, *, arrays_as_json: bool = False) -> str:
    """SQL for one field: null stays null, the empty text is `""`, and quotes stand where they must."""
    form = csv_form(kind, expression, arrays_as_json=arrays_as_json)
    if not kind.is_array and (is_integer(kind) or kind.scalar in _NEVER_QUOTED or kind.name == "ermrest_rid"):
        return expression if is_integer(kind) else form
    special = " OR ".join(f"instr({form}, {mark})" for mark in _MARKS)
    return f"(CASE WHEN {form} = '' OR {special} THEN '\"' || replace({form}, '\"', '\"\"') || '\"' ELSE {form} END)"
