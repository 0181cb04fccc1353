"""Bodies: rows of every type are read back in all three formats; whatever else is sent is refused, never a failure."""

from __future__ import annotations

import json
import re
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .conftest import Wire, examples
from .tables import TYPES, json_values, rows, table_document, texts

FIELD = re.compile(r'(?:"((?:[^"]|"")*)"|([^,\n]*))(,|\n)')
NAMES = list(TYPES)
ODD = (
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'[{"t":"a\\u0000b"}]',
    b"t,i\n\x00,1\n",
    b'[{"i":1e400}]',
    b'[{"j":NaN}]',
    b'[{"t":"\\ud800"}]',
)


@pytest.fixture(scope="module")
def table(wire: Wire) -> Wire:
    wire.json("POST", "/schema", [table_document("B")])
    return wire


def read_csv(text: str) -> list[dict[str, str | None]]:
    """CSV as PostgreSQL writes it: nothing is null, `""` is the empty text."""
    lines: list[list[str | None]] = [[]]
    position = 0
    while position < len(text):
        found = FIELD.match(text, position)
        assert found, text[position : position + 80]
        quoted, bare, end = found.groups()
        lines[-1].append(quoted.replace('""', '"') if quoted is not None else bare or None)
        if end == "\n":
            lines.append([])
        position = found.end()
    header, *rest = lines[:-1]
    return [dict(zip(map(str, header), line, strict=True)) for line in rest]


def agrees(name: str, text: str | None, value: Any) -> bool:
    """Whether a CSV field says what the JSON value says."""
    kind = TYPES[name]
    if value is None and kind == "jsonb":
        return text in (None, "null")
    if value is None or text is None:
        return value is None and text is None
    if kind in ("text", "markdown", "date", "uuid", "time", "timetz", "interval"):
        return bool(text == value)
    if kind in ("float4", "float8") and isinstance(value, str):
        return bool(text == value)
    if kind == "boolean":
        return text == ("t" if value else "f")
    if kind in ("int2", "int8"):
        return int(text) == value
    if kind in ("float4", "float8"):
        return float(text) == value
    if kind == "jsonb":
        return bool(json.loads(text) == value)
    if kind in ("timestamp", "timestamptz"):
        return text[:19].replace(" ", "T") == value[:19]
    return text.startswith("{") and text.endswith("}")


def is_kept(kind: str, kept: Any, meant: Any) -> bool:
    """Whether a value that is read is the one that was written, in the form that its type gives it."""
    if meant is None or kept is None:
        return kept is None and meant is None
    if kind in ("timestamp", "timestamptz"):
        return bool(kept[:19] == meant[:19])
    if kind == "float4" and not isinstance(meant, str):
        return kept == meant or struct.pack("<f", kept) == struct.pack("<f", meant)
    if kind == "jsonb[]":
        return [None if text is None else json.loads(text) for text in meant] == kept
    if kind == "time":
        return bool(kept == meant.rstrip("0").rstrip(".") if "." in meant else kept == meant)
    if kind in ("interval", "timetz"):
        return bool(kept)  # that its text is read as the same value is what the CSV that is sent again shows
    return bool(kept == meant)


@examples(80)
@given(written=st.lists(rows, min_size=1, max_size=4), form=st.sampled_from(["json", "stream"]))
def test_what_was_written_is_read_back(table: Wire, written: list[dict[str, Any]], form: str) -> None:
    path = f"{table.catalog}/entity/S:B"
    kind = "application/json" if form == "json" else "application/x-json-stream"
    dumped = [json.dumps(row).encode() for row in written]
    body = b"[" + b",".join(dumped) + b"]" if form == "json" else b"\n".join(dumped) + b"\n"
    status, answer = table.ask("POST", path, body, content_type=kind)
    assert status == 200, answer[:500]
    made = json.loads(answer) if form == "json" else [json.loads(line) for line in answer.split(b"\n") if line]
    which = "/".join([path, "RID=any(" + ",".join(row["RID"] for row in made) + ")"]) + "@sort(RID)"
    as_json = json.loads(table.ask("GET", which, accept="application/json")[1])
    stream = table.ask("GET", which, accept="application/x-json-stream")[1]
    assert [json.loads(line) for line in stream.split(b"\n") if line] == as_json
    assert sorted(made, key=lambda row: row["RID"]) == sorted(as_json, key=lambda row: row["RID"])
    by_rid = {row["RID"]: row for row in as_json}
    for row, meant in zip(made, written, strict=True):
        kept = by_rid[row["RID"]]
        for name in NAMES:
            assert is_kept(TYPES[name], kept[name], meant[name]), (name, kept[name], meant[name])
    as_csv = read_csv(table.ask("GET", which, accept="text/csv")[1].decode())
    assert len(as_csv) == len(as_json)
    for line, row in zip(as_csv, as_json, strict=True):
        for name in NAMES:
            assert agrees(name, line[name], row[name]), (name, line[name], row[name])


@examples(60)
@given(written=st.lists(rows, min_size=1, max_size=4))
def test_csv_that_was_answered_can_be_sent(table: Wire, written: list[dict[str, Any]]) -> None:
    path = f"{table.catalog}/entity/S:B"
    made = table.json("POST", "/entity/S:B", written)
    which = f"{table.catalog}/attribute/S:B/RID=any({','.join(r['RID'] for r in made)})/RID,{','.join(NAMES)}@sort(RID)"
    status, text = table.ask("GET", which, accept="text/csv")
    assert status == 200
    status, answer = table.ask("POST", path, text, content_type="text/csv", accept="application/json")
    assert status == 200, answer[:500]
    before = sorted(made, key=lambda row: row["RID"])
    after = sorted(json.loads(answer), key=lambda row: row["RID"])
    for old in before:
        assert any(all(new[name] == old[name] for name in NAMES) for new in after), old


@examples(120)
@given(
    body=st.one_of(
        st.binary(max_size=200),
        json_values.map(lambda value: json.dumps(value).encode()),
        st.lists(st.dictionaries(st.sampled_from([*NAMES, "nope"]), json_values, max_size=4), max_size=3).map(
            lambda value: json.dumps(value).encode()
        ),
        texts.map(lambda text: f"t,i\n{text}".encode()),
        st.sampled_from(ODD),
    ),
    kind=st.sampled_from(["application/json", "application/x-json-stream", "text/csv", "text/plain", "nope", ""]),
    where=st.sampled_from(
        [
            "/entity/S:B",
            "/attributegroup/S:B/RID;t,i",
            "/schema",
            "/schema/S/table",
            "/schema/S/table/B/column",
            "/schema/S/table/B/key",
            "/schema/S/table/B/foreignkey",
            "/schema/S/table/B/annotation/x",
        ]
    ),
)
def test_any_body_is_answered(table: Wire, body: bytes, kind: str, where: str) -> None:
    method = "PUT" if where.startswith(("/attributegroup", "/schema/S/table/B/annotation")) else "POST"
    table.healthy(method, table.catalog + where, body, content_type=kind)


def test_nul_is_refused(table: Wire) -> None:
    count = len(table.json("GET", "/attribute/S:B/RID"))
    for kind, body in (("application/json", b'[{"t":"a\\u0000b"}]'), ("text/csv", b"t\na\0b\n")):
        status, _ = table.ask("POST", f"{table.catalog}/entity/S:B", body, content_type=kind)
        assert status == 400
    assert len(table.json("GET", "/attribute/S:B/RID")) == count
