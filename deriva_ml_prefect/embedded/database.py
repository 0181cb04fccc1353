"""One SQLite file: snapshot readers from a small pool, one writer at a time, every commit on disk before it returns.

A reader sees the file as it was at its first query (write-ahead log); a writer holds the file's one writer lock from
the first to the last statement, and either all of its changes stay or none. `synchronous=FULL` makes the commit
itself wait for the disk, so what has been answered survives a kill of the process and a loss of power. Small writes
that come side by side may share a commit, for which all of them wait.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deriva_ml_prefect.embedded.errors import BadRequest, NotFound

REQUEST_SECONDS = 15.0
"""A request's SQL may run this long altogether; then it is 400, as with the real server."""
IDLE_READERS = 8
STEPS_BETWEEN_CHECKS = 20_000


@dataclass(frozen=True)
class Function:
    """A Python function that SQL may call by `name`."""

    name: str
    arguments: int
    call: Callable[..., Any]
    """A class is an aggregate function: it is made for each group, with `step` for each row and `finalize`."""
    deterministic: bool = True
    may_time_out: bool = False
    """Whether `call` may raise TimeoutError, which ends the request as its time bound does."""


class Connection(sqlite3.Connection):
    """A connection with a deadline, checked while a statement runs."""

    deadline: float = float("inf")

    def allow(self, seconds: float) -> None:
        """Give the statements that follow `seconds` from now."""
        self.deadline = time.monotonic() + seconds

    def is_late(self) -> bool:
        return time.monotonic() > self.deadline


@dataclass
class _Act:
    """A part of a transaction that several share, and what became of it."""

    run: Callable[[Connection], None]
    is_done: bool = False
    error: BaseException | None = None


@dataclass
class Database:
    """Made by `open_database`; shared by all threads."""

    path: Path
    functions: Sequence[Function]
    writer: Connection
    lock: threading.Lock
    idle: list[Connection]
    waiting: deque[_Act] = field(default_factory=deque)
    """Acts that wait for the next transaction of `write_together`."""
    closed: bool = False

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read-only transaction: all its queries see one moment. May be held while an answer is streamed.

        Raises BadRequest when a statement passes the time bound.
        """
        try:
            connection = self.idle.pop()
        except IndexError:
            self.require_open()
            connection = connect(self.path, self.functions, must_exist=True)
        try:
            connection.allow(REQUEST_SECONDS)
            connection.execute("BEGIN")
            with late_is_bad_request(connection):
                yield connection
        finally:
            connection.deadline = float("inf")
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if len(self.idle) < IDLE_READERS and not self.closed:
                self.idle.append(connection)
            else:
                connection.close()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """The one write transaction of the file: committed, on disk, at the end; undone when the block raises.

        Raises BadRequest when a statement passes the time bound.
        """
        with self.lock:
            self.require_open()
            connection = self.writer
            connection.allow(REQUEST_SECONDS)
            connection.execute("BEGIN IMMEDIATE")
            try:
                with late_is_bad_request(connection):
                    yield connection
                connection.deadline = float("inf")
                connection.execute("COMMIT")
            finally:
                connection.deadline = float("inf")
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def write_together(self, act: Callable[[Connection], None]) -> None:
        """As `write`, for a small act: those that wait at the same time share a transaction, and so one wait for disk.

        Each is its own: what one raises, it alone gets, and its changes alone are undone. On return they are on disk.
        """
        mine = _Act(act)
        self.waiting.append(mine)
        with self.lock:
            if not mine.is_done:
                self._run_waiting()
        if mine.error is not None:
            raise mine.error

    def _run_waiting(self) -> None:
        """All acts that wait, in one transaction; the caller holds the lock."""
        acts = [self.waiting.popleft() for _ in range(len(self.waiting))]
        connection = self.writer
        try:
            self.require_open()
            connection.execute("BEGIN IMMEDIATE")
            for act in acts:
                self._run_one(connection, act)
            connection.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 (it is raised to all who wait)
            for act in acts:
                act.error = act.error or error
        finally:
            connection.deadline = float("inf")
            if not self.closed and connection.in_transaction:
                connection.execute("ROLLBACK")
            for act in acts:
                act.is_done = True

    def _run_one(self, connection: Connection, act: _Act) -> None:
        """Raises only when the whole transaction is lost."""
        connection.execute("SAVEPOINT act")
        connection.allow(REQUEST_SECONDS)
        try:
            with late_is_bad_request(connection):
                act.run(connection)
        except BaseException as error:  # raised to whom it belongs, by `write_together`
            connection.deadline = float("inf")
            act.error = error
            if not connection.in_transaction:  # a full disk or the time bound has undone all of it
                raise
            connection.execute("ROLLBACK TO act")
        connection.deadline = float("inf")
        connection.execute("RELEASE act")

    def require_open(self) -> None:
        """Raise NotFound when the file was closed, to be deleted, while a request still held it."""
        if self.closed:
            raise NotFound("It was deleted a moment ago.")

    def close(self) -> None:
        """Wait for the writer, then let go of the file. Readers that still stream close theirs when they end."""
        with self.lock:
            self.closed = True
            self.writer.close()
            while self.idle:
                self.idle.pop().close()


def open_database(
    path: Path, schema_sql: str, functions: Sequence[Function] = (), *, must_exist: bool = False
) -> Database:
    """Open the file, making it with `schema_sql` (statements that do nothing the second time) if need be.

    Raises sqlite3.DatabaseError when the file is no SQLite database, or has to exist and does not.
    """
    writer = connect(path, functions, must_exist=must_exist)
    writer.executescript(f"BEGIN IMMEDIATE;\n{schema_sql}\nCOMMIT;")
    return Database(path, functions, writer, threading.Lock(), [])


def connect(path: Path, functions: Sequence[Function], *, must_exist: bool = False) -> Connection:
    """A connection as all of ours are: autocommit (transactions are begun by hand), WAL, full sync, no own fkeys."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={'rw' if must_exist else 'rwc'}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=10.0,
        factory=Connection,
        cached_statements=256,
    )
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    # a file system without shared memory has no write-ahead log, and then FULL may lose the last commit with the power
    connection.execute(f"PRAGMA synchronous={'FULL' if mode == 'wal' else 'EXTRA'}")
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute("PRAGMA temp_store=FILE")  # what a statement sorts or keeps aside may be of any size
    connection.execute("PRAGMA cache_size=-16000")
    connection.set_progress_handler(connection.is_late, STEPS_BETWEEN_CHECKS)
    for function in functions:
        if isinstance(function.call, type):
            connection.create_aggregate(function.name, function.arguments, function.call)
            continue
        call = ending_in_time(connection, function.call) if function.may_time_out else function.call
        connection.create_function(function.name, function.arguments, call, deterministic=function.deterministic)
    return connection


def ending_in_time(connection: Connection, call: Callable[..., Any]) -> Callable[..., Any]:
    """The same function; when it raises TimeoutError, the connection's time is over."""
    known = weakref.ref(connection)

    def run(*values: Any) -> Any:
        try:
            return call(*values)
        except TimeoutError:
            late = known()
            if late is not None:
                late.deadline = 0.0
            raise

    return run


@contextmanager
def late_is_bad_request(connection: Connection) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if connection.is_late() and ("interrupted" in str(error) or "user-defined function" in str(error)):
            raise BadRequest("Query run time limit exceeded.") from error
        raise
