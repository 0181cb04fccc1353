"""The ERMrest service without a web server, and the documents that these tests send it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from deriva_ml_prefect.embedded.authn import describe
from deriva_ml_prefect.embedded.ermrest.service import ErmrestService
from deriva_ml_prefect.embedded.errors import HttpError
from deriva_ml_prefect.embedded.http import Client, Request


class WholeBody:
    def __init__(self, content: bytes) -> None:
        self.length: int | None = len(content)
        self._content = content

    def chunks(self) -> Iterator[bytes]:
        yield self._content

    def read(self, limit: int) -> bytes:
        assert len(self._content) <= limit
        return self._content


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    content: bytes

    def json(self) -> Any:
        return orjson.loads(self.content)


@dataclass
class Door:
    """Sends requests to the service as one client, relative to a base path."""

    service: ErmrestService
    base: str
    client: Client | None

    def send(self, method: str, path: str, document: Any = None, **headers: str) -> Answer:
        if not isinstance(document, bytes):
            document = b"" if document is None else json.dumps(document).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        raw, _, query = f"{self.base}{path}".partition("?")
        request = Request(
            method, raw, query, {"content-type": "application/json", **named}, WholeBody(document), self.client
        )
        try:
            response = self.service(request)
        except HttpError as error:
            response = error.response(sentence=True)
        body = response.body if isinstance(response.body, bytes) else b"".join(response.body)
        return Answer(response.status, {name.lower(): value for name, value in response.headers}, body)

    def get(self, path: str, **headers: str) -> Any:
        answer = self.send("GET", path, **headers)
        assert answer.status == 200, answer
        return answer.json()

    def post(self, path: str, document: Any = None, **headers: str) -> Answer:
        return self.send("POST", path, document, **headers)

    def put(self, path: str, document: Any, **headers: str) -> Answer:
        return self.send("PUT", path, document, **headers)

    def delete(self, path: str, **headers: str) -> Answer:
        return self.send("DELETE", path, **headers)

    def snaptime(self) -> str:
        return str(self.get("")["snaptime"])

    def of(self, client: Client | None) -> Door:
        return Door(self.service, self.base, client)

    def at(self, base: str) -> Door:
        return Door(self.service, base, self.client)


@pytest.fixture
def service(tmp_path: Path) -> ErmrestService:
    return ErmrestService(tmp_path)


@pytest.fixture
def root(service: ErmrestService) -> Door:
    """The owner, outside of any catalog."""
    return Door(service, "/ermrest", describe("owner"))


@pytest.fixture
def door(root: Door) -> Door:
    """The owner, in a fresh catalog."""
    return root.at("/ermrest/catalog/" + root.post("/catalog").json()["id"])


@pytest.fixture
def other(door: Door) -> Door:
    """A known client without rights, in the same catalog."""
    return door.of(describe("other"))


def table_document(name: str, columns: dict[str, Any], keys: list[list[str]], **more: Any) -> dict[str, Any]:
    """A table as clients send it; a column is a typename, or the fields of its document."""
    system = [
        {"name": each, "type": {"typename": f"ermrest_{each.lower()}"}, "nullok": each in ("RCB", "RMB")}
        for each in ("RID", "RCT", "RMT", "RCB", "RMB")
    ]
    own = [
        {"name": each, **({"type": {"typename": kind}} if isinstance(kind, str) else kind)}
        for each, kind in columns.items()
    ]
    keyed = [{"unique_columns": key} for key in [["RID"], *keys]]
    return {"table_name": name, "column_definitions": system + own, "keys": keyed, **more}


def fkey_document(columns: list[tuple[str, str, str]], to: list[tuple[str, str, str]], **more: Any) -> dict[str, Any]:
    names = ("schema_name", "table_name", "column_name")
    return {
        "foreign_key_columns": [dict(zip(names, column, strict=True)) for column in columns],
        "referenced_columns": [dict(zip(names, column, strict=True)) for column in to],
        **more,
    }


@pytest.fixture
def documents() -> Any:
    """`documents.table(...)`, `documents.fkey(...)`, and `documents.pair(door)`, which makes what `pair` has."""

    class Documents:
        table = staticmethod(table_document)
        fkey = staticmethod(fkey_document)
        pair = staticmethod(make_pair)

    return Documents


@pytest.fixture
def pair(door: Door) -> Door:
    """Schema S with parent P (id, x; keys id, and id with x) and child C (p, px, refers to P.id by p)."""
    make_pair(door)
    return door


def make_pair(door: Door) -> None:
    child = table_document("C", {"p": "int4", "px": "text"}, [])
    child["foreign_keys"] = [fkey_document([("S", "C", "p")], [("S", "P", "id")])]
    parent = table_document(
        "P", {"id": {"type": {"typename": "int4"}, "nullok": False}, "x": "text"}, [["id"], ["id", "x"]]
    )
    made = door.post("/schema", {"schemas": {"S": {"tables": {"C": child, "P": parent}}}})
    assert made.status == 201, made
