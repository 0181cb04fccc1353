from __future__ import annotations

import io

import pytest

from deriva_ml_prefect.embedded.ermrest.input import read_columns
from deriva_ml_prefect.embedded.ermrest.model import Column
from deriva_ml_prefect.embedded.ermrest.negotiation import CSV, JSON, STREAM
from deriva_ml_prefect.embedded.ermrest.types_catalog import resolve_type
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict


def column(name: str, typename: str) -> Column:
    return Column("0", name, resolve_type(typename), True, None, None, {}, {}, {}, "c1")


WANTED = [("id", column("id", "int4")), ("note", column("note", "text"))]


def read(form: str, text: str) -> list[tuple[object, ...]]:
    return [
        row
        for columns in read_columns(form, io.BytesIO(text.encode()), WANTED, ["RID"])
        for row in zip(*columns, strict=True)
    ]


def test_the_three_forms() -> None:
    rows = [(1, "a"), (2, None)]
    assert read(JSON, '[{"id": 1, "note": "a", "more": 5}, {"id": "2"}]') == rows
    assert read(STREAM, '{"id": 1, "note": "a"}\n\n{"id": 2, "note": null}\n') == rows
    assert read(CSV, "note,id\na,1\n,2\n") == rows


def test_csv_quotes() -> None:
    text = 'id,note\r\n1,""\r\n2,"a ""b"", c"\r\n3,"line\nbreak"\r\n4,"x"",""y"\r\n5,"""";"""\r\n'
    with pytest.raises(BadRequest):
        read(CSV, text)
    text = 'id,note\r\n1,""\r\n2,"a ""b"", c"\r\n3,"line\nbreak"\r\n4,"x"",""y"\r\n5,""""\r\n6,\r\n'
    assert read(CSV, text) == [(1, ""), (2, 'a "b", c'), (3, "line\nbreak"), (4, 'x","y'), (5, '"'), (6, None)]


def test_csv_may_have_columns_that_are_filled_in() -> None:
    assert read(CSV, "RID,id,note\nX,1,a\n") == [(1, "a")]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (JSON, '{"id": 1}'),
        (JSON, '[{"id": 1}'),
        (JSON, ""),
        (JSON, '"text"'),
        (JSON, "[" * 5000),
        (JSON, '[{"id": 1, "note": "\\u0000"}]'),
        (JSON, '[{"id": 99999999999999999999}]'),
        (STREAM, '{"id": 1}\n{'),
        (CSV, ""),
        (CSV, "id\n1\n"),
        (CSV, "id,note,id\n1,a,1\n"),
        (CSV, "id,note\n1\n"),
        (CSV, "id,note\n1,a,b\n"),
        (CSV, "id,note\n\n"),
        (CSV, 'id,note\n1,"open\n'),
        (CSV, "id,note\nx,a\n"),
        (CSV, "id,note\n1,\0\n"),
    ],
)
def test_malformed_bodies(form: str, text: str) -> None:
    with pytest.raises(BadRequest):
        read(form, text)


def test_what_is_not_a_row_of_the_table() -> None:
    for form, text in ((JSON, "[1]"), (STREAM, "1"), (CSV, "id,note,nope\n1,a,b\n")):
        with pytest.raises(Conflict):
            read(form, text)
