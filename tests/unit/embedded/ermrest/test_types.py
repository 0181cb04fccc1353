from __future__ import annotations

from typing import Any

import pytest

from deriva_ml_prefect.embedded.ermrest.model import Column
from deriva_ml_prefect.embedded.ermrest.types import (
    ABSENT,
    QUOTED_EMPTY,
    cast_json_column,
    cast_literal,
    cast_text_column,
)
from deriva_ml_prefect.embedded.ermrest.types_catalog import resolve_type
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict


def column(typename: str) -> Column:
    return Column("0", "c", resolve_type(typename), True, None, None, {}, {}, {}, "c1")


@pytest.mark.parametrize(
    ("typename", "given", "stored"),
    [
        ("int4", [1, " 8 ", "-9", None, ABSENT], [1, 8, -9, None, None]),
        ("int8", [2**63 - 1, -(2**63)], [2**63 - 1, -(2**63)]),
        ("text", ["x", 12, 1.5, True, {"b": 1, "a": [1]}, ""], ["x", "12", "1.5", "true", '{"b": 1, "a": [1]}', ""]),
        ("boolean", [True, False, "f", "YES", 1, "off", None], [1, 0, 0, 1, 1, 0, None]),
        ("float8", [1, 1.5, "NaN", "-Infinity", "1e3"], [1.0, 1.5, "NaN", float("-inf"), 1000.0]),
        ("float4", [1.1, 16777217], [1.100000023841858, 16777216.0]),
        ("float8[]", [["Infinity", 1]], ["[1e999, 1.0]"]),
        ("jsonb", [{"bb": 1, "a": None}, None, ABSENT, "x"], ['{"a": null, "bb": 1}', "null", None, '"x"']),
        ("text[]", [["a", None, 1], [], None], ['["a", null, "1"]', "[]", None]),
        ("int4[]", [[1, "2", None]], ["[1, 2, null]"]),
        ("boolean[]", [["t", False]], ["[true, false]"]),
        ("uuid", ["00000000-0000-0000-0000-00000000000A"], ["00000000-0000-0000-0000-00000000000a"]),
        ("date", ["2020-2-3", "Feb 3, 2020", "20200203"], ["2020-02-03"] * 3),
        ("timestamptz", ["2020-01-01 10:00:00.50+02"], ["2020-01-01T08:00:00.5+00:00"]),
        ("timestamp", ["2020-01-01T10:00"], ["2020-01-01T10:00:00"]),
        ("interval", ["90 minutes", "P1Y2M"], ["01:30:00", "1 year 2 mons"]),
        ("color_rgb_hex", ["#A0B1C2", None], ["#A0B1C2", None]),
    ],
)
def test_json_values_are_cast(typename: str, given: list[Any], stored: list[Any]) -> None:
    assert list(cast_json_column(column(typename), given)) == stored


@pytest.mark.parametrize(
    ("typename", "value"),
    [
        ("int2", 32768),
        ("int4", 2**31),
        ("int8", 2**63),
        ("int4", 1.5),
        ("int4", True),
        ("int4", ""),
        ("int4", "1e3"),
        ("int4", [1]),
        ("boolean", "maybe"),
        ("boolean", 2),
        ("boolean", ""),
        ("text", "a\0b"),
        ("uuid", "nope"),
        ("date", "2020-02-30"),
        ("timestamptz", "soon"),
        ("float8", "1e400"),
        ("float8", "1e-400"),
        ("float4", "1e-46"),
        ("jsonb", "a\0b"),
        ("jsonb", float("inf")),
        ("text[]", "a"),
        ("int4[]", ["x"]),
    ],
)
def test_what_a_type_refuses_is_malformed(typename: str, value: Any) -> None:
    with pytest.raises(BadRequest):
        cast_json_column(column(typename), [value])


def test_what_a_domain_refuses_is_a_conflict() -> None:
    for typename, value in (("color_rgb_hex", "red"), ("ermrest_rid", "lower case!")):
        with pytest.raises(Conflict):
            cast_json_column(column(typename), [value])


def test_csv_tells_nothing_from_the_empty_text() -> None:
    assert list(cast_text_column(column("text"), ["", QUOTED_EMPTY, "x"])) == [None, "", "x"]
    assert list(cast_text_column(column("int4"), ["", "7"])) == [None, 7]
    with pytest.raises(BadRequest):
        cast_text_column(column("int4"), [QUOTED_EMPTY])


def test_csv_arrays_are_postgresqls_or_json() -> None:
    given = ['{a,"b c",NULL,"q\\"x"}', '["a", null]', "{}"]
    assert list(cast_text_column(column("text[]"), given)) == ['["a", "b c", null, "q\\"x"]', '["a", null]', "[]"]


def test_literals_of_a_url() -> None:
    assert cast_literal(resolve_type("int4"), "7") == 7
    assert cast_literal(resolve_type("int8"), "99999999999999999999") == 1e20
    assert cast_literal(resolve_type("int4[]"), "7") == 7
    for typename in ("int4", "float8", "jsonb"):
        with pytest.raises(BadRequest):
            cast_literal(resolve_type(typename), "x")
    for typename in ("date", "boolean", "uuid"):
        with pytest.raises(Conflict):
            cast_literal(resolve_type(typename), "{x")
    for text in ("NaN", "inf", "1e400"):
        with pytest.raises(Conflict):
            cast_literal(resolve_type("float8"), text)
