"""The parts of an ERMrest path, with names and values percent-encoded in this one place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote as _quote

LONGEST_PATH = 6000
"""Bytes of a path that every server takes."""


def quote(text: str) -> str:
    """`text` as data: every character with a meaning in ERMrest's grammar is encoded."""
    return _quote(text, safe="")


def table_name(schema: str, table: str) -> str:
    """`schema:table`."""
    return f"{quote(schema)}:{quote(table)}"


def column_list(columns: Iterable[str]) -> str:
    """`a,b,c`."""
    return ",".join(quote(column) for column in columns)


def equals(column: str, value: Any) -> str:
    """The filter `column=value`; None asks for null."""
    if value is None:
        return f"{quote(column)}::null::"
    return f"{quote(column)}={quote(literal(value))}"


def any_of(column: str, values: Iterable[Any]) -> str:
    """The filter `column=any(…)`, a path element of its own; there must be at least one value."""
    return f"{quote(column)}=any({','.join(quote(literal(value)) for value in values)})"


def literal(value: Any) -> str:
    """A value as text, the way ERMrest reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def batches_of_values(values: Sequence[Any], *, longest: int = LONGEST_PATH, most: int = 500) -> Iterator[list[Any]]:
    """The values in lists that each fit into one path."""
    batch: list[Any] = []
    size = 0
    for value in values:
        length = len(quote(literal(value))) + 1
        if batch and (size + length > longest or len(batch) >= most):
            yield batch
            batch, size = [], 0
        batch.append(value)
        size += length
    if batch:
        yield batch
