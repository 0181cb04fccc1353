"""Opening a journal: one SQLite connection a process and workspace, every commit on the disk before it is answered."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deriva_ml_prefect.exceptions import DerivaMLConfigurationError, DerivaMLNotFoundError, DerivaMLOwnershipError
from deriva_ml_prefect.journal.disk import make_folder
from deriva_ml_prefect.journal.queries import change_from, schema, sql
from deriva_ml_prefect.values.rid import RID

SCHEMA_VERSION = 2
FILE_NAME = "journal.db"
_NETWORK_FILE_SYSTEMS = {
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "gpfs", "lustre", "beegfs", "fuse.sshfs", "9p", "ceph",
    "virtiofs", "ocfs2", "gfs2", "afs", "glusterfs", "fuse.glusterfs", "fuse.ceph", "fuse.juicefs", "fuse.s3fs",
}  # fmt: skip

_open: dict[tuple[int, Path], Journal] = {}
_open_lock = threading.Lock()


def _after_fork() -> None:
    """A thread of the parent may have held the lock at the fork."""
    global _open_lock
    _open_lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def now() -> str:
    """The present time as the journal writes it: ISO 8601, UTC, microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def taken_over(rid: RID) -> DerivaMLOwnershipError:
    """What an owner is told that is one no more."""
    return DerivaMLOwnershipError(
        f"Execution {rid} has been taken over by another process; this one writes nothing more of it. "
        f"Look at it with `deriva-ml-prefect show {rid}`."
    )


def forgotten(rid: RID, path: Path) -> DerivaMLNotFoundError:
    """What an owner is told whose journal is there no more."""
    return DerivaMLNotFoundError(
        f"The journal {path} does not know execution {rid} any more: it was deleted or replaced while it ran. Nothing "
        "more can be recorded of it; what this process registered and did not upload is lost, unless the folder is put "
        "back. Run it anew."
    )


class Journal:
    """An open journal. Threads share it; a forked child opens its own."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection = connection
        self.lock = threading.RLock()
        self.depth = 0
        self.owned: dict[RID, str] = {}
        """Executions that this process owns, with its token: see `_check_owned`."""

    @property
    def workspace(self) -> Path:
        """Folder that the journal and its executions lie in."""
        return self.path.parent

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside are committed together at the end, or none. Nested use joins the outer transaction.

        Raises DerivaMLConfigurationError when the disk is full, cannot be written, or the file stays locked.
        """
        with self.lock:
            if self.depth:
                yield
                return
            self.depth = 1
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                yield
                self.connection.execute("COMMIT")
            except BaseException as e:
                # a full disk has ended the transaction already
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                if _is_damage(e):
                    raise _damaged(self.path, e) from e
                if isinstance(e, sqlite3.OperationalError):
                    raise DerivaMLConfigurationError(
                        f"The journal {self.path} cannot be written: {e}. What was staged before is still there: make "
                        "room on the disk, or see who holds the file, and repeat."
                    ) from e
                raise
            finally:
                self.depth = 0

    def write(self, query: str, **values: Any) -> int:
        """Run a writing query by name, durable on return; the number of rows that it touched."""
        with self.transaction():
            return self._run(query, values).rowcount

    def write_row(self, query: str, **values: Any) -> sqlite3.Row:
        """Run a writing query that returns one row, by name, durable on return."""
        with self.transaction():
            row: sqlite3.Row = self._run(query, values).fetchone()
        return row

    def _run(self, query: str, values: Mapping[str, Any]) -> sqlite3.Cursor:
        self._check_owned(values)
        return self.connection.execute(sql(query), {"now": now(), **values})

    def write_many(self, query: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run a writing query for each row, in one transaction."""
        with self.transaction():
            self.connection.executemany(sql(query), self._checked(rows) if self.owned else rows)

    def _checked(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        checked = None
        for row in rows:
            if checked != (rid := row.get("execution_rid")):
                self._check_owned(row)
                checked = rid
            yield row

    def _check_owned(self, values: Mapping[str, Any]) -> None:
        """Refuse what is written of an execution that this process took and another one has taken since.

        Inside the transaction of the write: an owner that slept between looking and writing is refused too.
        """
        rid = str(values.get("execution_rid") or values.get("rid"))
        if rid not in self.owned:
            return
        found = self.connection.execute(sql("select_owner"), {"rid": rid}).fetchone()
        if found is not None and found["owner"] != self.owned[rid]:
            raise taken_over(rid)

    def rows(self, query: str, **values: Any) -> list[sqlite3.Row]:
        """All rows of a reading query."""
        with self.lock, self._naming_faults():
            return self.connection.execute(sql(query), values).fetchall()

    def row(self, query: str, **values: Any) -> sqlite3.Row | None:
        """The first row of a reading query, if there is one."""
        with self.lock, self._naming_faults():
            found: sqlite3.Row | None = self.connection.execute(sql(query), values).fetchone()
        return found

    @contextmanager
    def _naming_faults(self) -> Iterator[None]:
        """A disk that fails while an unfinished write of before is undone makes reading fail too."""
        try:
            yield
        except sqlite3.DatabaseError as e:
            if _is_damage(e):
                raise _damaged(self.path, e) from e
            if not isinstance(e, sqlite3.OperationalError):
                raise
            raise DerivaMLConfigurationError(
                f"The journal {self.path} cannot be read: {e}. What was staged before is still there: see what is "
                "wrong with the disk, or who holds the file, and repeat."
            ) from e

    def close(self) -> None:
        with self.lock:
            self.connection.close()


def _is_damage(error: BaseException) -> bool:
    return getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _damaged(path: Path, error: BaseException) -> DerivaMLConfigurationError:
    return DerivaMLConfigurationError(
        f"The journal {path} is damaged: {error}. Nothing more is written to it. Keep it, and the folder executions "
        "beside it with what was staged, and ask for help; a new journal is made when it is moved away."
    )


def open_journal(workspace: Path) -> Journal:
    """The journal of a workspace, made if there is none.

    Raises DerivaMLConfigurationError for a journal of a newer version, or a file that is no journal.
    """
    folder = workspace.absolute()
    with _open_lock:
        journal = _open.get((os.getpid(), folder))
        if journal is None or not journal.path.exists():
            owned = journal.owned if journal is not None else {}
            if journal is not None:
                journal.close()
            journal = _open[os.getpid(), folder] = _connect(folder / FILE_NAME)
            journal.owned = owned
        return journal


def list_workspaces(home: Path) -> list[Path]:
    """The folders below a home that hold a journal, in the order of their names."""
    return sorted(path.parent for path in (home / "workspaces").glob(f"*/*/{FILE_NAME}"))


def close_journals() -> None:
    """Close every journal that this process has open."""
    with _open_lock:
        for key in [key for key in _open if key[0] == os.getpid()]:
            _open.pop(key).close()


def _connect(path: Path) -> Journal:
    make_folder(path.parent)
    try:
        connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        on_network = is_on_network(path.parent)
        connection.execute(f"PRAGMA journal_mode={'DELETE' if on_network else 'WAL'}")
        # a rollback journal is deleted to commit: only EXTRA syncs the folder after that
        connection.execute(f"PRAGMA synchronous={'EXTRA' if on_network else 'FULL'}")
        connection.execute("PRAGMA fullfsync=ON")
        _prepare(connection, path)
    except sqlite3.DatabaseError as e:
        if isinstance(e, sqlite3.OperationalError) and "locked" in str(e):
            raise DerivaMLConfigurationError(
                f"The journal {path} is in use: {e}. Another process, or on a network folder another machine, is in "
                "the middle of a write; one that sleeps there keeps it until it wakes or ends. Repeat when it has."
            ) from e
        if isinstance(e, sqlite3.OperationalError):
            raise DerivaMLConfigurationError(
                f"The journal {path} cannot be opened: {e}. What was staged before is still there. A journal that is "
                f"only read is written beside, too: see that {path.parent} can be written, and that there is room on "
                "its disk, and repeat."
            ) from e
        raise _damaged(path, e) from e
    return Journal(path, connection)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the schema in an empty file, bring an older one up to it, refuse one that this version does not know."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version < SCHEMA_VERSION:
            for script in [schema()] if version == 0 else map(change_from, range(version, SCHEMA_VERSION)):
                for statement in script.split(";\n"):
                    if statement.strip():
                        connection.execute(statement)
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    if version > SCHEMA_VERSION:
        connection.close()
        raise DerivaMLConfigurationError(
            f"The journal {path} was written by a newer version of deriva-ml-prefect (its schema is {version}, this "
            f"one knows {SCHEMA_VERSION}). Install that version, or set DERIVA_ML_HOME to another folder."
        )


def is_on_network(folder: Path) -> bool:
    """Whether the folder lies on a network file system, where SQLite's WAL does not work (from /proc/mounts)."""
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    target = os.path.realpath(folder)
    kind, longest = "", -1
    for line in lines:
        _, mount, file_system, *_ = line.split(" ")
        mount = mount.encode().decode("unicode_escape")
        inside = target == mount or target.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) > longest:
            kind, longest = file_system, len(mount)
    return kind in _NETWORK_FILE_SYSTEMS
