"""Small writes that share a transaction: each is its own, and each is on disk when it returns."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from deriva_ml_prefect.embedded.database import Connection, Database, open_database
from deriva_ml_prefect.embedded.errors import Conflict, NotFound

COUNT = 40


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return open_database(tmp_path / "t.db", "CREATE TABLE t (n INTEGER PRIMARY KEY);")


def insert(number: int) -> Callable[[Connection], None]:
    def act(connection: Connection) -> None:
        connection.execute("INSERT INTO t VALUES (?)", (number,))
        if number % 10 == 3:
            raise Conflict(f"{number} is refused after it was written.")

    return act


def held_up(database: Database, numbers: list[int]) -> dict[int, BaseException | None]:
    """Write the numbers from a thread each, all of which wait for the same transaction; what each one raised."""
    raised: dict[int, BaseException | None] = {}

    def write(number: int) -> None:
        try:
            database.write_together(insert(number))
            raised[number] = None
        except BaseException as error:  # noqa: BLE001 (compared below)
            raised[number] = error

    threads = [threading.Thread(target=write, args=(number,)) for number in numbers]
    with database.lock:
        for thread in threads:
            thread.start()
        while len(database.waiting) < len(threads):
            pass
    for thread in threads:
        thread.join()
    return raised


def commits(database: Database) -> list[str]:
    """Statements that end transactions from now on."""
    said: list[str] = []
    database.writer.set_trace_callback(lambda sql: said.append(sql) if sql in ("COMMIT", "ROLLBACK") else None)
    return said


def stored(database: Database) -> list[int]:
    with closing(sqlite3.connect(database.path)) as other:
        return [row[0] for row in other.execute("SELECT n FROM t ORDER BY n")]


def test_all_that_wait_share_a_commit_and_errors_are_each_their_own(database: Database) -> None:
    said = commits(database)
    raised = held_up(database, list(range(COUNT)))
    assert said == ["COMMIT"]
    refused = [number for number, error in raised.items() if error is not None]
    assert sorted(refused) == [3, 13, 23, 33]
    assert all(isinstance(raised[number], Conflict) and str(number) in str(raised[number]) for number in refused)
    assert stored(database) == [number for number in range(COUNT) if number not in refused]


def test_a_transaction_that_is_lost_is_an_error_of_all_in_it(database: Database) -> None:
    database.writer.execute(
        "CREATE TRIGGER lost BEFORE INSERT ON t WHEN NEW.n = 7 BEGIN SELECT RAISE(ROLLBACK, 'x'); END"
    )
    raised = held_up(database, [5, 6, 7, 8])
    assert all(isinstance(error, sqlite3.IntegrityError) for error in raised.values())
    assert stored(database) == []
    database.write_together(insert(9))
    assert stored(database) == [9]


def test_a_file_that_was_closed_meanwhile_takes_nothing(database: Database) -> None:
    database.close()
    with pytest.raises(NotFound):
        database.write_together(insert(1))
