"""URLs from the grammar and mutations of them: every one is answered, none with a failure of the server."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .conftest import Wire, examples
from .tables import HOSTILE, TYPES, table_document, texts

COLUMNS = [*TYPES, "RID", "RCT", "RCB", "nope", "*"]
ORDERED = ["::lt::", "::leq::", "::gt::", "::geq::"]
OPERATORS = ["=", "=any", "=all", *ORDERED, "::regexp::", "::ciregexp::", "::ts::", "::null::", "::nope::"]
SEGMENTS = ["ns", "obj", "..", ".", "%2e%2e", "%00", ";upload", ";acl", "x:V", ""]
RESERVED = "/&;=!$()@,:*?%-_.~"


def escaped(text: str) -> str:
    return quote(text, safe="")


values = st.one_of(texts, st.integers().map(str), st.floats().map(str), st.sampled_from(["t", "2026-01-01", "{1,2}"]))
values = values.map(lambda text: escaped(text[:2000]))
columns = st.builds(
    lambda alias, name: f"{alias}{name}", st.sampled_from(["", "", "", "A:", "B:", "S:U:"]), st.sampled_from(COLUMNS)
)


def _predicate(column: str, operator: str, value: str, other: str) -> str:
    if operator == "::null::":
        return f"{column}::null::"
    return f"{column}{operator}({value},{other})" if operator.startswith("=a") else f"{column}{operator}{value}"


predicates = st.recursive(
    st.builds(_predicate, columns, st.sampled_from(OPERATORS), values, values),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("&;"), inner).map("".join),
        inner.map(lambda p: f"({p})"),
        inner.map(lambda p: f"!{p}"),
    ),
    max_leaves=5,
)
links = st.one_of(
    st.sampled_from(["S:U", "U", "B:=S:U", "A:=S:T", "$A", "$B", "(i)", "(A:i)=(S:U:k)", "(RCB)", "(S:T:i)", "nope:T"]),
    st.builds(
        lambda kind, left, right: f"B:={kind}({left})=(S:U:{right})",
        st.sampled_from(["", "left", "right", "full"]),
        columns,
        st.sampled_from(["k", "RID", "nope"]),
    ),
)
paths = st.builds(
    lambda root, rest: "/".join([root, *rest]),
    st.sampled_from(["S:T", "A:=S:T", "T", "S:U", "nope"]),
    st.lists(st.one_of(predicates, links), max_size=4),
)
functions = st.builds(
    lambda name, column: f"x:={name}({column})",
    st.sampled_from(["min", "max", "avg", "sum", "cnt", "cnt_d", "array", "array_d", "bin", "trs", "tcrs", "nope"]),
    columns,
)
limits = st.one_of(
    values, st.sampled_from(["0", "-7", "1e308", "2020-01-01", "2020-03-01", "0044-01-01%20BC", "infinity"])
)
bins = st.builds(
    lambda c, n, low, high: f"x:=bin({c};{n};{low};{high})",
    columns,
    st.one_of(values, st.sampled_from(["1", "3", "100000"])),
    limits,
    limits,
)
outputs = st.lists(st.one_of(columns, functions, bins, columns.map(lambda c: f"o:={c}")), min_size=1, max_size=4).map(
    ",".join
)
pages = st.builds(
    lambda keys, after, before: f"@sort({keys}){after}{before}",
    st.lists(st.sampled_from(["RID", "t::desc::", "i", "x", "nope"]), min_size=1, max_size=2).map(",".join),
    st.one_of(st.just(""), values.map(lambda v: f"@after({v})"), st.just("@after(::null::)")),
    st.one_of(st.just(""), values.map(lambda v: f"@before({v})")),
)
options = st.one_of(
    st.just(""),
    st.lists(
        st.builds(
            lambda name, value: f"{name}={value}",
            st.sampled_from(["limit", "accept", "arrays", "download", "defaults", "nondefaults", "onconflict", "nope"]),
            st.one_of(values, st.sampled_from(["none", "1", "csv", "json", "RID", "t,i"])),
        ),
        max_size=2,
    ).map(lambda parts: "?" + "&".join(parts)),
)
requests = st.one_of(
    st.builds("/entity/{}{}{}".format, paths, st.one_of(st.just(""), pages), options),
    st.builds("/attribute/{}/{}{}{}".format, paths, outputs, st.one_of(st.just(""), pages), options),
    st.builds("/attributegroup/{}/{};{}{}{}".format, paths, outputs, outputs, st.one_of(st.just(""), pages), options),
    st.builds("/aggregate/{}/{}{}".format, paths, outputs, options),
    st.builds(
        "/schema/{}/table/{}/{}/{}".format,
        values,
        values,
        st.sampled_from(["column", "key", "foreignkey", "acl"]),
        values,
    ),
    st.builds("/entity_rid/{}".format, values),
    st.builds("/history/{},{}".format, values, values),
    st.builds("@{}/entity/S:T".format, values),
)


@st.composite
def mutated(draw: Any) -> str:
    """A URL from the grammar with up to four characters removed, doubled, or put in."""
    url = draw(requests)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(1, max(1, len(url) - 1)))
        kind = draw(st.sampled_from(["remove", "double", "insert", "cut"]))
        if kind == "remove":
            url = url[:at] + url[at + 1 :]
        elif kind == "double":
            url = url[:at] + url[at : at + 5] + url[at:]
        elif kind == "insert":
            url = (
                url[:at]
                + draw(
                    st.sampled_from([*RESERVED, "%2", "%00", "%FF", "%ED%A0%80", "::", "'", '"', "+", "[", "\\", "|"])
                )
                + url[at:]
            )
        else:
            url = url[: max(at, 1)]
    return str(url)


@pytest.fixture(scope="module")
def filled(wire: Wire) -> Wire:
    other = table_document("U", {"k": "int8", "t": "text"})
    other["column_definitions"][-2]["nullok"] = False
    other["keys"].append({"unique_columns": ["k"]})
    first = table_document("T")
    first["foreign_keys"] = [
        {
            "foreign_key_columns": [{"schema_name": "S", "table_name": "T", "column_name": "i"}],
            "referenced_columns": [{"schema_name": "S", "table_name": "U", "column_name": "k"}],
        }
    ]
    wire.json("POST", "/schema", [other, first])
    wire.json("POST", "/entity/S:U", [{"k": n, "t": str(n)} for n in range(3)])
    wire.json(
        "POST",
        "/entity/S:T",
        [{"t": text[:100], "i": n % 3, "f": n / 3, "a": [text[:50]]} for n, text in enumerate(HOSTILE)],
    )
    return wire


@examples(250)
@given(url=requests, accept=st.sampled_from(["*/*", "text/csv", "application/x-json-stream", "nope/nope"]))
def test_a_url_of_the_grammar_is_answered(filled: Wire, url: str, accept: str) -> None:
    filled.healthy("GET", filled.catalog + url, accept=accept)


@examples(250)
@given(url=mutated(), method=st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "PUT", "PATCH"]))
def test_a_mutated_url_is_answered(filled: Wire, url: str, method: str) -> None:
    body = None if method in ("GET", "HEAD") else b"[]"
    filled.healthy(method, filled.catalog + url, body, content_type="application/json")


@examples(100)
@given(text=texts)
def test_a_value_is_never_sql(filled: Wire, text: str) -> None:
    if len(text) > 1000:
        text = text[:1000]
    count = len(filled.json("GET", "/attribute/S:T/RID"))
    made = filled.json("POST", "/entity/S:T", [{"t": text, "a": [text]}])[0]
    rid = made["RID"]
    for condition in (f"t={escaped(text)}", f"t=any({escaped(text)})", f"a={escaped(text)}"):
        found = filled.json("GET", f"/attribute/S:T/{condition}/RID,t")
        assert {"RID": rid, "t": text} in found
        assert {row["t"] for row in found} == {text}
    assert filled.json("GET", f"/attribute/S:T/RID={rid}/!t={escaped(text)}/RID") == []
    filled.json("DELETE", f"/entity/S:T/RID={rid}&t={escaped(text)}")
    assert len(filled.json("GET", "/attribute/S:T/RID")) == count


@examples(100)
@given(
    path=st.lists(st.one_of(st.sampled_from(SEGMENTS), values), max_size=4),
    method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE"]),
    kind=st.sampled_from(["application/x-hatrac-namespace", "application/json", "text/plain", ";;"]),
    span=st.sampled_from(["bytes=0-", "bytes=5-2", "bytes=-0", "lines=1-2", "bytes=0-0,2-3", f"bytes={10**20}-"]),
)
def test_a_url_of_objects_is_answered(wire: Wire, path: list[str], method: str, kind: str, span: str) -> None:
    if method == "DELETE" and not any(path):
        return
    wire.healthy(method, "/hatrac/fuzz/" + "/".join(path) + "?parents=true", b"{}", content_type=kind, range=span)
