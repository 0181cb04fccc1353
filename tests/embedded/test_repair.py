"""A start after a kill says what it found half done and what it did about it; nothing that was answered is touched."""

from __future__ import annotations

import argparse
import contextlib
import re
import signal
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from shutil import copy
from typing import Any

import httpx
import pytest
from deriva.core.ermrest_model import Column, Table, builtin_types

from deriva_ml_prefect.cli.embedded import define
from deriva_ml_prefect.embedded import server
from deriva_ml_prefect.embedded.check import check_folder
from deriva_ml_prefect.embedded.repair import recover_database
from tests.embedded.conftest import end_server, start_server

WIDE = "x" * 2000


def sentences(data: Path) -> list[str]:
    return re.findall(r"repair: (.*)", (data / "stderr.txt").read_text())


def post_rows(client: httpx.Client, count: int) -> None:
    content = "t\n" + f"{WIDE}\n" * count
    client.post("/ermrest/catalog/1/entity/S:T", content=content, headers={"content-type": "text/csv"}, timeout=60)


def kill_in_a_post(server: Any) -> None:
    """End the server by SIGKILL when pages of a transaction that is not committed are in the catalog's log."""
    log = server.data / "catalogs" / "1.db-wal"
    before = log.stat().st_size

    def post() -> None:
        with contextlib.suppress(httpx.TransportError), server.client() as client:
            post_rows(client, 40_000)

    posting = threading.Thread(target=post)
    posting.start()
    deadline = time.monotonic() + 60
    while log.stat().st_size < before + 1024 * 1024:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    end_server(server, signal.SIGKILL)
    posting.join()


def run_command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    define(parser)
    arguments = parser.parse_args([*words])
    return int(arguments.act(arguments))


def test_a_kill_is_repaired_and_told(
    own_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = own_server.data
    monkeypatch.setenv("DERIVA_ML_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "embedded").symlink_to(data)
    with own_server.client() as client:
        client.post("/ermrest/catalog").raise_for_status()
        client.post("/ermrest/catalog/1/schema/S").raise_for_status()
        table = Table.define("T", [Column.define("t", builtin_types.text)])
        client.post("/ermrest/catalog/1/schema/S/table", json=table).raise_for_status()
        post_rows(client, 3)
        for name in ("first", "second"):
            client.put(f"/hatrac/{name}", content=b"there").raise_for_status()
        job = client.post("/hatrac/job;upload", json={"chunk-length": 3, "content-length": 5}).text.strip()
        client.put(f"{job}/0", content=b"abc").raise_for_status()
    kill_in_a_post(own_server)
    (data / "objects" / "incoming" / "CUTOFF").write_bytes(b"half")
    (data / ".tokens.json.0123abcd").write_text("{}")
    (data / "catalogs" / "77.db").touch()
    (data / "catalogs" / "78.db-wal").touch()
    again = start_server(data)
    try:
        said = sentences(data)
        for pattern in (
            r"removed .*/\.tokens\.json\.0123abcd: it was being written when the server ended",
            r"the list of catalogs: \d+ committed transactions? moved from its log into its file",
            r"catalog 1: \d+ committed transactions? moved from its log into its file",
            r"catalog 1: a transaction that was not committed is undone \(\d+ pages of it were written\)",
            r"the names of objects: \d+ committed transactions moved from its log into its file",
            r"removed the file of catalog 77: it was deleted, or never answered, when the server ended",
            r"removed the file of catalog 78: it was deleted, or never answered, when the server ended",
            r"hatrac: removed 1 file that were being written, and never answered",
            r"hatrac: kept 1 unfinished upload job, to be continued",
        ):
            assert [line for line in said if re.fullmatch(pattern, line)], f"{pattern} is not in {said}"
        assert len(said) == 9
        running = server.find(data)
        assert running is not None
        assert running.repaired == said
        assert run_command("status") == 0
        assert capsys.readouterr().out.count("\n- ") == 9
        with again.client() as client:
            assert len(client.get("/ermrest/catalog/1/entity/S:T").json()) == 3
            assert client.get("/hatrac/second").content == b"there"
            client.put(f"{job}/1", content=b"de").raise_for_status()
            assert client.post(job).status_code == 201
        assert not [*data.glob("catalogs/7*")]
    finally:
        assert end_server(again) == 0
    assert check_folder(data).differences == ()


def test_nothing_is_said_where_nothing_was_left(own_server: Any) -> None:
    with own_server.client() as client:
        client.post("/ermrest/catalog").raise_for_status()
    assert end_server(own_server) == 0
    second = start_server(own_server.data)
    end_server(second, signal.SIGKILL)
    assert sentences(own_server.data) == []
    third = start_server(own_server.data)
    assert end_server(third) == 0
    assert sentences(own_server.data) == ["nothing was left undone"]


@pytest.mark.parametrize("torn", [0, 1, 30, 4000])
def test_a_log_is_told_apart_to_the_page(tmp_path: Path, torn: int) -> None:
    path, copied = tmp_path / "a.db", tmp_path / "b.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA cache_size=10")
        connection.execute("CREATE TABLE t (x)")
        for _ in range(4):
            connection.execute("INSERT INTO t VALUES ('there')")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 3000,)] * 100)
        copy(path, copied)
        copy(f"{path}-wal", f"{copied}-wal")
        connection.execute("ROLLBACK")
    log = Path(f"{copied}-wal")
    log.write_bytes(log.read_bytes()[: log.stat().st_size - torn])
    said: list[str] = []
    recover_database(copied, "it", said.append)
    assert said[0] == "it: 5 committed transactions moved from its log into its file"
    assert re.fullmatch(
        r"it: a transaction that was not committed is undone \(\d\d+ pages of it were written\)", said[1]
    )
    assert not log.exists() or log.stat().st_size == 0
    with closing(sqlite3.connect(copied)) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (4,)


def test_a_file_that_is_none_is_told_and_left(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"no database" * 1000)
    path.with_name("a.db-wal").write_bytes(b"no log" * 1000)
    said: list[str] = []
    recover_database(path, "it", said.append)
    assert len(said) == 1
    assert "cannot be opened (file is not a database)" in said[0]
    assert path.read_bytes() == b"no database" * 1000


@pytest.mark.parametrize("name", ["registry.db", "hatrac.db"])
def test_a_damaged_file_is_told_and_the_rest_is_served(own_server: Any, name: str) -> None:
    with own_server.client() as client:
        client.post("/ermrest/catalog").raise_for_status()
        client.put("/hatrac/first", content=b"there").raise_for_status()
    end_server(own_server, signal.SIGKILL)
    (own_server.data / name).write_bytes(b"no database" * 1000)
    (own_server.data / f"{name}-wal").write_bytes(b"no log" * 1000)
    again = start_server(own_server.data)
    try:
        assert any("cannot be opened" in line for line in sentences(again.data))
        with again.client() as client:
            answers = [client.get("/ermrest/catalog/1").status_code, client.get("/hatrac/first").status_code]
            assert answers == ([500, 200] if name == "registry.db" else [200, 500])
    finally:
        end_server(again)
