"""Rows of a request body, column by column: a JSON array, a stream of JSON objects, or CSV.

Columns rather than rows, because values are cast and checked a column at a time. Malformed bodies are
errors.BadRequest; rows that are no objects, and CSV columns that the table lacks, are errors.Conflict.

A body is read in parts of about PART bytes, whatever its size; only a single row, or a field, that is larger is in
memory as a whole.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Collection, Iterator, Sequence
from typing import IO, Any, Final

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
PART: Final = 1024 * 1024
LARGEST_FIELD: Final = 256 * 1024 * 1024
Columns = list[Sequence[Stored]]
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_QUOTED = re.compile(rb'"(?:[^"]|"")*"')
_BETWEEN_ROWS = re.compile(rb"\}\s*,\s*\{")
_BLANK: Final = b" \t\r\n"
_MARKED_EMPTY = f'"{QUOTED_EMPTY}"'.encode()


def read_columns(
    form: str, body: IO[bytes], wanted: Sequence[tuple[str, Column]], ignored: Collection[str]
) -> Iterator[Columns]:
    """Yield batches of rows as stored values, one list for each wanted column, in that order.

    `wanted` pairs the name in the body with the column that it is for; CSV may also have the `ignored` names and no
    others, and must have all the wanted ones.
    """
    if form == CSV:
        for texts in _read_csv(body, [name for name, _ in wanted], ignored):
            yield [cast_text_column(column, values) for (_, column), values in zip(wanted, texts, strict=True)]
        return
    for rows in _load_array(body) if form == JSON else _load_stream(body):
        for row in rows:
            if not isinstance(row, dict):
                raise Conflict(f"Each row must be an object, not {row!r:.80}.")
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            yield [cast_json_column(column, [row.get(name, ABSENT) for row in batch]) for name, column in wanted]


def _load(text: bytes) -> Any:
    try:
        # orjson knows what is JSON, but makes floats of integers that need more than 64 bits
        value = orjson.loads(text)
        return json.loads(text) if _LONG_NUMBER.search(text) else value
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The body is not JSON: {error}.") from None


def _load_array(body: IO[bytes]) -> Iterator[list[Any]]:
    """The members of one array, part by part.

    A part ends at a `}` before a `,` and a `{`. That it does not end inside a text, or inside a value of a row, shows
    when it is read: as an array of its own it is complete only where the whole array has a member complete. A part
    that does not end well is read on to twice its size, so that rows of deep values cost no more than twice.
    """
    held, size = body.read(PART), PART
    if not held.lstrip(_BLANK).startswith(b"["):
        rows = _load(held + body.read())
        if not isinstance(rows, list):
            raise BadRequest("The body must be a JSON array of row objects.")
        yield rows
        return
    held = held.lstrip(_BLANK)[1:]
    while True:
        held += body.read(max(0, size - len(held)))
        if len(held) < size:
            break
        for found in itertools.islice(_BETWEEN_ROWS.finditer(held, size // 2), 3):
            try:
                rows = orjson.loads(b"[" + held[: found.start() + 1] + b"]")
            except ValueError:
                continue
            yield _load(b"[" + held[: found.start() + 1] + b"]") if _LONG_NUMBER.search(held) else rows
            held, size = held[found.end() - 1 :], PART
            break
        else:
            size *= 2
    yield _load(b"[" + held)


def _load_stream(body: IO[bytes]) -> Iterator[list[Any]]:
    while lines := body.readlines(PART):
        yield [_load(line) for line in lines if line.strip()]


def _read_csv(body: IO[bytes], wanted: Sequence[str], ignored: Collection[str]) -> Iterator[list[list[str]]]:
    csv.field_size_limit(LARGEST_FIELD)
    header: list[str] = []
    positions: list[int] = []
    line = 0
    try:
        for part in _csv_parts(body):
            reader = csv.reader(part, strict=True)
            if not header:
                header = next(reader, [])
                positions = _find_positions(header, wanted, ignored)
            while batch := list(itertools.islice(reader, BATCH)):
                columns = _transpose(batch, len(header), line + reader.line_num)
                yield [columns[position] for position in positions]
            line += reader.line_num
    except UnicodeDecodeError as error:
        raise BadRequest(f"The CSV is not UTF-8 behind line {line}: {error.reason}.") from None
    except csv.Error as error:
        raise BadRequest(f"The CSV is malformed at line {line + reader.line_num}: {error}.") from None
    if not header:
        _find_positions(header, wanted, ignored)


def _csv_parts(body: IO[bytes]) -> Iterator[io.StringIO]:
    """The text, in parts that end with a line and outside of quotes; an empty text in quotes is marked as such."""
    encoding = "utf-8-sig"
    while part := body.read(PART) + body.readline():
        if part.count(b'"') % 2:
            part += b"".join(_rest_of_field(body))
        if b"\0" in part:
            raise BadRequest("The CSV contains the character NUL, which cannot be stored.")
        if b'""' in part:
            part = _QUOTED.sub(lambda found: _MARKED_EMPTY if found[0] == b'""' else found[0], part)
        yield io.StringIO(part.decode(encoding), newline="")
        encoding = "utf-8"


def _rest_of_field(body: IO[bytes]) -> Iterator[bytes]:
    """Lines up to the one that closes the quotes that are open."""
    for line in iter(body.readline, b""):
        yield line
        if line.count(b'"') % 2:
            return


def _find_positions(header: list[str], wanted: Sequence[str], ignored: Collection[str]) -> list[int]:
    if not header:
        raise BadRequest("The CSV has no header line.")
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
