"""Tables for fuzzing, and values for each of their types."""

from __future__ import annotations

import datetime
import json
from typing import Any

from hypothesis import strategies as st

TYPES = {
    "t": "text",
    "i": "int8",
    "f": "float8",
    "b": "boolean",
    "j": "jsonb",
    "d": "date",
    "ts": "timestamptz",
    "a": "text[]",
    "n": "int4[]",
    "m": "markdown",
    "i2": "int2",
    "f4": "float4",
    "u": "uuid",
    "tm": "time",
    "tz": "timetz",
    "iv": "interval",
    "p": "timestamp",
    "fa": "float8[]",
    "da": "date[]",
    "ja": "jsonb[]",
}
SYSTEM = ("RID", "RCT", "RMT", "RCB", "RMB")
HOSTILE = (
    "", " ", "'", '"', "''", "\\", "a'); DROP TABLE t1;--", "' OR 1=1 --", "%",
    "_", "null", "NULL", "\\N", "{}", "{a,b}",
    "a,b", "a\nb", "a\r\nb", "\t", "é", "e\u0301", "\u202eabc", "𝄞", "\ufeff", "\x7f", "\x01", "x" * 3000, "?1", ":a",
    "{RID}",
    "::null::", "0x10", "1e999", "\u2028",
)  # fmt: skip

texts = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20),
)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
moments = st.datetimes(
    datetime.datetime(1901, 1, 1), datetime.datetime(2200, 1, 1), timezones=st.just(datetime.UTC)
)  # fmt: skip
odd_floats = st.sampled_from(["NaN", "Infinity", "-Infinity"])
dates = st.one_of(
    st.dates().map(str),
    st.sampled_from(["infinity", "-infinity", "0044-03-15 BC", "12345-06-07", "5874897-12-31", "4713-01-01 BC"]),
)
intervals = st.builds(
    lambda months, days, seconds: f"{months} months {days} days {seconds} seconds",
    st.integers(-5000, 5000),
    st.integers(-5000, 5000),
    st.decimals(-(10**6), 10**6, places=6),
)
zoned = st.builds(
    lambda clock, zone: f"{clock}{zone}",
    st.times().map(str),
    st.sampled_from(["+00", "-08", "+05:30", "-15:59:59", "+01"]),
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "t": texts,
    "m": texts,
    "i": st.integers(-(2**63), 2**63 - 1),
    "f": st.one_of(st.floats(allow_nan=False, allow_infinity=False), odd_floats),
    "b": st.booleans(),
    "j": json_values.filter(lambda value: value is not None),
    "d": dates,
    "ts": moments.map(datetime.datetime.isoformat),
    "a": st.lists(st.one_of(st.none(), texts), max_size=4),
    "n": st.lists(st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)), max_size=4),
    "i2": st.integers(-(2**15), 2**15 - 1),
    "f4": st.one_of(st.floats(allow_nan=False, allow_infinity=False, width=32), odd_floats),
    "u": st.uuids().map(str),
    "tm": st.times().map(str),
    "tz": zoned,
    "iv": intervals,
    "p": st.datetimes().map(datetime.datetime.isoformat),
    "fa": st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), odd_floats), max_size=4),
    "da": st.lists(st.one_of(st.none(), dates), max_size=4),
    "ja": st.lists(st.one_of(st.none(), json_values.map(json.dumps)), max_size=3),
}
rows = st.fixed_dictionaries({name: st.one_of(st.none(), value) for name, value in VALUES.items()})


def table_document(name: str, types: dict[str, str] | None = None) -> dict[str, Any]:
    """A table with the system columns, the columns of TYPES, and the key on RID."""
    system = [{"name": n, "type": {"typename": f"ermrest_{n.lower()}"}, "nullok": n in ("RCB", "RMB")} for n in SYSTEM]
    columns = [{"name": n, "type": _type(t)} for n, t in (types or TYPES).items()]
    return {
        "schema_name": "S",
        "table_name": name,
        "column_definitions": [*system, *columns],
        "keys": [{"unique_columns": ["RID"]}],
    }


def _type(name: str) -> dict[str, Any]:
    base = name.removesuffix("[]")
    return {"typename": name} if base == name else {"typename": name, "is_array": True, "base_type": {"typename": base}}
