"""Memory of the server: how far it rises over its rest with 200,000 rows against 100,000; flat means about the same.

Each figure is taken of a server that has just been started, because a process keeps what it once needed.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from tests.benchmarks.comparison import Comparison, Figure
from tests.benchmarks.world import JSON, ROWS, World, open_server, open_world, rows_as_csv

MORE = 2 * ROWS
AIM = 1.5


def compare(world: World, stack: ExitStack) -> list[Comparison]:
    with open_world(world.folder / "memory") as prepared:
        many, few = prepared.filled_table(MORE), prepared.filled_table(ROWS)
    bodies = [rows_as_csv(count) for count in (MORE, ROWS)]

    def rise(table: str | None, body: bytes | None, **headers: str) -> Figure:
        """Megabytes by which the largest resident size during the request passes that before it."""

        def figure() -> float:
            with open_server(prepared.folder / "data") as (client, pid):
                path = f"{prepared.catalog}/entity/{table or replace(prepared, client=client).new_table()}"
                client.ask("GET", f"{path}?limit=1")
                before = _kilobytes(pid, "VmRSS")
                client.ask("GET" if body is None else "POST", path, body, **headers)
                return max(_kilobytes(pid, "VmHWM") - before, 1) / 1024

        return figure

    def compared(what: str, more: Figure, fewer: Figure) -> Comparison:
        return Comparison(f"memory over a {what}, 200,000 / 100,000 rows", more, fewer, AIM, "MB")

    return [
        compared("GET as CSV", rise(many, None, accept="text/csv"), rise(few, None, accept="text/csv")),
        compared("GET as JSON", rise(many, None, accept=JSON), rise(few, None, accept=JSON)),
        compared("POST as CSV", *(rise(None, body, content_type="text/csv") for body in bodies)),
    ]


def _kilobytes(pid: int, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"The kernel does not tell {name} of process {pid}.")
    return int(found[1])
