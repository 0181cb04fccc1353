"""The answer to an insertion, made from the values that were just stored instead of reading them again.

It is the same as `representation.render` gives of the same rows; a test compares them. Reading a hundred thousand
rows back would cost as much as inserting them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

import orjson

from deriva_ml_prefect.embedded.ermrest.dates import print_plain_date
from deriva_ml_prefect.embedded.ermrest.model import Type
from deriva_ml_prefect.embedded.ermrest.negotiation import CSV, JSON
from deriva_ml_prefect.embedded.ermrest.printing import print_array, print_float, print_single
from deriva_ml_prefect.embedded.ermrest.representation import Shape, json_objects, quote_field
from deriva_ml_prefect.embedded.ermrest.types import Stored, is_float, is_integer
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
    columns = [
        _without_signed_zeros(values) if is_float(kind) and 0.0 in values else values
        for kind, values in zip(echo.shape.types, columns, strict=True)
    ]
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


def _without_signed_zeros(values: Values) -> Values:
    """SQLite stores -0.0 in a column of floats as 0.0."""
    return [0.0 if value == 0.0 else value for value in values]


def _csv_lines(columns: Sequence[Values], kinds: Sequence[Type]) -> str:
    """The rows as lines of CSV. A column with one value, as the system columns have, is written into the pattern."""
    pattern: list[str] = []
    varying: list[Values] = []
    for kind, values in zip(kinds, columns, strict=True):
        first = values[0]
        # equal numbers may still be written in two ways: 0 and -0
        if (first is None or isinstance(first, str)) and values.count(first) == len(values):
            pattern.append(str(_csv_fields(kind, values[:1])[0]).replace("%", "%%"))
        else:
            pattern.append("%s")
            varying.append(_csv_fields(kind, values))
    line = ",".join(pattern) + "\n"
    if not varying:
        return (line % ()) * len(columns[0])
    return "".join([line % row for row in zip(*varying, strict=True)])


def _csv_fields(kind: Type, values: Values) -> Values:
    """Texts of one column, with quotes where they must stand; integers stay as they are when none of them is null."""
    texts = _csv_texts(kind, values)
    if is_integer(kind):
        return texts if None not in texts else ["" if cell is None else str(cell) for cell in texts]
    joined = "".join([cell or "" for cell in texts])  # type: ignore[misc]
    if "" in texts or any(mark in joined for mark in ',"\n\r'):
        return ["" if cell is None else quote_field(cell) for cell in texts]  # type: ignore[arg-type]
    return texts if None not in texts else [cell or "" for cell in texts]


def _csv_texts(kind: Type, values: Values) -> Values:
    if kind.is_array:
        return [print_array(value, kind.scalar) for value in values]  # type: ignore[arg-type]
    if kind.scalar == "boolean":
        return [_BOOLEANS[value] for value in values]  # type: ignore[index]
    if is_float(kind):
        return [print_single(value) for value in values] if kind.scalar == "float4" else _print_floats(values)
    if kind.scalar in ("date", "timestamp", "timestamptz") and not kind.is_domain:
        return [print_plain_date(value) for value in values]  # type: ignore[arg-type]
    if kind.scalar == "timestamptz":
        return [None if value is None else str(value).replace("T", " ").replace("+00:00", "+00") for value in values]
    if kind.scalar == "timestamp":
        return [None if value is None else str(value).replace("T", " ") for value in values]
    return values


def _print_floats(values: Values) -> Values:
    """What print_float makes of each, all at once where it would only cut a `.0` off."""
    numbers = cast("Sequence[float]", values)
    if set(map(type, values)) == {float} and max(numbers) < 1e15 and min(numbers) > -1e15:
        joined = "\n".join(map(repr, values)) + "\n"
        if "e" not in joined and "n" not in joined:
            return joined.replace(".0\n", "\n").split("\n")[:-1]
    return [print_float(value) for value in values]
