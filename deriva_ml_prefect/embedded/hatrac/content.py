"""The bytes of objects, as files: written once, hashed while they are written, on disk before anybody is told.

A content has a random name of 26 letters and digits and lies in `objects/XX/NAME`, XX being its first two characters.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deriva_ml_prefect.embedded.files import sync_folder

from .running import Running, RunningHashes

INCOMING = "incoming"
PIECE = 1024 * 1024
SYNC_EVERY = 4 * 1024 * 1024
"""The disk begins to write after so many bytes, while the rest is still arriving."""
SIDE_BY_SIDE = 64 * 1024
"""Pieces at least this large are hashed by two threads at once."""

Guard = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Written:
    """What was written."""

    length: int
    md5: bytes
    sha256: bytes | None
    """None where nobody asked for it."""


def new_content() -> str:
    """A name that no content has; also used as version and job id."""
    return base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=")


@dataclass(frozen=True)
class Contents:
    """The folder of all contents."""

    folder: Path
    hashers: ThreadPoolExecutor
    running: RunningHashes
    durable: set[str] = field(default_factory=set)
    """Names of folders that are on disk for certain."""

    def path(self, content: str) -> Path:
        return self.folder / content[:2] / content

    def incoming(self, content: str) -> Path:
        return self.folder / INCOMING / content

    def store(
        self, content: str, pieces: Iterable[bytes], accept: Callable[[Written], None], *, sha256: bool
    ) -> Written:
        """Write bytes to their place; they are hashed, and on disk when this returns. Nothing stays when it raises.

        `accept` is told what was written before it gets its place, and raises to refuse it. `sha256`: it is wanted.
        """
        with self.incoming(content).open("xb", buffering=0) as out:
            try:
                written = self._fill(out.fileno(), pieces, sha256=sha256)
                accept(written)
                place = self._place(content)
                self.incoming(content).rename(place)
            except BaseException:
                self.drop_incoming(content)
                raise
            try:
                # only now: a file system with a journal then writes its bytes and both its names at one go. What a
                # loss of power before leaves torn is mentioned by no row, and swept at the next start
                os.fsync(out.fileno())
                self._sync_name(place.parent)
            except BaseException:
                place.unlink(missing_ok=True)
                raise
        return written

    def hold(self, content: str, pieces: Iterable[bytes]) -> Written:
        """Write bytes to a temporary file, which a kill may leave torn. `drop_incoming` removes it."""
        with self.incoming(content).open("xb", buffering=0) as out:
            return self._fill(out.fileno(), pieces, sha256=True)

    def _fill(self, handle: int, pieces: Iterable[bytes], *, sha256: bool) -> Written:
        """Write and hash the pieces. The disk begins early with those of a large content."""
        sums = Running.of(sha256=sha256)
        length = self._write(handle, None, pieces, sums.hashes())
        return Written(length, sums.md5.digest(), sums.sha256.digest() if sums.sha256 else None)

    def _write(
        self, handle: int, offset: int | None, pieces: Iterable[bytes], hashes: list[Any], guard: Guard = nullcontext
    ) -> int:
        """Write pieces, at the end or from `offset` on, and feed hashes with them, beside; the number of bytes."""
        syncing: Future[None] | None = None
        hashing: list[Future[None]] = []
        start, length = offset or 0, 0
        try:
            for piece in gathered(pieces):
                at = start + length
                if at // SYNC_EVERY != (at + len(piece)) // SYNC_EVERY and (syncing is None or syncing.done()):
                    syncing = self.hashers.submit(os.fdatasync, handle)
                for done in hashing:
                    done.result()
                # the piece is hashed while it is written, and while the next one arrives
                hashing = [self.hashers.submit(one.update, piece) for one in hashes if len(piece) >= SIDE_BY_SIDE]
                with guard():
                    _write_all(handle, piece, None if offset is None else at)
                if not hashing:
                    for one in hashes:
                        one.update(piece)
                length += len(piece)
        finally:
            wait([*hashing, *([syncing] if syncing else [])])
        for done in (*hashing, *([syncing] if syncing else [])):
            done.result()
        return length

    def drop_incoming(self, content: str) -> None:
        self.incoming(content).unlink(missing_ok=True)

    def reserve(self, content: str, length: int) -> None:
        """An empty file of its final size, for chunks to be written into."""
        with self._place(content).open("xb") as out:
            out.truncate(length)
            os.fsync(out.fileno())
        self._sync_name(self.path(content).parent)

    def write_at(
        self,
        content: str,
        offset: int,
        pieces: Iterable[bytes],
        *,
        md5: Any = None,
        sha256: bool = True,
        guard: Guard = nullcontext,
    ) -> None:
        """Write bytes into a reserved file; they are on disk when this returns. A hash `md5` is fed with them.

        `sha256`: it is wanted of the whole content. Each piece is written within a `guard`, which may raise.
        """
        running = self.running.take(content, offset, sha256=sha256)
        handle = os.open(self.path(content), os.O_WRONLY)
        try:
            hashes = [*(running.hashes() if running else ()), *([md5] if md5 is not None else ())]
            length = self._write(handle, offset, pieces, hashes, guard)
            os.fsync(handle)
        except BaseException:
            self.running.forget(content)
            raise
        finally:
            os.close(handle)
        if running:
            running.length += length
            self.running.give_back(content, running)

    def written(self, content: str, length: int) -> Written:
        """Length and hashes of a content that was written in chunks."""
        running = self.running.finish(content, length)
        if running is None:
            return self.measure(content)
        return Written(length, running.md5.digest(), running.sha256.digest() if running.sha256 else None)

    def measure(self, content: str, start: int = 0, most: int | None = None) -> Written:
        """Length and hashes of a content, or of at most so many bytes of it, read from disk."""
        md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
        length = 0
        with self.path(content).open("rb", buffering=0) as file:
            file.seek(start)
            while piece := file.read(PIECE if most is None else min(PIECE, most - length)):
                other = self.hashers.submit(sha256.update, piece)
                md5.update(piece)
                other.result()
                length += len(piece)
        return Written(length, md5.digest(), sha256.digest())

    def read(self, content: str, start: int, length: int) -> Iterator[bytes]:
        """The bytes from `start`, in pieces. The file is opened at once, so that a later delete does no harm."""
        return _pieces(os.open(self.path(content), os.O_RDONLY), start, length)

    def remove(self, contents: Iterable[str]) -> None:
        for content in contents:
            self.path(content).unlink(missing_ok=True)

    def sweep(self, mentioned: set[str]) -> int:
        """Remove every file that no row mentions; returns how many there were."""
        count = 0
        for file in self.folder.glob("??/*"):
            if file.name not in mentioned:
                file.unlink()
                count += 1
        return count

    def sweep_incoming(self) -> int:
        """Remove what writes left that never ended; returns how many there were."""
        left = list((self.folder / INCOMING).iterdir())
        for file in left:
            file.unlink()
        return len(left)

    def _place(self, content: str) -> Path:
        place = self.path(content)
        if place.parent.name not in self.durable:
            place.parent.mkdir(exist_ok=True)
        return place

    def _sync_name(self, folder: Path) -> None:
        """Make durable that a content's folder names it; and the name of the folder, which may be new."""
        sync_folder(folder)
        if folder.name not in self.durable:
            sync_folder(self.folder)
            self.durable.add(folder.name)


def open_contents(folder: Path) -> Contents:
    (folder / INCOMING).mkdir(parents=True, exist_ok=True)
    # a folder that was just made is there after a power loss only when its parent is synced too
    for made in (folder, folder.parent):
        sync_folder(made)
    return Contents(folder, ThreadPoolExecutor(4, "hash"), RunningHashes())


def gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of about PIECE, so that each costs one system call and one step of each hash."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= PIECE:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def _write_all(handle: int, piece: bytes, offset: int | None = None) -> None:
    view = memoryview(piece)
    while view:
        written = os.write(handle, view) if offset is None else os.pwrite(handle, view, offset)
        offset = None if offset is None else offset + written
        view = view[written:]


def _pieces(handle: int, start: int, length: int) -> Iterator[bytes]:
    try:
        while length > 0:
            piece = os.pread(handle, min(PIECE, length), start)
            if not piece:
                raise OSError("an object's file is shorter than its row says")
            start += len(piece)
            length -= len(piece)
            yield piece
    finally:
        os.close(handle)
