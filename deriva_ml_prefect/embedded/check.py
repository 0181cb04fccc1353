"""Comparing what a data folder should hold with what it holds: rows, keys, references, history, objects.

Reads only; may run while the server does. Every file is looked at as it was at one moment, and an object that is
missing is looked up again, since it may have been deleted meanwhile.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from .database import connect
from .ermrest.clock import Moment
from .ermrest.model import ForeignKey, Key, Model, Table
from .ermrest.model_store import load_model
from .layout import HATRAC, REGISTRY, catalog_path, catalogs_of, content_path

PIECE = 1024 * 1024


@dataclass(frozen=True)
class Report:
    """What was looked at, and what is not as it should be: one sentence for each difference."""

    catalogs: int
    rows: int
    former_rows: int
    objects: int
    differences: tuple[str, ...]


def check_folder(folder: Path) -> Report:
    """Compare everything in a data folder. Raises FileNotFoundError where there is no data folder."""
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no data folder {folder}.")
    said: list[str] = []
    catalogs = rows = former = 0
    try:
        known = catalogs_of(folder)
    except sqlite3.DatabaseError as error:
        said.append(f"the list of catalogs, {folder / REGISTRY}, cannot be read: {error}")
        known = []
    for serial, identity in known:
        path = catalog_path(folder, serial)
        if not path.exists():
            said.append(f"catalog {identity}: its file {path} is missing")
            continue
        catalogs += 1
        try:
            with closing(connect(path, (), must_exist=True)) as connection:
                connection.execute("BEGIN")
                present, past = _check_catalog(connection, f"catalog {identity}", said)
                rows, former = rows + present, former + past
        except sqlite3.DatabaseError as error:
            said.append(f"catalog {identity}: its file {path} cannot be read: {error}")
    try:
        objects = _check_objects(folder, said)
    except sqlite3.DatabaseError as error:
        said.append(f"objects: the file of their names, {folder / HATRAC}, cannot be read: {error}")
        objects = 0
    return Report(catalogs, rows, former, objects, tuple(said))


def _check_file(connection: sqlite3.Connection, where: str, said: list[str]) -> None:
    said += [f"{where}: SQLite says {row[0]}" for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]


def _check_catalog(connection: sqlite3.Connection, where: str, said: list[str]) -> tuple[int, int]:
    _check_file(connection, where, said)
    micros, last = connection.execute("SELECT micros, (SELECT max(micros) FROM revision) FROM catalog_state").fetchone()
    if last is None or micros < last:
        said.append(f"{where}: its clock stands at {micros}, its last revision is {last}")
    said += _missing_history(connection, where)
    model = load_model(connection)
    present = former = 0
    for schema in model.schemas.values():
        for table in schema.tables.values():
            name = f"{where}, table {schema.name}:{table.name}"
            present += int(connection.execute(f"SELECT count(*) FROM {table.physical}").fetchone()[0])
            former += int(connection.execute(f"SELECT count(*) FROM {table.history}").fetchone()[0])
            said += _differences(connection, model, table, name)
            said += _history_differences(connection, table, name, Moment(micros).text)
    return present, former


def _missing_history(connection: sqlite3.Connection, where: str) -> Iterator[str]:
    """Each revision has noted how many rows it changed or deleted; their former versions must all be there."""
    kept = "SELECT name FROM sqlite_schema WHERE type = 'table' AND (name GLOB 'h[0-9]*' OR name = 'former_rows')"
    tables = {row[0] for row in connection.execute(kept)}
    if "former_rows" not in tables:  # the catalog was not opened since it is kept
        return
    there: Counter[str] = Counter()
    for table in tables - {"former_rows"}:
        there.update(dict(connection.execute(f"SELECT until_, count(*) FROM {table} GROUP BY until_")))
    for micros, count in connection.execute("SELECT micros, count FROM former_rows ORDER BY micros"):
        ended = Moment(micros).text
        if there[ended] != count:
            yield f"{where}: of {count} versions of rows that ended at {ended}, {there[ended]} are in the history"


def _differences(connection: sqlite3.Connection, model: Model, table: Table, name: str) -> Iterator[str]:
    for column in table.columns.values():
        if not column.nullok:
            count = _count(connection, f"SELECT 1 FROM {table.physical} WHERE {column.physical} IS NULL")
            if count:
                yield f"{name}: {count} rows have no value in {column.name}"
    for key in table.keys:
        count = _count(connection, _doubles(table, key))
        if count:
            yield f"{name}: {count} values of the key {', '.join(key.columns)} are there more than once"
    for fkey in table.foreign_keys:
        schema, target = fkey.referenced_table
        count = _count(connection, _astray(table, fkey, model.schemas[schema].tables[target]))
        if count:
            yield f"{name}: {count} rows refer by {', '.join(fkey.columns)} to nothing in {schema}:{target}"


def _doubles(table: Table, key: Key) -> str:
    columns = [table.columns[column].physical for column in key.columns]
    given = " AND ".join(f"{column} IS NOT NULL" for column in columns)
    # a unary plus keeps SQLite from answering by the unique index, which may be what is wrong
    by = ", ".join(f"+{column}" for column in columns)
    return f"SELECT 1 FROM {table.physical} WHERE {given} GROUP BY {by} HAVING count(*) > 1"


def _astray(table: Table, fkey: ForeignKey, target: Table) -> str:
    columns = [table.columns[column].physical for column in fkey.columns]
    others = [target.columns[column].physical for column in fkey.referenced_columns]
    given = " AND ".join(f"f.{column} IS NOT NULL" for column in columns)
    joined = " AND ".join(f"p.{other} = f.{column}" for column, other in zip(columns, others, strict=True))
    return (
        f"SELECT 1 FROM {table.physical} f WHERE {given} "
        f"AND NOT EXISTS (SELECT 1 FROM {target.physical} p WHERE {joined})"
    )


def _history_differences(connection: sqlite3.Connection, table: Table, name: str, now: str) -> Iterator[str]:
    """A row's versions follow one another: each ends after it began, and not after the next began; none is to come."""
    rid, rmt = table.columns["RID"].physical, table.columns["RMT"].physical
    versions = (
        f"SELECT {rid} AS rid, {rmt} AS began, until_ AS ended FROM {table.history} "
        f"UNION ALL SELECT {rid}, {rmt}, NULL FROM {table.physical}"
    )
    ordered = f"SELECT *, lead(began) OVER (PARTITION BY rid ORDER BY began, ended IS NULL) AS next FROM ({versions})"
    for condition, words in (
        ("ended <= began", "end before they began"),
        ("next < coalesce(ended, 'later')", "overlap the version that follows"),
        (f"began > '{now}' OR ended > '{now}'", "are later than the catalog's clock"),
    ):
        count = _count(connection, f"SELECT 1 FROM ({ordered}) WHERE {condition}")
        if count:
            yield f"{name}: {count} versions of rows {words}"


def _count(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM ({query})").fetchone()[0])


_VERSIONS = """SELECT n.path, v.version, v.content, v.length, v.md5, v.sha256
    FROM version v JOIN name n ON n.id = v.name WHERE v.content IS NOT NULL AND NOT v.is_deleted"""


def _check_objects(folder: Path, said: list[str]) -> int:
    if not (folder / HATRAC).exists():
        return 0
    count = 0
    with closing(connect(folder / HATRAC, (), must_exist=True)) as connection:
        _check_file(connection, "objects", said)
        for path, version, content, length, md5, sha256 in connection.execute(_VERSIONS).fetchall():
            count += 1
            wrong = _wrong_object(content_path(folder, content), length, md5, sha256)
            still = "SELECT 1 FROM version WHERE content = ? AND NOT is_deleted"
            if wrong and connection.execute(still, (content,)).fetchone():
                said.append(f"object {path}:{version}: {wrong}")
        for job, length in connection.execute("SELECT job, content_length FROM job").fetchall():
            file = content_path(folder, job)
            size = file.stat().st_size if file.exists() else None
            if size != length and connection.execute("SELECT 1 FROM job WHERE job = ?", (job,)).fetchone():
                found = "is missing" if size is None else f"has {size}"
                said.append(f"upload job {job}: its file {file} of {length} bytes {found}")
    return count


def _wrong_object(file: Path, length: int, md5: bytes | None, sha256: bytes | None) -> str | None:
    sums = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    size = 0
    try:
        with file.open("rb", buffering=0) as source:
            while piece := source.read(PIECE):
                size += len(piece)
                for one in sums:
                    one.update(piece)
    except OSError as error:
        return f"its file {file} cannot be read ({error.strerror})"
    if size != length:
        return f"its file {file} has {size} bytes, not {length}"
    for one, stated in zip(sums, (md5, sha256), strict=True):
        if stated is not None and one.digest() != bytes(stated):
            return f"the {one.name.upper()} of its file {file} is {one.hexdigest()}, not {bytes(stated).hex()}"
    return None
