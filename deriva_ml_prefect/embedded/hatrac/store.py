"""Names, versions and jobs as frozen values, and the statements that read and write them.

Every function takes a connection inside a transaction, so that a check and the change it guards see the same moment.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from deriva_ml_prefect.embedded.errors import Conflict, NotFound

from .url import ROOT, parent_of

Acl = Mapping[str, tuple[str, ...]]
MOST_LINKS = 1000


@dataclass(frozen=True)
class Name:
    """A namespace or an object."""

    id: int
    path: str
    parent: int | None
    is_object: bool
    is_deleted: bool
    acl: Acl


@dataclass(frozen=True)
class Version:
    """One content of an object."""

    id: int
    name: int
    path: str
    """Of the object it belongs to."""
    version: str
    content: str | None
    """Name of its file; None when it was renamed away."""
    length: int
    md5: bytes | None
    sha256: bytes | None
    metadata: Mapping[str, str]
    acl: Acl
    link: int | None
    is_deleted: bool


@dataclass(frozen=True)
class Job:
    """An upload in chunks; its id becomes the version's."""

    id: int
    job: str
    name: int
    chunk_length: int
    content_length: int
    metadata: Mapping[str, str]
    owner: tuple[str, ...]

    @property
    def chunks(self) -> int:
        return -(-self.content_length // self.chunk_length)

    def length_of(self, position: int) -> int:
        """Bytes that the chunk at this position must have."""
        return min(self.chunk_length, self.content_length - position * self.chunk_length)


def acl_text(acl: Acl) -> str:
    return orjson.dumps({key: list(roles) for key, roles in acl.items() if roles}).decode()


def _acl(text: str) -> Acl:
    return {key: tuple(roles) for key, roles in orjson.loads(text).items()}


_NAME = "SELECT id, path, parent, is_object, is_deleted, acl FROM name"
_VERSION = """SELECT v.id, v.name, n.path, v.version, v.content, v.length, v.md5, v.sha256, v.metadata, v.acl, v.link,
    v.is_deleted FROM version v JOIN name n ON n.id = v.name"""
_JOB = "SELECT id, job, name, chunk_length, content_length, metadata, owner FROM job"


def _name(row: Sequence[Any]) -> Name:
    return Name(row[0], row[1], row[2], bool(row[3]), bool(row[4]), _acl(row[5]))


def _version(row: Sequence[Any]) -> Version:
    number, name, path, version, content, length, md5, sha256, metadata, acl, link, deleted = row
    return Version(
        number,
        name,
        path,
        version,
        content,
        length,
        md5,
        sha256,
        orjson.loads(metadata),
        _acl(acl),
        link,
        bool(deleted),
    )


def _job(row: Sequence[Any]) -> Job:
    number, job, name, chunk_length, content_length, metadata, owner = row
    return Job(number, job, name, chunk_length, content_length, orjson.loads(metadata), tuple(orjson.loads(owner)))


def find_name(connection: sqlite3.Connection, path: str) -> Name | None:
    """The name with this path, deleted or not."""
    row = connection.execute(f"{_NAME} WHERE path = ?", (path,)).fetchone()
    return _name(row) if row else None


def get_name(connection: sqlite3.Connection, path: str) -> Name:
    """The name with this path. NotFound: there is none, or it was deleted."""
    name = find_name(connection, path)
    if name is None or name.is_deleted:
        raise NotFound(f"There is no {path}.")
    return name


def get_object(connection: sqlite3.Connection, path: str) -> Name:
    """The object with this path. NotFound: none, deleted, or a namespace."""
    name = get_name(connection, path)
    if not name.is_object:
        raise NotFound(f"{path} is a namespace, not an object.")
    return name


def lineage(connection: sqlite3.Connection, path: str) -> list[Name]:
    """The existing namespaces above a path, root first."""
    paths = [ROOT]
    while path != ROOT:
        path = parent_of(path)
        if path != ROOT:
            paths.append(path)
    marks = ",".join("?" * len(paths))
    rows = connection.execute(f"{_NAME} WHERE path IN ({marks}) ORDER BY length(path)", paths)
    return [_name(row) for row in rows]


def insert_name(connection: sqlite3.Connection, path: str, *, is_object: bool, owner: tuple[str, ...]) -> Name:
    parent = connection.execute("SELECT id FROM name WHERE path = ?", (parent_of(path),)).fetchone()
    acl: Acl = {"owner": owner}
    cursor = connection.execute(
        "INSERT INTO name (path, parent, is_object, acl) VALUES (?, ?, ?, ?)",
        (path, parent[0] if parent else None, int(is_object), acl_text(acl)),
    )
    assert cursor.lastrowid is not None
    return Name(cursor.lastrowid, path, parent[0] if parent else None, is_object, False, acl)


def children(connection: sqlite3.Connection, name: Name) -> list[Name]:
    """What lies directly in a namespace, in the order of the code points of their names."""
    rows = connection.execute(f"{_NAME} WHERE parent = ? AND NOT is_deleted ORDER BY path", (name.id,))
    return [_name(row) for row in rows]


def subtree(connection: sqlite3.Connection, name: Name) -> list[Name]:
    """A name and everything below it."""
    below = f"{_NAME} WHERE path > ? AND path < ? AND NOT is_deleted"
    return [name, *(_name(row) for row in connection.execute(below, (name.path + "/", name.path + "0")))]


def versions(connection: sqlite3.Connection, name: Name) -> list[Version]:
    """The versions of an object, newest first."""
    rows = connection.execute(f"{_VERSION} WHERE v.name = ? AND NOT v.is_deleted ORDER BY v.id DESC", (name.id,))
    return [_version(row) for row in rows]


def current_version(connection: sqlite3.Connection, name: Name) -> Version | None:
    """The newest version of an object; None if it has none."""
    row = connection.execute(
        f"{_VERSION} WHERE v.name = ? AND NOT v.is_deleted ORDER BY v.id DESC LIMIT 1", (name.id,)
    ).fetchone()
    return _version(row) if row else None


def get_version(connection: sqlite3.Connection, name: Name, version: str | None) -> Version:
    """A version of an object, the newest if `version` is None. NotFound: no such version; Conflict: it has none."""
    if version is None:
        current = current_version(connection, name)
        if current is None:
            raise Conflict(f"{name.path} has no content now.")
        return current
    row = connection.execute(f"{_VERSION} WHERE v.name = ? AND v.version = ?", (name.id, version)).fetchone()
    if row is None or row[11]:
        raise NotFound(f"There is no version {version} of {name.path}.")
    return _version(row)


def follow(connection: sqlite3.Connection, version: Version) -> Version:
    """Where a renamed version is now. Conflict: it was deleted there."""
    for _ in range(MOST_LINKS):
        if version.link is None:
            return version
        row = connection.execute(f"{_VERSION} WHERE v.id = ?", (version.link,)).fetchone()
        version = _version(row)
        if version.is_deleted:
            raise Conflict(f"This version was renamed to {version.path}:{version.version}, and deleted there.")
    raise Conflict(f"{version.path} was renamed too often to be followed.")


def insert_version(
    connection: sqlite3.Connection,
    name: Name,
    version: str,
    *,
    content: str,
    length: int,
    md5: bytes | None,
    sha256: bytes | None,
    metadata: Mapping[str, str],
    acl: Acl,
) -> int:
    cursor = connection.execute(
        "INSERT INTO version (name, version, content, length, md5, sha256, metadata, acl)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (name.id, version, content, length, md5, sha256, orjson.dumps(dict(metadata)).decode(), acl_text(acl)),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def set_metadata(connection: sqlite3.Connection, version: Version, metadata: Mapping[str, str]) -> None:
    text = orjson.dumps(dict(metadata)).decode()
    connection.execute("UPDATE version SET metadata = ? WHERE id = ?", (text, version.id))


def set_acl(connection: sqlite3.Connection, holder: Name | Version, acl: Acl) -> None:
    table = "name" if isinstance(holder, Name) else "version"
    connection.execute(f"UPDATE {table} SET acl = ? WHERE id = ?", (acl_text(acl), holder.id))


def delete_versions(connection: sqlite3.Connection, gone: Iterable[Version]) -> list[str]:
    """Mark versions deleted; returns the content files that nothing mentions any more, recorded as garbage."""
    contents = []
    for version in gone:
        connection.execute("UPDATE version SET is_deleted = 1, content = NULL WHERE id = ?", (version.id,))
        if version.content is not None:
            contents.append(version.content)
    return _discard(connection, contents)


def delete_names(connection: sqlite3.Connection, gone: Iterable[Name]) -> list[str]:
    """Mark names deleted, with their versions and jobs; returns the content files as `delete_versions` does."""
    contents: list[str] = []
    for name in gone:
        if name.is_object:
            contents += delete_versions(connection, versions(connection, name))
            for job in jobs(connection, name):
                contents += delete_job(connection, job, keep_content=False)
        connection.execute("UPDATE name SET is_deleted = 1 WHERE id = ?", (name.id,))
    return contents


def insert_job(connection: sqlite3.Connection, job: Job) -> None:
    connection.execute(
        "INSERT INTO job (job, name, chunk_length, content_length, metadata, owner) VALUES (?, ?, ?, ?, ?, ?)",
        (
            job.job,
            job.name,
            job.chunk_length,
            job.content_length,
            orjson.dumps(dict(job.metadata)).decode(),
            orjson.dumps(job.owner).decode(),
        ),
    )


def jobs(connection: sqlite3.Connection, name: Name) -> list[Job]:
    return [_job(row) for row in connection.execute(f"{_JOB} WHERE name = ? ORDER BY id", (name.id,))]


def count_jobs(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM job").fetchone()[0])


def get_job(connection: sqlite3.Connection, name: Name, job: str) -> Job:
    row = connection.execute(f"{_JOB} WHERE name = ? AND job = ?", (name.id, job)).fetchone()
    if row is None:
        raise NotFound(f"There is no upload job {job} of {name.path}.")
    return _job(row)


def delete_job(connection: sqlite3.Connection, job: Job, *, keep_content: bool) -> list[str]:
    connection.execute("DELETE FROM chunk WHERE job = ?", (job.id,))
    connection.execute("DELETE FROM job WHERE id = ?", (job.id,))
    return [] if keep_content else _discard(connection, [job.job])


def has_chunk(connection: sqlite3.Connection, job: Job, position: int) -> bool:
    found = connection.execute("SELECT 1 FROM chunk WHERE job = ? AND position = ?", (job.id, position))
    return found.fetchone() is not None


def add_chunk(connection: sqlite3.Connection, job: Job, position: int) -> None:
    connection.execute("INSERT OR IGNORE INTO chunk (job, position) VALUES (?, ?)", (job.id, position))


def remove_chunk(connection: sqlite3.Connection, job: Job, position: int) -> None:
    connection.execute("DELETE FROM chunk WHERE job = ? AND position = ?", (job.id, position))


def count_chunks(connection: sqlite3.Connection, job: Job) -> int:
    return int(connection.execute("SELECT count(*) FROM chunk WHERE job = ?", (job.id,)).fetchone()[0])


def mentioned_contents(connection: sqlite3.Connection) -> set[str]:
    """Every content file that a version or a job needs."""
    rows = connection.execute("SELECT content FROM version WHERE content IS NOT NULL UNION ALL SELECT job FROM job")
    return {row[0] for row in rows}


def garbage(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT content FROM garbage")]


def forget_garbage(connection: sqlite3.Connection, contents: Iterable[str]) -> None:
    connection.executemany("DELETE FROM garbage WHERE content = ?", [(content,) for content in contents])


def _discard(connection: sqlite3.Connection, contents: list[str]) -> list[str]:
    connection.executemany("INSERT OR IGNORE INTO garbage VALUES (?)", [(content,) for content in contents])
    return contents
