"""Rows of a catalog: 100,000 read and written against plain SQLite, one small answer, the past against the present."""

from __future__ import annotations

import itertools
import json
import statistics
import time
from contextlib import ExitStack, closing
from urllib.parse import quote

from tests.benchmarks.comparison import Comparison, timed
from tests.benchmarks.plain import insert_csv, open_plain, read_csv, read_json
from tests.benchmarks.world import JSON, ROWS, World, rows_as_csv

SMALL_SECONDS = 0.003
SMALL_REQUESTS = 50


def compare(world: World, stack: ExitStack) -> list[Comparison]:
    table = world.filled_table()
    plain = world.folder / "plain.sqlite"
    body = rows_as_csv(ROWS)
    with closing(open_plain(plain)) as connection:
        insert_csv(connection, "t", body)
    entity = f"{world.catalog}/entity/{table}"
    return [
        Comparison(
            "GET 100,000 rows as CSV / sqlite3 + csv",
            timed(lambda: world.client.ask("GET", entity, accept="text/csv")),
            timed(lambda: read_csv(plain, "t")),
            3.0,
        ),
        Comparison(
            "GET 100,000 rows as JSON / sqlite3 + orjson",
            timed(lambda: world.client.ask("GET", entity, accept=JSON)),
            timed(lambda: read_json(plain, "t")),
            3.0,
        ),
        _writing(world, stack, body),
        _small(world, entity),
        _past(world, entity),
    ]


def _writing(world: World, stack: ExitStack, body: bytes) -> Comparison:
    connection = stack.enter_context(closing(open_plain(world.folder / "written.sqlite")))
    numbers = itertools.count()

    def ours() -> float:
        path = f"{world.catalog}/entity/{world.new_table()}"
        return timed(lambda: world.client.ask("POST", path, body, content_type="text/csv"))()

    def limit() -> float:
        return timed(lambda: insert_csv(connection, f"t{next(numbers)}", body))()

    return Comparison("POST 100,000 rows as CSV / sqlite3 + csv, same indexes", ours, limit, 2.0)


def _small(world: World, entity: str) -> Comparison:
    row = json.loads(world.client.ask("GET", f"{entity}?limit=1"))[0]
    path = f"{entity}/RID={quote(row['RID'])}"

    def ours() -> float:
        figures = []
        for _ in range(SMALL_REQUESTS):
            started = time.perf_counter()
            world.client.ask("GET", path)
            figures.append(time.perf_counter() - started)
        return statistics.median(figures)

    return Comparison("GET one row by RID / 3 ms", ours, lambda: SMALL_SECONDS, 1.0, "ms")


def _past(world: World, entity: str) -> Comparison:
    """The past of a table of which all rows changed once and half are gone, against a table that is as it was."""
    table = world.filled_table()
    snapshot = json.loads(world.client.ask("GET", f"{world.catalog}"))["snaptime"]
    keys = json.loads(world.client.ask("GET", f"{world.catalog}/attribute/{table}/RID"))
    changed = json.dumps([{"RID": key["RID"], "Value": -1} for key in keys]).encode()
    world.client.ask("PUT", f"{world.catalog}/attributegroup/{table}/RID;Value", changed, content_type=JSON)
    world.client.ask("DELETE", f"{world.catalog}/entity/{table}/Count::lt::500")
    past = f"{world.catalog}@{snapshot}/entity/{table}"
    return Comparison(
        "GET 100,000 rows of the past as JSON / of the present",
        timed(lambda: world.client.ask("GET", past, accept=JSON)),
        timed(lambda: world.client.ask("GET", entity, accept=JSON)),
        2.0,
    )
