"""What a request may cost: deep JSON, wild regular expressions, and long or deep URLs harm nobody else."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from deriva.core.ermrest_model import Column, Table, builtin_types

from deriva_ml_prefect.embedded.database import REQUEST_SECONDS


@pytest.fixture(scope="module")
def table(embedded_server: Any) -> Iterator[str]:
    """Path of a catalog with table S:T (id, j, jb, t), one row of which has a long text."""
    with embedded_server.client() as client:
        catalog = "/ermrest/catalog/" + client.post("/ermrest/catalog").json()["id"]
        client.post(f"{catalog}/schema/S")
        columns = [("id", "int4"), ("j", "json"), ("jb", "jsonb"), ("t", "text")]
        document = Table.define("T", [Column.define(name, builtin_types[kind]) for name, kind in columns])
        assert client.post(f"{catalog}/schema/S/table", json=document).status_code == 201
        assert client.post(f"{catalog}/entity/S:T", json=[{"id": 1, "t": "a" * 60}]).status_code == 200
        yield catalog
        client.delete(catalog)


def nested(depth: int, core: str = "") -> str:
    return "[" * depth + core + "]" * depth


@pytest.mark.parametrize("core", ["", "12345678901234567890123"])
@pytest.mark.parametrize("column", ["j", "jb"])
def test_json_values(embedded_server: Any, table: str, column: str, core: str) -> None:
    with embedded_server.client() as client:

        def post(kind: str, body: str) -> Any:
            return client.post(f"{table}/entity/S:T", content=body, headers={"content-type": kind})

        for depth in (900, 3000, 100_000):
            value = nested(depth, core)
            other = "j" if column == "jb" else "jb"
            for kind, body in (
                ("application/json", f'[{{"{column}": {value}}}]'),
                ("application/x-json-stream", f'{{"{column}": {value}}}\n'),
                ("text/csv", f'id,t,{other},{column}\n2,,1,"{value}"\n'),
            ):
                answer = post(kind, body)
                assert answer.status_code == 400, f"{kind} {depth}: {answer.text[:200]}"
        answer = post("application/json", f'[{{"id": 9, "{column}": {nested(60, core)}}}]')
        assert answer.status_code == 200
        rid = answer.json()[0]["RID"]
        for accept in ("application/json", "text/csv", "application/x-json-stream"):
            read = client.get(f"{table}/entity/S:T/RID={rid}", headers={"accept": accept})
            assert read.status_code == 200
            assert nested(60, core) in read.text
        assert client.get(f"{table}/entity/S:T/id=2").json() == []


@pytest.mark.parametrize("depth", [101, 500, 3000, 30_000])
def test_json_documents(embedded_server: Any, table: str, depth: int) -> None:
    value, headers = nested(depth), {"content-type": "application/json"}
    with embedded_server.client() as client:
        for method, path, body in (
            ("PUT", f"{table}/annotation/tag:test,2026:deep", value),
            ("PUT", f"{table}/schema/S/table/T/annotation/tag:test,2026:deep", value),
            ("POST", f"{table}/schema", f'{{"schema_name": "X", "annotations": {{"a": {value}}}}}'),
            ("PUT", f"{table}/acl", f'{{"owner": {value}}}'),
            ("POST", "/ermrest/catalog", f'{{"annotations": {{"a": {value}}}}}'),
            ("POST", "/hatrac/deep;upload", f'{{"chunk-length": 1, "content-length": {value}}}'),
            ("PUT", "/hatrac/;acl/owner", value),
        ):
            answer = client.request(method, path, content=body, headers=headers)
            assert answer.status_code == 400, f"{path}: {answer.status_code} {answer.text[:200]}"


def test_a_search_without_end_harms_nobody_else(embedded_server: Any, table: str) -> None:
    answers: list[Any] = []

    def search() -> None:
        with embedded_server.client() as client:
            answers.append(client.get(f"{table}/entity/S:T/t::regexp::{quote('(a|a)*b', safe='')}"))

    searching = threading.Thread(target=search)
    begun = time.monotonic()
    searching.start()
    with embedded_server.client() as client:
        slowest = 0.0
        while searching.is_alive():
            asked = time.monotonic()
            assert client.get(f"{table}/entity/S:T/id=1").status_code == 200
            slowest = max(slowest, time.monotonic() - asked)
            time.sleep(0.05)
    searching.join()
    assert time.monotonic() - begun < 16
    assert answers[0].status_code == 400
    assert "Query run time limit exceeded." in answers[0].text
    assert slowest < 2


def test_a_slow_reader_is_not_cut_off(own_server: Any) -> None:
    """The bound is for the work of the query; a client may take longer than that to fetch the rows."""
    host, port = own_server.url.removeprefix("http://").split(":")
    with own_server.client() as client, socket.create_connection((host, int(port)), timeout=60) as slow:
        catalog = "/ermrest/catalog/" + client.post("/ermrest/catalog").json()["id"]
        client.post(f"{catalog}/schema/S")
        client.post(f"{catalog}/schema/S/table", json=Table.define("T", [Column.define("t", builtin_types.text)]))
        rows = "t\n" + ("x" * 2000 + "\n") * 20_000
        answer = client.post(f"{catalog}/entity/S:T", content=rows, headers={"content-type": "text/csv"})
        assert answer.status_code == 200
        head = f"Host: {host}:{port}\r\nAuthorization: Bearer {own_server.token}\r\nAccept: text/csv\r\n"
        slow.sendall(f"GET {catalog}/attribute/S:T/t HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode())
        received = bytearray(slow.recv(1000))
        time.sleep(REQUEST_SECONDS + 1)
        while piece := slow.recv(1024 * 1024):
            received += piece
    assert received.count(b"x" * 2000) == 20_000
    assert received.endswith(b"0\r\n\r\n"), "the answer was cut off"


def test_ambiguous_expressions_that_end_are_answered(embedded_server: Any, table: str) -> None:
    with embedded_server.client() as client:
        for pattern, found in (("^(a+)+$", 1), ("(a|aa)*a$", 1), ("^(a|b)*$", 1), ("^(ab?)+b$", 0)):
            answer = client.get(f"{table}/entity/S:T/id=1/t::regexp::{quote(pattern, safe='')}")
            assert answer.status_code == 200, answer.text
            assert len(answer.json()) == found, pattern
        assert client.get(f"{table}/entity/S:T/t::regexp::{'a' * 2001}").status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "/entity/S:T/" + "(" * 3000 + "id=1" + ")" * 3000,
        "/entity/S:T/" + "!(" * 3000 + "id=1" + ")" * 3000,
        "/entity/S:T" + "".join(f"/A{i}:=(id)=(S:T:id)" for i in range(70)),
        "/attribute/S:T/" + ",".join(f"c{i}:=id" for i in range(5000)),
        "/aggregate/S:T/" + ",".join(f"c{i}:=cnt(id)" for i in range(3000)),
        "/entity/S:T@sort(" + ",".join(["id"] * 8000) + ")",
        "/entity/S:T?limit=" + "9" * 5000,
        "/entity/S:T/id=" + "9" * 5000,
    ],
    ids=["parentheses", "negations", "joins", "columns", "aggregates", "sort keys", "limit", "number"],
)
def test_urls_that_ask_too_much(embedded_server: Any, table: str, path: str) -> None:
    with embedded_server.client() as client:
        answer = client.get(table + path)
        assert answer.status_code == 400, answer.text[:200]


@pytest.mark.parametrize(
    "path",
    [
        "/entity/S:T/" + ";".join(f"id={i}" for i in range(6000)),
        "/entity/S:T/" + "&".join(["id=1"] * 6000),
        "/entity/S:T" + "/id=1" * 6000,
        "/entity/S:T/id=any(" + ",".join(map(str, range(10_000))) + ")",
    ],
    ids=["or", "and", "filters", "list"],
)
def test_long_urls_that_are_wide_only(embedded_server: Any, table: str, path: str) -> None:
    with embedded_server.client() as client:
        answer = client.get(table + path)
        assert answer.status_code == 200, answer.text[:200]
        assert 1 in [row["id"] for row in answer.json()]
