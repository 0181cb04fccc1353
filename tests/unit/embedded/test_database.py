"""One SQLite file: snapshots for readers, one writer, a bound on time."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from deriva_ml_prefect.embedded.database import Database, Function, open_database
from deriva_ml_prefect.embedded.errors import BadRequest, NotFound

SCHEMA = "CREATE TABLE IF NOT EXISTS t (a INTEGER);"


def insert_and_fail(database: Database) -> None:
    with database.write() as writer:
        writer.execute("INSERT INTO t VALUES (1)")
        raise KeyError("of the caller")


def run_for(database: Database, statement: str, seconds: float) -> None:
    with database.read() as reader:
        reader.allow(seconds)
        reader.execute(statement).fetchone()


def test_reader_sees_one_moment_while_a_writer_commits(tmp_path: Path) -> None:
    database = open_database(tmp_path / "x.db", SCHEMA)
    with database.read() as reader:
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (0,)
        with database.write() as writer:
            writer.execute("INSERT INTO t VALUES (1)")
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (0,)
    with database.read() as reader:
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_failed_write_leaves_nothing_and_frees_the_lock(tmp_path: Path) -> None:
    database = open_database(tmp_path / "x.db", SCHEMA)
    with pytest.raises(KeyError):
        insert_and_fail(database)
    with database.write() as writer:
        assert writer.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_writers_take_turns(tmp_path: Path) -> None:
    database = open_database(tmp_path / "x.db", SCHEMA + "INSERT INTO t VALUES (0);")

    def add() -> None:
        for _ in range(20):
            with database.write() as writer:
                (value,) = writer.execute("SELECT a FROM t").fetchone()
                writer.execute("UPDATE t SET a = ?", (value + 1,))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as reader:
        assert reader.execute("SELECT a FROM t").fetchone() == (80,)


def test_commits_reach_the_disk(tmp_path: Path) -> None:
    with open_database(tmp_path / "x.db", SCHEMA).write() as writer:
        assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert writer.execute("PRAGMA synchronous").fetchone() == (2,)


def test_late_statement_is_the_clients_mistake(tmp_path: Path) -> None:
    database = open_database(tmp_path / "x.db", SCHEMA)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(BadRequest, match="Query run time limit exceeded"):
        run_for(database, endless, 0.05)
    with database.read() as reader:
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_mistakes_in_sql_stay_errors_of_sqlite(tmp_path: Path) -> None:
    database = open_database(tmp_path / "x.db", SCHEMA)
    with pytest.raises(sqlite3.OperationalError), database.read() as reader:
        reader.execute("SELECT nope FROM t")


def test_functions_are_known_to_every_connection(tmp_path: Path) -> None:
    database = open_database(tmp_path / "x.db", SCHEMA, (Function("twice", 1, lambda value: value * 2),))
    with database.read() as one, database.read() as two, database.write() as three:
        for connection in (one, two, three):
            assert connection.execute("SELECT twice(21)").fetchone() == (42,)


def test_closed_database_does_not_come_back_as_an_empty_file(tmp_path: Path) -> None:
    database = open_database(tmp_path / "x.db", SCHEMA)
    database.close()
    (tmp_path / "x.db").unlink()
    with pytest.raises(NotFound), database.read():
        pass
    with pytest.raises(NotFound), database.write():
        pass
    assert not (tmp_path / "x.db").exists()
