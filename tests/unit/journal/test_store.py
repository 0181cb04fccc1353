"""Opening a journal: durable, versioned, refused when it cannot be read rightly; transactions."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.exceptions import DerivaMLConfigurationError
from deriva_ml_prefect.journal import features, queries
from deriva_ml_prefect.journal.executions import list_executions, read_execution
from deriva_ml_prefect.journal.store import (
    FILE_NAME,
    SCHEMA_VERSION,
    Journal,
    close_journals,
    is_on_network,
    open_journal,
)


def test_settings_of_the_connection(journal: Journal) -> None:
    def pragma(name: str) -> Any:
        return journal.connection.execute(f"PRAGMA {name}").fetchone()[0]

    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 2
    assert pragma("user_version") == SCHEMA_VERSION


def test_newer_schema_is_refused(tmp_path: Path) -> None:
    open_journal(tmp_path)
    close_journals()
    with sqlite3.connect(tmp_path / "journal.db") as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    connection.close()
    before = (tmp_path / "journal.db").read_bytes()
    for _ in range(2):
        with pytest.raises(DerivaMLConfigurationError, match="newer version of deriva-ml-prefect"):
            open_journal(tmp_path)
    assert (tmp_path / "journal.db").read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"this is no database, but long enough to be one" * 50, b"SQLite format 3\0" + b"x" * 5000]
)
def test_what_is_no_journal_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(content)
    with pytest.raises(DerivaMLConfigurationError, match="is damaged"):
        open_journal(tmp_path)
    assert path.read_bytes() == content


def test_page_that_is_damaged_has_a_name_in_reading_and_writing(journal: Journal) -> None:
    """The pages of the schema, which are read at opening, are whole."""
    path = journal.path
    pages = [row[0] for row in journal.connection.execute("SELECT rootpage FROM sqlite_master WHERE rootpage > 1")]
    size = journal.connection.execute("PRAGMA page_size").fetchone()[0]
    close_journals()
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * size)
            file.write(b"\xa5" * size)
    again = open_journal(path.parent)
    for act in (
        lambda: again.rows("select_execution", rid="1-A"),
        lambda: again.row("select_execution", rid="1-A"),
        lambda: again.write("mark_registered", rid="1-A", catalog_status="x"),
    ):
        with pytest.raises(DerivaMLConfigurationError, match=r"is damaged: .*Keep it"):
            act()
    close_journals()


def test_folder_that_cannot_be_written_is_not_called_damage(tmp_path: Path) -> None:
    """What SQLite answers on a disk that is read-only; a folder without the right says nothing to root."""
    open_journal(tmp_path)
    close_journals()
    (tmp_path / "journal.db-wal").mkdir()
    with pytest.raises(DerivaMLConfigurationError, match=r"unable to open.*can be written, and that there is room"):
        open_journal(tmp_path)
    (tmp_path / "journal.db-wal").rmdir()
    assert open_journal(tmp_path)
    close_journals()


def test_file_that_another_process_holds_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    close_journals()
    open_journal(tmp_path / "held")
    close_journals()
    connect = sqlite3.connect
    with closing(connect(tmp_path / "held" / FILE_NAME)) as holder:
        holder.execute("PRAGMA journal_mode=DELETE")
        holder.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(sqlite3, "connect", lambda path, **values: connect(path, **{**values, "timeout": 0.01}))
        with pytest.raises(DerivaMLConfigurationError, match=r"is in use: .*Repeat when it has"):
            open_journal(tmp_path / "held")
    assert open_journal(tmp_path / "held")
    close_journals()


def test_one_connection_a_process(journal: Journal, fork: Callable[[Callable[[], None]], Any]) -> None:
    assert open_journal(journal.workspace) is journal

    def child() -> None:
        mine = open_journal(journal.workspace)
        assert mine is not journal
        mine.write("mark_registered", rid="1-A", catalog_status="from the child")

    assert fork(child).wait() == 0
    entry = read_execution(journal, "1-A")
    assert entry is not None
    assert entry.catalog_status == "from the child"


def test_transaction_is_all_or_nothing(journal: Journal) -> None:
    def fail() -> None:
        with journal.transaction():
            journal.write("mark_registered", rid="1-A", catalog_status="half")
            raise RuntimeError("in between")

    with pytest.raises(RuntimeError, match="in between"):
        fail()
    entry = read_execution(journal, "1-A")
    assert entry is not None
    assert not entry.registered
    with journal.transaction(), journal.transaction():
        journal.write("mark_registered", rid="1-A", catalog_status="whole")
    entry = read_execution(journal, "1-A")
    assert entry is not None
    assert entry.catalog_status == "whole"


def test_a_write_survives_a_kill(journal: Journal, fork: Callable[[Callable[[], None]], Any]) -> None:
    def child() -> None:
        mine = open_journal(journal.workspace)
        mine.write("mark_registered", rid="1-A", catalog_status="durable")
        mine.connection.execute("BEGIN IMMEDIATE")
        mine.connection.execute("UPDATE execution_state__executions SET catalog_status = 'not durable'")
        os._exit(9)

    assert fork(child).wait() == 9
    entry = read_execution(journal, "1-A")
    assert entry is not None
    assert entry.catalog_status == "durable"


def test_full_disk_loses_nothing(journal: Journal) -> None:
    """The page limit of SQLite stands for a disk that is full."""
    pages = journal.connection.execute("PRAGMA page_count").fetchone()[0]
    journal.connection.execute(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(DerivaMLConfigurationError, match="cannot be written: database or disk is full"):
        journal.write("merge_facts", rid="1-A", facts='{"x": "' + "y" * 1_000_000 + '"}')
    journal.connection.execute("PRAGMA max_page_count=1000000")
    journal.write("mark_registered", rid="1-A", catalog_status="after")
    assert [entry.facts for entry in list_executions(journal)] == [{}]


def test_journal_that_was_moved_away_is_made_anew(journal: Journal) -> None:
    for path in journal.workspace.glob("journal.db*"):
        path.rename(path.with_suffix(".old"))
    again = open_journal(journal.workspace)
    assert again is not journal
    assert list_executions(again) == []


def test_every_query_is_valid_and_has_a_purpose(journal: Journal) -> None:
    text = Path(queries.__file__).with_name("queries.sql").read_text()
    names = [line.removeprefix("-- name: ") for line in text.splitlines() if line.startswith("-- name: ")]
    assert len(names) == len(set(names))
    for name in names:
        statement = queries.sql(name)
        assert statement.startswith("-- "), name
        unnamed = [None] * statement.count("?")
        words = dict.fromkeys(("now", *_parameters(statement)))
        assert not unnamed or len(words) == 1, name
        journal.connection.execute("EXPLAIN " + statement, unnamed or words)


def _parameters(statement: str) -> list[str]:
    import re

    return re.findall(r":(\w+)", statement)


def test_local_folder_is_not_on_a_network(tmp_path: Path) -> None:
    assert not is_on_network(tmp_path)


VERSION_1 = """
DROP VIEW execution_state__feature_records;
DROP TABLE execution_state__features;
DROP TABLE execution_state__feature_values;
DROP TABLE execution_state__feature_batches;
CREATE TABLE execution_state__feature_records (
    stage_id      INTEGER PRIMARY KEY AUTOINCREMENT,
    execution_rid TEXT NOT NULL,
    feature_table TEXT NOT NULL,
    feature_name  TEXT NOT NULL,
    target_table  TEXT NOT NULL,
    target        TEXT NOT NULL,
    record_json   TEXT NOT NULL,
    status        TEXT NOT NULL,
    error         TEXT,
    created_at    TEXT NOT NULL,
    uploaded_at   TEXT
) STRICT;
CREATE INDEX feature_records_target ON execution_state__feature_records (execution_rid, feature_table, target);
CREATE INDEX feature_records_status ON execution_state__feature_records (
    execution_rid, status, feature_table, stage_id);
PRAGMA user_version=1;
"""
"""What makes a journal of version 1 out of an empty one."""


def test_staged_values_of_a_journal_of_version_1_are_kept(tmp_path: Path) -> None:
    open_journal(tmp_path)
    close_journals()
    kept = [
        ("1-A", "lab.T", "Score", "Subject", "1-S0", '{"Score": 0}', "Uploaded", None, "then", "later"),
        ("1-A", "lab.U", "Grade", "Subject", "1-S0", '{"Grade": "x"}', "Pending", None, "then", None),
        ("1-A", "lab.T", "Score", "Subject", "1-S1", '{"Score": 1}', "Uploaded", None, "then", "later"),
        ("1-A", "lab.T", "Score", "Subject", "1-S2", '{"Score": 2}', "Failed", "refused", "then", None),
        ("1-B", "lab.T", "Score", "Subject", "1-S0", '{"Score": 3}', "Pending", None, "then", None),
        ("1-A", "lab.T", "Score", "Subject", "1-S3", '{"Score": 4}', "Pending", None, "then", None),
    ]
    names = "execution_rid, feature_table, feature_name, target_table, target, record_json, status, error, created_at, "
    names += "uploaded_at"
    with sqlite3.connect(tmp_path / "journal.db") as connection:
        connection.executescript(VERSION_1)
        connection.executemany(
            f"INSERT INTO execution_state__feature_records ({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", kept
        )
    connection.close()
    journal = open_journal(tmp_path)
    found = journal.connection.execute(f"SELECT {names} FROM execution_state__feature_records ORDER BY stage_id")
    assert [tuple(row) for row in found] == kept
    assert features.count_unsent(journal, "1-A") == 3
    (rest,) = features.unsent_batches(journal, "1-A", "lab.T")
    assert [record["Score"] for record in features.records_between(journal, "1-A", "lab.T", rest.first, rest.last)] == [
        2,
        4,
    ]
    # the same value staged again is the same one, though it was written out differently
    again = [("1-S3", '{"Score":4}')]
    assert not features.add_features(
        journal, "1-A", again, feature_table="lab.T", feature_name="Score", target_table="Subject"
    )
    close_journals()


def test_journal_that_cannot_be_read_has_a_name(journal: Journal) -> None:
    """Found by the campaign as ENOSPC-write@469xall with a rollback journal."""
    with closing(sqlite3.connect(":memory:")) as empty:
        empty.row_factory = sqlite3.Row
        kept, journal.connection = journal.connection, empty
        for read in (journal.row, journal.rows):
            with pytest.raises(DerivaMLConfigurationError, match="cannot be read: no such table"):
                read("select_execution", rid="1-A")
        journal.connection = kept
    assert journal.row("select_execution", rid="1-A")
