"""Memory of the server: how far it rises over its rest with 200,000 rows against 100,000; flat means about the same.

Each figure is taken of a server that has just been started, because a process keeps what it once needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from tests.benchmarks.comparison import Comparison, Figure
from tests.benchmarks.world import COLUMNS, JSON, ROWS, World, open_server, open_world, rows, rows_as_csv

MORE = 2 * ROWS
AIM = 1.5
ROUNDS = 3
"""Enough for figures that hardly differ from round to round, each of which takes two servers and seconds."""


def compare(world: World, stack: ExitStack) -> list[Comparison]:
    with open_world(world.folder / "memory") as prepared:
        tables = [prepared.filled_table(MORE), prepared.filled_table(ROWS)]
    bodies = [rows_as_csv(count) for count in (MORE, ROWS)]
    documents = [rows_as_json(count) for count in (MORE, ROWS)]

    def rise(method: str, path: Callable[[World], str], body: bytes | None, **headers: str) -> Figure:
        """Megabytes by which the largest resident size during the request passes that before it."""

        def figure() -> float:
            with open_server(prepared.folder / "data") as (client, pid):
                where = f"{prepared.catalog}/{path(replace(prepared, client=client))}"
                client.ask("GET", f"{prepared.catalog}/entity/{tables[0]}?limit=1")
                before = _kilobytes(pid, "VmRSS")
                client.ask(method, where, body, **headers)
                return max(_kilobytes(pid, "VmHWM") - before, 1) / 1024

        return figure

    def compared(what: str, more: Figure, fewer: Figure) -> Comparison:
        return Comparison(f"memory over a {what}, 200,000 / 100,000 rows", more, fewer, AIM, "MB", rounds=ROUNDS)

    def reading(what: str, form: str) -> Comparison:
        paths = [f"entity/{table}" for table in tables]
        return compared(what, *(rise("GET", lambda _, at=path: at, None, accept=form) for path in paths))  # type: ignore[misc]

    def writing(what: str, method: str, paths: Sequence[Callable[[World], str]], *, as_json: bool) -> Comparison:
        form, contents = (JSON, documents) if as_json else ("text/csv", bodies)
        return compared(what, *(rise(method, p, c, content_type=form) for p, c in zip(paths, contents, strict=True)))

    def present(pattern: str) -> list[Callable[[World], str]]:
        paths = [pattern.format(table) for table in tables]
        return [lambda _, at=path: at for path in paths]  # type: ignore[misc]

    new = [lambda world: f"entity/{world.new_table()}"] * 2
    update = present("attributegroup/{}/Name;Value,Count,Note")
    return [
        reading("GET as CSV", "text/csv"),
        reading("GET as JSON", JSON),
        writing("POST as CSV", "POST", new, as_json=False),
        writing("POST as JSON", "POST", new, as_json=True),
        writing("PUT of new rows as CSV", "PUT", new, as_json=False),
        writing("PUT of present rows as JSON", "PUT", present("entity/{}"), as_json=True),
        writing("PUT of columns as JSON", "PUT", update, as_json=True),
    ]


def rows_as_json(count: int) -> bytes:
    return json.dumps([{**dict(zip(COLUMNS, row, strict=True)), "Flag": row[4] == "t"} for row in rows(count)]).encode()


def _kilobytes(pid: int, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"The kernel does not tell {name} of process {pid}.")
    return int(found[1])
