"""A catalog of its own for each test of data, and tables made in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

SYSTEM = {"RID": "ermrest_rid", "RCT": "ermrest_rct", "RMT": "ermrest_rmt", "RCB": "ermrest_rcb", "RMB": "ermrest_rmb"}


@dataclass(frozen=True)
class DataCatalog:
    """A catalog with an empty schema S."""

    http: httpx.Client
    base: str

    def send(self, method: str, path: str, json: Any = None, **more: Any) -> httpx.Response:
        return self.http.request(method, self.base + path, json=json, **more)

    def rows(self, path: str) -> Any:
        answer = self.send("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def insert(self, table: str, *rows: dict[str, Any], query: str = "") -> Any:
        answer = self.send("POST", f"/entity/S:{table}{query}", list(rows))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def snaptime(self) -> str:
        return str(self.rows("")["snaptime"])

    def make_table(
        self, name: str, columns: dict[str, str], keys: list[list[str]], fkeys: tuple[dict[str, Any], ...] = ()
    ) -> None:
        """A type ending in `!` is not null; a foreign key is {columns, table, to, on_delete?, on_update?}."""
        document = {
            "kind": "table",
            "table_name": name,
            "column_definitions": [
                {
                    "name": c,
                    "type": _type(t.rstrip("!")),
                    "nullok": not t.endswith("!") and c not in ("RID", "RCT", "RMT"),
                }
                for c, t in (SYSTEM | columns).items()
            ],
            "keys": [{"unique_columns": key} for key in (["RID"], *keys)],
            "foreign_keys": [
                {
                    "foreign_key_columns": [{"column_name": c} for c in fkey["columns"]],
                    "referenced_columns": [
                        {"schema_name": "S", "table_name": fkey["table"], "column_name": c} for c in fkey["to"]
                    ],
                    **{k: fkey[k] for k in ("on_delete", "on_update") if k in fkey},
                }
                for fkey in fkeys
            ],
        }
        answer = self.send("POST", "/schema/S/table", document)
        assert answer.status_code == 201, answer.text


def _type(name: str) -> dict[str, Any]:
    if name.endswith("[]"):
        return {"typename": name, "is_array": True, "base_type": {"typename": name[:-2]}}
    return {"typename": name}


@pytest.fixture
def make_catalog(embedded_server: Any) -> Iterator[Callable[[], DataCatalog]]:
    with embedded_server.client() as http:
        made = []

        def make() -> DataCatalog:
            base = f"/ermrest/catalog/{http.post('/ermrest/catalog').json()['id']}"
            made.append(base)
            assert http.post(f"{base}/schema/S").status_code == 201
            return DataCatalog(http, base)

        yield make
        for base in made:
            http.delete(base)


@pytest.fixture
def catalog(make_catalog: Callable[[], DataCatalog]) -> DataCatalog:
    return make_catalog()
