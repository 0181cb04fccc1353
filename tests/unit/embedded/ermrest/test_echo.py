"""The answer to an insertion is what a reader of the same rows would get."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from deriva_ml_prefect.embedded.ermrest.echo import Echo, add_batch, finish_echo
from deriva_ml_prefect.embedded.ermrest.functions import FUNCTIONS
from deriva_ml_prefect.embedded.ermrest.negotiation import CSV, FORMS
from deriva_ml_prefect.embedded.ermrest.representation import Shape, render
from deriva_ml_prefect.embedded.ermrest.sql import Query
from deriva_ml_prefect.embedded.ermrest.types_catalog import resolve_type, storage_of_type
from deriva_ml_prefect.embedded.spool import Spool

COLUMNS: dict[str, list[Any]] = {
    "text": ["a", 'q"x,', "line\nbreak", None],
    "int8": [1, -(2**63), None, 0],
    "float8": [0.1, 2.0, float("inf"), "NaN"],
    "boolean": [1, 0, None, 1],
    "timestamptz": ["2026-11-23T20:51:37.5+00:00", None, "infinity", "2026-11-23T20:51:37+00:00"],
    "timestamp": ["2026-11-23T20:51:37", None, "-infinity", "2026-11-23T20:51:37.25"],
    "jsonb": ['{"a": [1, "x,y"]}', "null", None, '""'],
    "text[]": ['["a", "b c", null]', "[]", None, '["é"]'],
    "boolean[]": ["[true, null]", None, "[]", "[false]"],
    "uuid": ["00000000-0000-0000-0000-00000000000a", None, None, None],
}
EVEN: dict[str, list[Any]] = {
    "text": ["50% of %s"] * 4,
    "ermrest_rct": ["2026-11-23T20:51:37.5+00:00"] * 4,
    "markdown": [None] * 4,
    "float8": [0.0, -0.0, 0.0, 0.0],
    "float4": [2.0, 1e15, -1e16, 1e-7],
    "int4": [7] * 4,
    "boolean": [1] * 4,
}
NUMBERS: dict[str, list[Any]] = {
    "float8": [2.0, 0.5, 1e14, None],
    "int8": [1, 2, 3, 3],
    "text": ["%", "%s", "%%", "%d"],
}
ODD: dict[str, list[Any]] = COLUMNS | {"text": ["", "a\rb", None, '"']}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("columns", [COLUMNS, ODD, EVEN, NUMBERS, {"text": ["", None, "x", ","]}])
def test_equal_to_reading_the_rows(form: str, columns: dict[str, list[Any]]) -> None:
    connection = sqlite3.connect(":memory:")
    for function in FUNCTIONS:
        connection.create_function(function.name, function.arguments, function.call)
    kinds = tuple(resolve_type(name) for name in columns)
    declared = ", ".join(f"o{i} {storage_of_type(kind)}" for i, kind in enumerate(kinds))
    connection.execute(f"CREATE TABLE t ({declared})")
    marks = ", ".join("?" * len(kinds))
    connection.executemany(f"INSERT INTO t VALUES ({marks})", zip(*columns.values(), strict=True))
    shape = Shape(tuple(columns), kinds)
    read = b"".join(render(connection, Query("SELECT * FROM t ORDER BY rowid", ()), shape, form))
    spool = Spool()
    echo = Echo(shape, form, spool)
    add_batch(echo, [values[:3] for values in columns.values()])
    add_batch(echo, [values[3:] for values in columns.values()])
    finish_echo(echo)
    written = spool.rewound().read()
    if form == CSV:
        assert written == read
    else:
        assert written.replace(b"\n", b"") == read.replace(b"\n", b"")
