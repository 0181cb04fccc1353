"""What is on disk when a write is answered: how SQLite is told to commit, and in which order objects get there.

The server's own application runs in this process. Every connection that it opens is watched, and a layer around the
system calls records them, and keeps what a loss of power would leave: the bytes that a file had when it was last
fsynced, under the names that its folder had when that was. What SQLite has committed counts as on disk, since it
syncs by itself, as the first test shows.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from deriva.core.ermrest_model import Column, Key, Table, builtin_types

from deriva_ml_prefect.embedded import server
from deriva_ml_prefect.embedded.app import Activity, App
from deriva_ml_prefect.embedded.authn import Identities, ensure_owner, read_tokens
from deriva_ml_prefect.embedded.check import check_folder
from deriva_ml_prefect.embedded.hatrac import content as hatrac_content
from deriva_ml_prefect.embedded.login import Logins

PORT = 41001
BIG = bytes(range(256)) * 4 * 1024 * 20  # 20 MiB: more than the store writes before it begins to sync


@dataclass(frozen=True)
class Event:
    """One thing that was done to a file, or ("answered") the end of a request."""

    what: str
    path: str
    to: str = ""


@dataclass
class Disk:
    """What was done, in order, and what a loss of power would leave of it in the folder of the objects."""

    data: Path
    events: list[Event] = field(default_factory=list)
    pragmas: list[tuple[str, str, int]] = field(default_factory=list)
    """For each transaction: the file, its journal mode, its `synchronous` (2 is FULL)."""
    bytes: dict[int, bytes] = field(default_factory=dict)
    """Of each inode below objects, what was in it at its last fsync."""
    names: dict[str, dict[str, int]] = field(default_factory=dict)
    """Of each folder below the data folder, what was in it, as inodes, at its last fsync."""

    def record(self, what: str, path: str, to: str = "") -> None:
        if path.startswith(str(self.data)):
            self.events.append(Event(what, path.removeprefix(f"{self.data}/"), to.removeprefix(f"{self.data}/")))

    def synced(self, handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        self.record("fsync", str(path))
        if not path.is_relative_to(self.data / "objects"):
            return
        if path.is_dir():
            self.names[str(path)] = {entry.name: entry.inode() for entry in os.scandir(path)}
        else:
            self.bytes[os.fstat(handle).st_ino] = path.read_bytes()

    def survivor(self, folder: Path) -> Path:
        """A data folder as a loss of power at this moment would leave it."""
        folder.mkdir()
        for file in [*self.data.glob("*.db"), *self.data.glob("catalogs/*.db")]:
            target = folder / file.relative_to(self.data)
            target.parent.mkdir(exist_ok=True)
            with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(target)) as copy:
                source.backup(copy)
        objects = self.data / "objects"
        for name in self.names.get(str(objects), {}):
            (folder / "objects" / name).mkdir(parents=True)
            for file_name, inode in self.names.get(str(objects / name), {}).items():
                (folder / "objects" / name / file_name).write_bytes(self.bytes.get(inode, b""))
        return folder

    def order(self, *wanted: tuple[str, str]) -> None:
        """Assert that events of this kind and path happened, each (at its first time) after the one before."""
        seen = [(event.what, event.path) for event in self.events]
        at = -1
        for one in wanted:
            assert one in seen[at + 1 :], f"{one} is not after {wanted} up to it in {seen}"
            at = seen.index(one, at + 1)


def watch(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Record system calls and SQLite's transactions from now on."""

    def around(name: str, record: Callable[..., None]) -> None:
        original = getattr(os, name)

        def called(*args: Any, **values: Any) -> Any:
            answer = original(*args, **values)
            record(*args)
            return answer

        monkeypatch.setattr(os, name, called)

    def wrote(handle: int, *_: Any) -> None:
        disk.record("write", str(Path(f"/proc/self/fd/{handle}").readlink()))

    def renamed(source: Any, target: Any) -> None:
        disk.record("rename", os.fspath(source), os.fspath(target))

    for name, record in (
        ("write", wrote),
        ("pwrite", wrote),
        ("fsync", disk.synced),
        ("fdatasync", disk.synced),
        ("rename", renamed),
        ("replace", renamed),
    ):
        around(name, record)
    connect = sqlite3.connect

    def connected(database: Any, *args: Any, **values: Any) -> Any:
        kind = values.pop("factory", sqlite3.Connection)
        path = str(database).removeprefix("file://").partition("?")[0]

        class Watched(kind):  # type: ignore[misc, valid-type]
            """Notes its settings before each transaction, and each commit after it."""

            def note(self) -> None:
                mode, sync = (super(Watched, self).execute(f"PRAGMA {p}") for p in ("journal_mode", "synchronous"))
                disk.pragmas.append((Path(path).name, mode.fetchone()[0], sync.fetchone()[0]))

            def execute(self, sql: str, *parameters: Any) -> Any:
                if sql.startswith("BEGIN"):
                    self.note()
                answer = super().execute(sql, *parameters)
                if sql == "COMMIT":
                    disk.record("commit", path)
                return answer

            def executescript(self, sql: str) -> Any:
                self.note()
                return super().executescript(sql)

        return connect(database, *args, factory=Watched, **values)

    monkeypatch.setattr(sqlite3, "connect", connected)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    found = Disk(tmp_path / "data")
    found.data.mkdir()
    ensure_owner(found.data)
    watch(found, monkeypatch)
    return found


def ask(disk: Disk, *requests: tuple[str, str, dict[str, Any]], after: Callable[[], None] = lambda: None) -> list[str]:
    """Ask the server's application, in this process, one request after the other; returns the texts of the answers.

    `{0}` in a path is the first answer's text, and so on. `after` is called at each answer.
    """
    logins = Logins(disk.data)
    app = App(server._routes(disk.data, logins, print), Identities(disk.data, logins), (PORT,), Activity())
    texts: list[str] = []

    async def run() -> None:
        headers = {"authorization": f"Bearer {read_tokens(disk.data)['owner']}"}
        transport = httpx.ASGITransport(app)
        url = f"http://127.0.0.1:{PORT}"
        async with httpx.AsyncClient(transport=transport, base_url=url, headers=headers) as client:
            for method, path, values in requests:
                answer = await client.request(method, path.format(*texts), **values)
                assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
                disk.record("answered", f"{disk.data}/{path}")
                texts.append(answer.text.strip())
                after()

    try:
        asyncio.run(run())
    finally:
        app.close()
    return texts


def put(path: str, content: bytes) -> tuple[str, str, dict[str, Any]]:
    return ("PUT", path, {"content": content, "headers": {"content-type": "application/octet-stream"}})


NAME = Column.define("name", builtin_types.text)
TABLE = Table.define("T", [NAME], [Key.define(["name"])])
ROWS = (
    ("POST", "/ermrest/catalog", {"json": {"id": "c"}}),
    ("POST", "/ermrest/catalog/c/schema/S", {}),
    ("POST", "/ermrest/catalog/c/schema/S/table", {"json": TABLE}),
    ("POST", "/ermrest/catalog/c/entity/S:T", {"json": [{"name": "a"}, {"name": "b"}]}),
    ("PUT", "/ermrest/catalog/c/attributegroup/S:T/name;new:=name", {"json": [{"name": "a", "new": "z"}]}),
    ("GET", "/ermrest/catalog/c/entity/S:T", {}),
    ("DELETE", "/ermrest/catalog/c/entity/S:T/name=b", {}),
    ("DELETE", "/ermrest/catalog/c", {}),
)
JOB = {"chunk-length": 4, "content-length": 6}
CHUNKS = (
    ("POST", "/hatrac/chunked;upload", {"json": JOB}),
    put("{0}/1", b"ef"),
    put("{0}/0", b"zzzz"),
    put("{0}/0", b"abcd"),
    ("POST", "{0}", {}),
)
OBJECTS = (put("/hatrac/small", b"small"), put("/hatrac/big", BIG), put("/hatrac/small", b""), put("/hatrac/none", b""))


def test_every_connection_commits_to_disk(disk: Disk) -> None:
    ask(disk, *ROWS, *OBJECTS, ("GET", "/hatrac/small", {}))
    assert {name for name, _, _ in disk.pragmas} == {"registry.db", "hatrac.db", "1.db"}
    assert {(mode, sync) for _, mode, sync in disk.pragmas} == {("wal", 2)}


def test_each_change_is_committed_before_its_answer(disk: Disk) -> None:
    ask(disk, *ROWS, *OBJECTS)
    marks = [event for event in disk.events if event.what in ("commit", "answered")]
    answers = [index for index, event in enumerate(marks) if event.what == "answered"]
    for (method, path, _), before, at in zip((*ROWS, *OBJECTS), [-1, *answers[:-1]], answers, strict=True):
        files = {event.path for event in marks[before + 1 : at]}
        wanted = "hatrac.db" if path.startswith("/hatrac") else "1.db" if path.count("/") > 3 else "registry.db"
        assert method == "GET" or any(file.endswith(wanted) for file in files), f"{method} {path}: {files}"


@pytest.mark.parametrize("content", [b"small", BIG], ids=["small", "big"])
def test_an_object_is_on_disk_before_its_row(disk: Disk, content: bytes) -> None:
    (url,) = ask(disk, put("/hatrac/o", content))
    name = url.rpartition(":")[2]
    incoming, folder = f"objects/incoming/{name}", f"objects/{name[:2]}"
    file = f"{folder}/{name}"
    renamed = disk.events.index(Event("rename", incoming, file))
    assert max(index for index, event in enumerate(disk.events) if event == Event("write", incoming)) < renamed
    assert Event("write", file) not in disk.events, "bytes were written after the last fsync"
    disk.order(
        ("rename", incoming),
        ("fsync", file),
        ("fsync", folder),
        ("fsync", "objects"),  # the name of the folder, which is new
        ("commit", "hatrac.db"),
        ("answered", "/hatrac/o"),
    )


def test_chunks_are_on_disk_before_their_rows(disk: Disk) -> None:
    texts = ask(disk, *CHUNKS, ("GET", "/hatrac/chunked", {}))
    assert texts[-1] == "abcdef"
    name = texts[0].rpartition("/")[2]
    file = f"objects/{name[:2]}/{name}"
    disk.order(
        ("fsync", file),
        ("fsync", f"objects/{name[:2]}"),
        ("commit", "hatrac.db"),
        ("answered", "/hatrac/chunked;upload"),
        *[(what, path) for _ in "12" for what, path in (("write", file), ("fsync", file), ("commit", "hatrac.db"))],
        ("commit", "hatrac.db"),
        ("answered", "{0}"),
    )


def lose_power_at_each_answer(disk: Disk, tmp_path: Path) -> list[str]:
    """Run the requests about objects; returns all that the check says of what each loss of power would leave."""
    said: list[str] = []

    def lose_power() -> None:
        folder = disk.survivor(tmp_path / "survivor")
        said.extend(check_folder(folder).differences)
        shutil.rmtree(folder)

    ask(disk, *CHUNKS, *OBJECTS, after=lose_power)
    return said


def test_what_was_answered_survives_a_loss_of_power(disk: Disk, tmp_path: Path) -> None:
    assert lose_power_at_each_answer(disk, tmp_path) == []
    report = check_folder(disk.survivor(tmp_path / "last"))
    assert report.objects == len(OBJECTS) + 1
    kept = {hashlib.md5(file.read_bytes()).digest() for file in (tmp_path / "last" / "objects").glob("??/*")}
    assert {hashlib.md5(content).digest() for content in (b"abcdef", b"small", BIG, b"")} <= kept


@pytest.mark.parametrize("forgotten", ["bytes", "folders"])
def test_a_forgotten_fsync_is_found(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgotten: str
) -> None:
    if forgotten == "folders":
        monkeypatch.setattr(hatrac_content, "sync_folder", lambda folder: None)
    else:
        sync = os.fsync

        def only_folders(handle: int) -> None:
            if Path(f"/proc/self/fd/{handle}").is_dir():
                sync(handle)

        monkeypatch.setattr(os, "fsync", only_folders)
        monkeypatch.setattr(os, "fdatasync", lambda handle: None)
    said = lose_power_at_each_answer(disk, tmp_path)
    assert any("bytes, not" in sentence or "cannot be read" in sentence for sentence in said)
