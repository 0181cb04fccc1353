"""The answer to an insertion, made from the values that were just stored instead of reading them again.

It is the same as `representation.render` gives of the same rows; a test compares them. Reading a hundred thousand
rows back would cost as much as inserting them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from deriva_ml_prefect.embedded.ermrest.dates import print_plain_date
from deriva_ml_prefect.embedded.ermrest.model import Type
from deriva_ml_prefect.embedded.ermrest.negotiation import CSV, JSON
from deriva_ml_prefect.embedded.ermrest.printing import print_array, print_float, print_single
from deriva_ml_prefect.embedded.ermrest.representation import Shape, json_objects, quote_field
from deriva_ml_prefect.embedded.ermrest.types import Stored, is_float
from deriva_ml_prefect.embedded.spool import Spool

_BOOLEANS: Final = {1: "t", 0: "f", None: None}
Values = Sequence[Stored]


@dataclass
class Echo:
    """Writes batches of stored rows as an answer."""

    shape: Shape
    form: str
    answer: Spool
    is_begun: bool = False


def add_batch(echo: Echo, columns: Sequence[Values]) -> None:
    """Add rows, given column by column in the order of the shape."""
    _begin(echo)
    if echo.form == CSV:
        echo.answer.write(_csv_lines(columns, echo.shape.types).encode())
        return
    objects = json_objects(list(zip(*columns, strict=True)), echo.shape)
    if echo.form == JSON:
        separator = b",\n" if echo.answer.size > 1 else b""
        echo.answer.write(separator + orjson.dumps(objects)[1:-1])
    else:
        echo.answer.write(b"".join([orjson.dumps(member) + b"\n" for member in objects]))


def finish_echo(echo: Echo) -> None:
    """Complete the answer, which may have no rows."""
    _begin(echo)
    if echo.form == JSON:
        echo.answer.write(b"]\n")


def _begin(echo: Echo) -> None:
    if echo.is_begun:
        return
    echo.is_begun = True
    if echo.form == CSV:
        echo.answer.write((",".join(quote_field(name) for name in echo.shape.names) + "\n").encode())
    elif echo.form == JSON:
        echo.answer.write(b"[")


def _csv_lines(columns: Sequence[Values], kinds: Sequence[Type]) -> str:
    texts = [_csv_texts(kind, values) for kind, values in zip(kinds, columns, strict=True)]
    if not any("" in column for column in texts):
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows(zip(*texts, strict=True))
        lines = buffer.getvalue()
        # the writer leaves a carriage return without quotes
        if "\r" not in lines:
            return lines
    return "".join(
        [
            ",".join(["" if cell is None else quote_field(str(cell)) for cell in row]) + "\n"
            for row in zip(*texts, strict=True)
        ]
    )


def _csv_texts(kind: Type, values: Values) -> Values:
    if kind.is_array:
        return [print_array(value, kind.scalar) for value in values]  # type: ignore[arg-type]
    if kind.scalar == "boolean":
        return [_BOOLEANS[value] for value in values]  # type: ignore[index]
    if is_float(kind):
        printer = print_single if kind.scalar == "float4" else print_float
        return [printer(value) for value in values]
    if kind.scalar in ("date", "timestamp", "timestamptz") and not kind.is_domain:
        return [print_plain_date(value) for value in values]  # type: ignore[arg-type]
    if kind.scalar == "timestamptz":
        return [None if value is None else str(value).replace("T", " ").replace("+00:00", "+00") for value in values]
    if kind.scalar == "timestamp":
        return [None if value is None else str(value).replace("T", " ") for value in values]
    return values
