"""What an act leaves that is cut off in its middle, or that another one crosses: never half of it."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from deriva_ml_prefect.embedded import database
from deriva_ml_prefect.embedded.app import is_disk_full
from deriva_ml_prefect.embedded.authn import OWNER, describe
from deriva_ml_prefect.embedded.body import MemoryBody
from deriva_ml_prefect.embedded.ermrest import registry as registry_module
from deriva_ml_prefect.embedded.ermrest.registry import (
    Order,
    create_catalog,
    delete_catalog,
    find_catalog,
    open_registry,
)
from deriva_ml_prefect.embedded.errors import Conflict, HttpError, NotFound
from deriva_ml_prefect.embedded.hatrac.content import Contents
from deriva_ml_prefect.embedded.hatrac.service import HatracService, open_service
from deriva_ml_prefect.embedded.http import Request, Response

ME = describe(OWNER)


def ask(service: HatracService, method: str, path: str, content: bytes = b"", **headers: str) -> bytes:
    stated = {key.replace("_", "-"): value for key, value in headers.items()}
    answer: Response = service(Request(method, path, "", stated, MemoryBody(content, len(content)), ME))
    return answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)


def make_job(service: HatracService) -> str:
    order = orjson.dumps({"chunk-length": 4, "content-length": 8})
    return ask(service, "POST", "/hatrac/o;upload", order, content_type="application/json").decode().strip()


class Killed(BaseException):
    """Stands for SIGKILL."""


def test_a_chunk_that_was_being_replaced_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = open_service(tmp_path)
    job = make_job(service)
    ask(service, "PUT", f"{job}/0", b"aaaa")
    ask(service, "PUT", f"{job}/1", b"bbbb")
    write_at = Contents.write_at

    def write_half(self: Contents, content: str, offset: int, pieces: Any, **values: Any) -> None:
        write_at(self, content, offset, [b"".join(pieces)[:2]], **values)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Contents, "write_at", write_half)
        with pytest.raises(Killed):
            ask(service, "PUT", f"{job}/0", b"cccc")
    service = open_service(tmp_path)
    with pytest.raises(Conflict, match="1 of 2 chunks are missing"):
        ask(service, "POST", job)
    ask(service, "PUT", f"{job}/0", b"cccc")
    ask(service, "POST", job)
    assert ask(service, "GET", "/hatrac/o") == b"ccccbbbb"


def test_a_chunk_that_is_sent_again_is_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = open_service(tmp_path)
    job = make_job(service)
    for position, content in enumerate((b"aaaa", b"bbbb")):
        ask(service, "PUT", f"{job}/{position}", content)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("it was written again")

    with monkeypatch.context() as patch:
        patch.setattr(Contents, "write_at", refuse)
        ask(service, "PUT", f"{job}/0", b"aaaa")
    ask(service, "POST", job)
    assert ask(service, "GET", "/hatrac/o") == b"aaaabbbb"


def test_an_object_that_is_deleted_while_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = open_service(tmp_path)
    path = ask(service, "PUT", "/hatrac/o", b"there", content_type="application/octet-stream").decode().strip()
    read = Contents.read

    def delete_first(self: Contents, *place: Any) -> Iterator[bytes]:
        monkeypatch.setattr(Contents, "read", read)
        ask(service, "DELETE", path)
        return read(self, *place)

    monkeypatch.setattr(Contents, "read", delete_first)
    with pytest.raises(NotFound):
        ask(service, "GET", path)


def test_a_catalog_that_cannot_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = open_registry(tmp_path)
    order = Order(None, [ME.id], {"is_persistent": True}, {})

    def fail(*_: Any) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(registry_module, "insert_client_row", fail)
        with pytest.raises(sqlite3.OperationalError):
            create_catalog(registry, order, ME)
    assert not [*(tmp_path / "catalogs").iterdir()]
    made = create_catalog(registry, order, ME)
    assert made.id == "1"
    assert find_catalog(registry, "1") is made


def test_a_catalog_that_is_deleted_while_it_is_opened_stays_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_catalog(open_registry(tmp_path), Order(None, [ME.id], {}, {}), ME)
    registry = open_registry(tmp_path)
    find_entry = registry_module.find_entry

    def find_and_delete(*arguments: Any) -> Any:
        found = find_entry(*arguments)
        monkeypatch.setattr(registry_module, "find_entry", find_entry)
        delete_catalog(open_registry(tmp_path), "1", ME)
        return found

    monkeypatch.setattr(registry_module, "find_entry", find_and_delete)
    with pytest.raises(NotFound):
        find_catalog(registry, "1")
    assert not [*(tmp_path / "catalogs").iterdir()]


def test_without_a_write_ahead_log_more_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.connect(tmp_path / "a.db", ()) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    execute = database.Connection.execute

    def refuse_log(self: Any, sql: str, *values: Any) -> Any:
        return execute(self, sql.replace("journal_mode=WAL", "journal_mode=DELETE"), *values)

    monkeypatch.setattr(database.Connection, "execute", refuse_log, raising=False)
    with database.connect(tmp_path / "b.db", ()) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (3,)


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    assert is_disk_full(OSError(errno.ENOSPC, "No space left on device"))
    assert not is_disk_full(OSError(errno.EIO, "Input/output error"))
    assert not is_disk_full(HttpError("other"))
    with database.connect(tmp_path / "a.db", ()) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("PRAGMA max_page_count=3")
        with pytest.raises(sqlite3.OperationalError) as raised:
            connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
        assert is_disk_full(raised.value)
