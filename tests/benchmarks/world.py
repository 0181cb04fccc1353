"""What all subjects share: one embedded DERIVA in a process of its own, a lean client of it, and the rows they use."""

from __future__ import annotations

import csv
import http.client
import io
import itertools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from deriva_ml_prefect.embedded import server
from deriva_ml_prefect.embedded.authn import read_tokens

if TYPE_CHECKING:
    from deriva_ml_prefect.ml.deriva_ml import DerivaML

ROWS = 100_000
COLUMNS = ("Name", "Group", "Value", "Count", "Flag", "Note")
TYPES = ("text", "text", "float8", "int4", "boolean", "markdown")
SYSTEM = ("RID", "RCT", "RMT", "RCB", "RMB")
KEPT_SECONDS = 30.0


@dataclass
class Client:
    """Bare requests over one kept connection."""

    connection: http.client.HTTPConnection
    token: str
    used: float = 0.0
    """Monotonic time of the last request: the server ends a connection on which nothing is asked for long."""

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
        """The answer's body. RuntimeError for an answer that is an error."""
        headers = {"authorization": f"Bearer {self.token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        if time.monotonic() - self.used > KEPT_SECONDS:
            self.connection.close()
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        content = answer.read()
        self.used = time.monotonic()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path:.200} was answered {answer.status}: {content[:300]!r}")
        return content


@dataclass
class World:
    """The running server, a client, and a folder for whatever is made beside it."""

    client: Client
    folder: Path
    catalog: str
    """Path of the catalog that has the schema S, e.g. `/ermrest/catalog/1`."""
    scale: float = 1.0
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def of(self, count: int) -> int:
        """So much work, or the part of it that the scale asks for; at least 1."""
        return max(1, round(count * self.scale))

    @cached_property
    def ml(self) -> DerivaML:
        """Another catalog of the same server, made by create_ml_catalog; DERIVA_ML_HOME leads to it as `embedded`."""
        from deriva_ml_prefect.ml.creation import create_ml_catalog
        from deriva_ml_prefect.ml.deriva_ml import DerivaML

        return DerivaML("embedded", str(create_ml_catalog("embedded", "bench").catalog_id))

    def new_table(self) -> str:
        """Make an empty table; returns `S:T`. Its keys are RID and Name; RCB and RMB refer to clients."""
        name = f"T{next(self._numbers)}"
        columns = [_column(n, t) for n, t in zip(COLUMNS, TYPES, strict=True)]
        document = {
            "schema_name": "S",
            "table_name": name,
            "column_definitions": [*map(_system_column, SYSTEM), *columns],
            "keys": [{"unique_columns": ["RID"]}, {"unique_columns": ["Name"]}],
            "foreign_keys": [_to_clients(name, "RCB"), _to_clients(name, "RMB")],
        }
        self.client.ask("POST", f"{self.catalog}/schema", json.dumps([document]).encode(), content_type=JSON)
        return f"S:{name}"

    def filled_table(self, rows: int = ROWS) -> str:
        """A table with rows; returns `S:T`."""
        table = self.new_table()
        self.client.ask("POST", f"{self.catalog}/entity/{table}", rows_as_csv(rows), content_type="text/csv")
        return table


JSON = "application/json"


@contextmanager
def open_server(data: Path) -> Iterator[tuple[Client, int]]:
    """Start a server on a data folder; a client of it and its process id. Ended with the context."""
    running = server.spawn(data, idle_minutes=60)
    try:
        where = urlsplit(running.url)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=120)
        yield Client(connection, read_tokens(data)["owner"]), running.pid or 0
        connection.close()
    finally:
        server.stop(data)


@contextmanager
def open_world(folder: Path, *, scale: float = 1.0) -> Iterator[World]:
    """Start a server on `folder/data` and make a catalog with a schema `S`; ended with the context.

    `folder/home` is a home folder (DERIVA_ML_HOME) whose embedded DERIVA is this one.
    """
    (folder / "home").mkdir(parents=True)
    (folder / "home" / "embedded").symlink_to(folder / "data")
    with open_server(folder / "data") as (client, _):
        made = json.loads(client.ask("POST", "/ermrest/catalog"))
        catalog = f"/ermrest/catalog/{made['id']}"
        client.ask("POST", f"{catalog}/schema/S")
        yield World(client, folder, catalog, scale)


def rows(count: int) -> Iterator[tuple[Any, ...]]:
    """Rows of the shape of COLUMNS, without the system columns: short texts, numbers, some nulls, some quotes."""
    for n in range(count):
        note = None if n % 3 else f'measured, "again" {n}' if n % 30 == 0 else f"a note about sample {n}"
        yield (f"sample-{n:07d}", f"group {n % 50}", n / 7, n % 1000, "ft"[n % 2], note)


def rows_as_csv(count: int) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows(count))
    return out.getvalue().encode()


def _column(name: str, typename: str) -> dict[str, Any]:
    return {"name": name, "type": {"typename": typename}, "nullok": name != "Name"}


def _system_column(name: str) -> dict[str, Any]:
    return {"name": name, "type": {"typename": f"ermrest_{name.lower()}"}, "nullok": name in ("RCB", "RMB")}


def _to_clients(table: str, column: str) -> dict[str, Any]:
    return {
        "foreign_key_columns": [{"schema_name": "S", "table_name": table, "column_name": column}],
        "referenced_columns": [{"schema_name": "public", "table_name": "ERMrest_Client", "column_name": "ID"}],
    }
