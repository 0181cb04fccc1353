"""The rows of a body as a temporary table, for statements that look at all of them at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import count

from deriva_ml_prefect.embedded.database import REQUEST_SECONDS
from deriva_ml_prefect.embedded.ermrest.input import read_columns
from deriva_ml_prefect.embedded.ermrest.model import Column
from deriva_ml_prefect.embedded.ermrest.row_changes import Change, make_empty_set
from deriva_ml_prefect.embedded.errors import BadRequest
from deriva_ml_prefect.embedded.spool import Spool


def load_input(
    change: Change, form: str, body: Spool, inputs: Sequence[tuple[str, Column]], ignored: Collection[str] = ()
) -> str:
    """A table in which n counts rows and v0.. are the inputs, pairs of (name in the body, column)."""
    rows = make_empty_set(change, len(inputs))
    marks = ", ".join("?" * (len(inputs) + 1))
    number = count()
    for columns in read_columns(form, body.rewound(), inputs, ignored):
        change.connection.allow(REQUEST_SECONDS)  # the bound is for a statement, not for a body that gets on
        change.connection.executemany(f"INSERT INTO {rows} VALUES ({marks})", zip(number, *columns, strict=False))
    return rows


def refuse_equal_rows(change: Change, rows: str, width: int) -> None:
    """Raise BadRequest when two rows of the input are equal in the first `width` values; a null equals nothing."""
    names = [f"v{i}" for i in range(width)]
    given = " AND ".join(f"{name} IS NOT NULL" for name in names)
    twice = change.connection.execute(
        f"SELECT 1 FROM {rows} WHERE {given} GROUP BY {', '.join(names)} HAVING count(*) > 1 LIMIT 1"
    ).fetchone()
    if twice is not None:
        raise BadRequest("Two rows of the body have the same keys.")
