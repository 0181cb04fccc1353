"""Catalogs and aliases: made, found again by another process, deleted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.embedded.authn import describe
from deriva_ml_prefect.embedded.ermrest.service import ErmrestService


def test_ids_are_serial_unless_asked_for(root: Any) -> None:
    assert root.post("/catalog").json() == {"id": "1"}
    assert root.post("/catalog", {"id": "2"}).json() == {"id": "2"}
    named = root.post("/catalog", {"id": "a/b"})
    assert (named.json(), named.headers["location"]) == ({"id": "a/b"}, "/ermrest/catalog/a%2Fb")
    assert root.post("/catalog").json() == {"id": "4"}
    assert root.post("/catalog", {"id": "2"}).status == 409


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ([], 400),
        ({"id": 5}, 400),
        ({"owner": "me"}, 400),
        ({"owner": ["somebody"]}, 409),
        ({"is_persistent": "yes"}, 400),
        ({"annotations": []}, 400),
        ({"name": "N", "description": "D", "is_persistent": False}, 201),
    ],
)
def test_documents_of_new_catalogs(root: Any, document: Any, status: int) -> None:
    made = root.post("/catalog", document)
    assert made.status == status
    if status == 201:
        shown = root.get(f"/catalog/{made.json()['id']}")
        assert {name: shown[name] for name in document} == document


def test_only_the_owner_makes_catalogs(root: Any) -> None:
    assert root.of(None).post("/catalog").status == 401
    assert root.of(describe("other")).post("/catalog").status == 403


def test_deleted_catalog_is_gone_with_its_file(root: Any, door: Any, tmp_path: Path) -> None:
    assert list((tmp_path / "catalogs").glob("1.db*"))
    assert door.delete("").status == 204
    assert door.send("GET", "").status == 404
    assert not list((tmp_path / "catalogs").glob("1.db*"))
    assert root.post("/catalog", {"id": "1"}).status == 409


def test_alias_answers_for_its_catalog(root: Any, door: Any) -> None:
    assert root.post("/alias", {"id": "short", "alias_target": "1"}).status == 201
    assert root.get("/catalog/short")["alias_target"] == "1"
    assert root.get("/catalog/short/schema") == door.get("/schema")
    assert root.put("/alias/short", {"alias_target": None}).status == 200
    assert root.send("GET", "/catalog/short").status == 404
    assert root.put("/alias/short", {"alias_target": "nope"}).status == 409
    assert root.put("/alias/new", {"alias_target": "1"}).status == 201
    assert root.delete("/alias/new").status == 204
    assert root.send("GET", "/alias/new").status == 404
    assert root.of(describe("other")).send("GET", "/alias/short").status == 403


def test_another_process_finds_everything_again(door: Any, pair: Any, tmp_path: Path) -> None:
    pair.post("/entity/S:P", [{"id": 1, "x": "a"}])
    again = type(door)(ErmrestService(tmp_path), door.base, door.client)
    for path in ("", "/schema", "/entity/S:P"):
        assert again.get(path) == pair.get(path)


def test_files_of_no_catalog_are_removed_at_the_start(door: Any, tmp_path: Path) -> None:
    stray = tmp_path / "catalogs" / "77.db"
    stray.write_bytes(b"half made")
    ErmrestService(tmp_path)
    assert not stray.exists()
    assert (tmp_path / "catalogs" / "1.db").exists()


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from conftest import Door, ErmrestService, describe, table_document
root = Door(ErmrestService(Path({data!r})), "/ermrest", describe("owner"))
door = root.at("/ermrest/catalog/" + root.post("/catalog").json()["id"])
door.post("/schema/S")
assert door.post("/schema/S/table", table_document("T", {{"id": "int4"}}, [])).status == 201
assert door.post("/entity/S:T", [{{"id": 1}}, {{"id": 2}}]).status == 200
with door.service._registry.opened[1].database.write() as connection:
    connection.execute("DELETE FROM revision")
    os.kill(os.getpid(), 9)
"""


def test_kill_keeps_what_was_answered_and_drops_what_was_not(tmp_path: Path, root: Any) -> None:
    data = tmp_path / "killed"
    code = KILLED.format(folder=str(Path(__file__).parent), data=str(data))
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, timeout=60, check=False)
    assert done.returncode == -9, done.stderr.decode()
    door = type(root)(ErmrestService(data), "/ermrest/catalog/1", root.client)
    assert [row["id"] for row in door.get("/entity/S:T")] == [1, 2]
    assert door.get("/history/,")["snaprange"][1] == door.snaptime()
