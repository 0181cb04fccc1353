"""A file's way out of the object store: verified before it gets its name, so that a torn file is never seen."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from deriva_ml_prefect.exceptions import DerivaMLChecksumError, DerivaMLOfflineError
from deriva_ml_prefect.transfer.client import HttpClient
from deriva_ml_prefect.transfer.hashing import md5_hex_of
from deriva_ml_prefect.transfer.retry import LONGEST_RETRY_AFTER

Progress = Callable[[int], None]
"""Told how many bytes have come since it was told last."""

TORN = ".*.part"
"""Names, as a pattern, of files that are being fetched, or were when their process was killed."""
ENOUGH = 1 << 20
"""Bytes that a try must bring more than those before, or it counts as one that failed."""
_TOKEN = uuid.uuid4().hex
_numbers = itertools.count()


def get_file(
    client: HttpClient,
    path: str,
    dest: Path,
    *,
    md5_hex: str | None = None,
    sha256_hex: str | None = None,
    length: int | None = None,
    progress: Progress | None = None,
    durable: bool = True,
    mode: int = 0o666,
) -> int:
    """Fetch `path` into the file `dest` (replaced if present); returns its length in bytes.

    Bytes go to a temporary name in the same folder and are compared with every checksum given, else with the one that
    the server sends. DerivaMLChecksumError leaves `dest` as it was. A broken transfer goes on where it broke.
    `durable` False leaves out the fsync, for callers that sync many files at once. `mode` are the permissions that the
    file gets, less those that the process's umask takes away.
    """
    # each call of the system hands the interpreter's lock to another thread: a small file should need few of them
    part = dest.parent / f".{_TOKEN}-{os.getpid()}-{next(_numbers)}.part"
    out = open(part, "xb", buffering=0, opener=lambda name, flags: os.open(name, flags, mode))  # noqa: SIM115
    try:
        with out:
            received = _Receiver(out, progress, want_sha256=bool(sha256_hex))
            received.fetch(client, path)
            received.check(path, md5_hex=md5_hex, sha256_hex=sha256_hex, length=length)
            if durable:
                os.fsync(out.fileno())
        part.replace(dest)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return received.length


def read_through(client: HttpClient, path: str, *, progress: Progress | None = None) -> tuple[int, str]:
    """Length and MD5 (hexadecimal) of the bytes that `path` gives; nothing is kept of them."""
    received = _Receiver(_Nowhere(), progress)
    received.fetch(client, path)
    return received.length, received.md5.hexdigest()


class _Sink(Protocol):
    """A file without a buffer, empty at first."""

    def write(self, piece: memoryview, /) -> int | None: ...

    def seek(self, position: int, /) -> int: ...

    def truncate(self) -> int: ...


class _Nowhere(io.BytesIO):
    """A file that forgets what is written to it."""

    def write(self, piece: Any, /) -> int:
        return len(piece)


class _Receiver:
    def __init__(self, out: _Sink, progress: Progress | None, *, want_sha256: bool = False) -> None:
        self.want_sha256 = want_sha256
        self.out = out
        self.progress = progress
        self.promised_md5 = ""
        self.told = 0
        self._begin()

    def _restart(self) -> None:
        if self.length:
            self.out.seek(0)
            self.out.truncate()
            self._begin()

    def _begin(self) -> None:
        self.length = 0
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.sha256 = hashlib.sha256()

    def fetch(self, client: HttpClient, path: str) -> None:
        furthest = fruitless = 0
        while True:
            try:
                self._fetch_rest(client, path)
                return
            except DerivaMLOfflineError as error:
                if self.length >= furthest + ENOUGH:
                    furthest, fruitless = self.length, 0
                else:
                    fruitless += 1
                if fruitless > client.retries or error.retry_after > LONGEST_RETRY_AFTER:
                    raise

    def _fetch_rest(self, client: HttpClient, path: str) -> None:
        try:
            self._fetch_part(client, path, f"{self.length}-" if self.length else "")
        except DerivaMLOfflineError as error:
            if self.length or not error.redirected:
                raise
            # a Hatrac on S3 sends those elsewhere who want all of a large object, and gives parts of it itself
            self._fetch_part(client, path, "0-0")
            self._fetch_part(client, path, f"{self.length}-")

    def _fetch_part(self, client: HttpClient, path: str, part: str) -> None:
        with client.stream(path, headers={"Range": f"bytes={part}"} if part else {}) as stream:
            if stream.status == 416:
                # there is no rest: all had come and its end was lost, or it is another object now
                if stream.headers.get("content-range") == f"bytes */{self.length}":
                    return
                self._restart()
                raise DerivaMLOfflineError(f"GET {path} has no bytes from where it broke off. Repeat.")
            resumed = stream.status == 206 and stream.headers.get("content-range", "").startswith(
                f"bytes {self.length}-"
            )
            if not resumed:
                if stream.status == 206:
                    raise DerivaMLOfflineError(f"GET {path} was answered with a part that was not asked for. Repeat.")
                self._restart()
                self.promised_md5 = md5_hex_of(stream.headers.get("content-md5", ""))
            for piece in stream.pieces:
                self._write(piece)
                self.md5.update(piece)
                if self.want_sha256:
                    self.sha256.update(piece)
                self.length += len(piece)
                if self.progress and self.length > self.told:
                    self.progress(self.length - self.told)
                    self.told = self.length

    def _write(self, piece: bytes) -> None:
        left = memoryview(piece)
        while left:
            left = left[self.out.write(left) or 0 :]

    def check(self, path: str, *, md5_hex: str | None, sha256_hex: str | None, length: int | None) -> None:
        wrong = None
        md5_due = md5_hex or self.promised_md5
        if length is not None and self.length != length:
            wrong = f"{self.length} bytes came instead of {length}"
        elif md5_due and self.md5.hexdigest() != md5_due.lower():
            wrong = f"its MD5 is {self.md5.hexdigest()} instead of {md5_due.lower()}"
        elif sha256_hex and self.sha256.hexdigest() != sha256_hex.lower():
            wrong = f"its SHA-256 is {self.sha256.hexdigest()} instead of {sha256_hex.lower()}"
        if wrong:
            raise DerivaMLChecksumError(
                f"{path} did not arrive as promised: {wrong}. Nothing was kept; fetch it again, and if it happens "
                "again, the stored object is damaged or its row is wrong."
            )
