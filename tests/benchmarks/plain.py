"""The limit for rows: the same rows in plain SQLite, with the same columns and indexes, through csv and orjson."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from tests.benchmarks.world import COLUMNS, SYSTEM

NAMES = (*SYSTEM, *COLUMNS)
DECLARED = (
    "RID TEXT, RCT TEXT, RMT TEXT, RCB TEXT, RMB TEXT, "
    "Name TEXT, Grp TEXT, Value REAL, Count INTEGER, Flag TEXT, Note TEXT"
)
NOW = "2026-11-23 20:51:37.123456+00:00"
WHO = "embedded/owner"


def open_plain(path: Path) -> sqlite3.Connection:
    """As durable as ours: write-ahead log, each commit waits for the disk."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def insert_csv(connection: sqlite3.Connection, table: str, body: bytes) -> None:
    """What a POST of CSV has to do at least: parse, number, insert with indexes, keep a table of the past, commit."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"CREATE TABLE {table} ({DECLARED})")
    connection.execute(f"CREATE TABLE {table}_past (until TEXT, {DECLARED})")
    connection.execute(f"CREATE INDEX {table}_past_until ON {table}_past (until)")
    connection.execute(f"CREATE INDEX {table}_past_rid ON {table}_past (RID)")
    for column, unique in (("RID", "UNIQUE"), ("Name", "UNIQUE"), ("RCB", ""), ("RMB", "")):
        connection.execute(f"CREATE {unique} INDEX {table}_{column} ON {table} ({column})")
    reader = csv.reader(io.StringIO(body.decode(), newline=""))
    next(reader)
    connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", _numbered(reader))
    connection.execute("COMMIT")


def _numbered(reader: Iterator[list[str]]) -> Iterator[list[Any]]:
    for number, row in enumerate(reader):
        yield [f"{number >> 16:X}-{number & 0xFFFF:04X}", NOW, NOW, WHO, WHO, *(cell or None for cell in row)]


def read_csv(path: Path, table: str) -> bytes:
    with closing(open_plain(path)) as connection:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(NAMES)
        writer.writerows(connection.execute(f"SELECT * FROM {table}"))
        return out.getvalue().encode()


def read_json(path: Path, table: str) -> bytes:
    with closing(open_plain(path)) as connection:
        found = connection.execute(f"SELECT * FROM {table}")
        return orjson.dumps([dict(zip(NAMES, row, strict=True)) for row in found])
