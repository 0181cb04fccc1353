"""Memory of the server while a large answer or body passes through it: far less than the rows, whatever the way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deriva.core.ermrest_model import Column, Key, Table, builtin_types

JSON, CSV = "application/json", "text/csv"
MEGABYTE = 1024 * 1024
ROWS = 20_000
TEXT = 4500
BOUND = 64 * MEGABYTE
"""The rows alone are 90 MB."""


def kilobytes(pid: int, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def rise(server: Any, act: Callable[[], None]) -> int:
    """Bytes by which the largest resident size during `act` passes that before it."""
    pid = server.process.pid
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # forgets the largest size so far
    before = kilobytes(pid, "VmRSS")
    act()
    return (kilobytes(pid, "VmHWM") - before) * 1024


def body(form: str, letter: str) -> bytes:
    rows = [(f"row {n}", letter * TEXT, n) for n in range(ROWS)]
    if form == CSV:
        return b"name,text,number\n" + "".join([f"{a},{b},{c}\n" for a, b, c in rows]).encode()
    return json.dumps([{"name": a, "text": b, "number": c} for a, b, c in rows]).encode()


@pytest.mark.slow
@pytest.mark.workers
def test_memory_does_not_grow_with_the_rows(own_server: Any) -> None:
    with own_server.client() as client:
        client.timeout = 120
        catalog = "/ermrest/catalog/" + client.post("/ermrest/catalog").json()["id"]
        client.post(f"{catalog}/schema/S")
        for name in "AB":
            columns = [
                Column.define("name", builtin_types.text, nullok=False),
                Column.define("text", builtin_types.text),
            ]
            columns.append(Column.define("number", builtin_types.int4))
            table = Table.define(name, columns, [Key.define(["name"])])
            assert client.post(f"{catalog}/schema/S/table", json=table).status_code == 201

        def ask(method: str, path: str, form: str, content: bytes | None = None) -> Callable[[], None]:
            def act() -> None:
                headers = {"content-type": form, "accept": form}
                with client.stream(method, f"{catalog}/{path}", content=content, headers=headers) as answer:
                    assert answer.status_code == 200
                    size = sum(len(piece) for piece in answer.iter_raw())
                    assert size > ROWS * TEXT, "the answer lacks rows"

            return act

        found = {}
        for method, path, form, letter in (
            ("POST", "entity/S:A", CSV, "a"),
            ("PUT", "entity/S:B", CSV, "b"),
            ("PUT", "entity/S:B", JSON, "c"),
            ("PUT", "attributegroup/S:A/name;text,number", JSON, "d"),
            ("PUT", "attributegroup/S:A/name;text,number", CSV, "e"),
            ("POST", "entity/S:A?onconflict=skip", JSON, "f"),
        ):
            if "skip" in path:
                client.delete(f"{catalog}/entity/S:A")
            found[f"{method} {path} {form}"] = rise(own_server, ask(method, path, form, body(form, letter)))
        for form in (JSON, CSV):
            found[f"GET {form}"] = rise(own_server, ask("GET", "entity/S:A", form))
            found[f"GET sorted {form}"] = rise(own_server, ask("GET", "entity/S:A@sort(text,name::desc::)", form))
    print({name: f"{size / MEGABYTE:.1f} MB" for name, size in found.items()})
    assert {name: size for name, size in found.items() if size > BOUND} == {}
