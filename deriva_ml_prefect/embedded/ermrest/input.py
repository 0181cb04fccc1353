"""Rows of a request body, column by column: a JSON array, a stream of JSON objects, or CSV.

Columns rather than rows, because values are cast and checked a column at a time. Malformed bodies are
errors.BadRequest; rows that are no objects, and CSV columns that the table lacks, are errors.Conflict.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import orjson

from deriva_ml_prefect.embedded.ermrest.model import Column
from deriva_ml_prefect.embedded.ermrest.negotiation import CSV, JSON
from deriva_ml_prefect.embedded.ermrest.types import (
    ABSENT,
    QUOTED_EMPTY,
    Stored,
    cast_json_column,
    cast_text_column,
)
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict

BATCH: Final = 5000
LARGEST_BODY: Final = 512 * 1024 * 1024
LARGEST_FIELD: Final = 256 * 1024 * 1024
Columns = list[Sequence[Stored]]
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_QUOTED = re.compile(rb'"(?:[^"]|"")*"')
_MARKED_EMPTY = f'"{QUOTED_EMPTY}"'.encode()


def read_columns(
    form: str, body: bytes, wanted: Sequence[tuple[str, Column]], ignored: Collection[str]
) -> Iterator[Columns]:
    """Yield batches of rows as stored values, one list for each wanted column, in that order.

    `wanted` pairs the name in the body with the column that it is for; CSV may also have the `ignored` names and no
    others, and must have all the wanted ones.
    """
    if form == CSV:
        for texts in _read_csv(body, [name for name, _ in wanted], ignored):
            yield [cast_text_column(column, values) for (_, column), values in zip(wanted, texts, strict=True)]
        return
    rows = _load_array(body) if form == JSON else _load_stream(body)
    for row in rows:
        if not isinstance(row, dict):
            raise Conflict(f"Each row must be an object, not {row!r:.80}.")
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        yield [cast_json_column(column, [row.get(name, ABSENT) for row in batch]) for name, column in wanted]


def _load(text: bytes) -> Any:
    try:
        # orjson makes floats of integers that need more than 64 bits
        return json.loads(text) if _LONG_NUMBER.search(text) else orjson.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The body is not JSON: {error}.") from None


def _load_array(body: bytes) -> list[Any]:
    rows = _load(body)
    if not isinstance(rows, list):
        raise BadRequest("The body must be a JSON array of row objects.")
    return rows


def _load_stream(body: bytes) -> list[Any]:
    return [_load(line) for line in body.split(b"\n") if line.strip()]


def _read_csv(body: bytes, wanted: Sequence[str], ignored: Collection[str]) -> Iterator[list[list[str]]]:
    if b"\0" in body:
        raise BadRequest("The CSV contains the character NUL, which cannot be stored.")
    if b'""' in body:
        body = _QUOTED.sub(lambda found: _MARKED_EMPTY if found[0] == b'""' else found[0], body)
    csv.field_size_limit(LARGEST_FIELD)
    # decoded line by line: the whole text at once would need several times the memory of the body
    lines = io.TextIOWrapper(io.BytesIO(body), encoding="utf-8-sig", newline="")
    reader = csv.reader(lines, strict=True)
    try:
        header = next(reader, None)
        if not header:
            raise BadRequest("The CSV has no header line.")
        positions = _find_positions(header, wanted, ignored)
        while batch := list(itertools.islice(reader, BATCH)):
            columns = _transpose(batch, len(header), reader.line_num)
            yield [columns[position] for position in positions]
    except UnicodeDecodeError as error:
        raise BadRequest(f"The CSV is not UTF-8 behind line {reader.line_num}: {error.reason}.") from None
    except csv.Error as error:
        raise BadRequest(f"The CSV is malformed at line {reader.line_num}: {error}.") from None


def _find_positions(header: list[str], wanted: Sequence[str], ignored: Collection[str]) -> list[int]:
    if len(set(header)) != len(header):
        raise BadRequest("The header of the CSV names a column twice.")
    known = {*wanted, *ignored}
    for name in header:
        if name not in known:
            raise Conflict(f"The CSV has a column {name!r} that is not known here.")
    missing = [name for name in wanted if name not in header]
    if missing:
        raise BadRequest(f"The CSV lacks the columns {', '.join(missing)}.")
    return [header.index(name) for name in wanted]


def _transpose(rows: list[list[str]], width: int, line: int) -> list[list[str]]:
    if width == 1:
        rows = [row or [""] for row in rows]
    try:
        columns = [list(column) for column in zip(*rows, strict=True)]
    except ValueError:
        columns = []
    if len(columns) != width:
        raise BadRequest(f"A row of the CSV up to line {line} has more or fewer than {width} fields.")
    return columns
