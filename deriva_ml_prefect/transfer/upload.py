"""A file's way into Hatrac: one PUT, or an upload job of chunks that outlives this process.

An object that is there already under the same MD5 is not sent again, so that repeating an upload makes no second
version. Every sending carries the MD5, and the server compares it: an answer 201 proves the bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from deriva_ml_prefect.exceptions import (
    DerivaMLCatalogConflict,
    DerivaMLChecksumError,
    DerivaMLDataError,
    DerivaMLNotFoundError,
    DerivaMLOfflineError,
    DerivaMLValidationError,
)
from deriva_ml_prefect.transfer.answer import Answer
from deriva_ml_prefect.transfer.client import HttpClient, Timeout
from deriva_ml_prefect.transfer.hashing import FileFacts, md5_hex_of

CHUNK_SIZE = 25 << 20
"""Bytes of a chunk where the caller does not say."""
LARGEST_PUT = 100 << 20
"""Bytes that one PUT may carry (servers refuse above 128 MiB)."""
SEND_UNASKED = 1 << 20
"""Up to this size a file is sent at once, on condition that there is no such object yet; larger ones ask first."""
_PIECE = 1 << 20
_JOB = re.compile(r"[!-~]+")
"""The name of a job, which becomes part of a path."""

Progress = Callable[[int], None]
"""Told how many bytes have been delivered since it was told last."""


@dataclass(frozen=True)
class StoredObject:
    """What the object store says of an object's current version."""

    path: str
    """With its version: `/hatrac/…:VERSION`."""
    length: int
    """Bytes; -1 where it was not told."""
    md5_hex: str
    """Empty where the store keeps none."""


def stored_object(client: HttpClient, object_path: str) -> StoredObject | None:
    """The current version of the object, or None while there is none (one HEAD request)."""
    # what stands in between may compress, and then tells another length or none
    answer = client.request("HEAD", object_path, headers={"Accept-Encoding": "identity"}, expect=(200, 404, 409))
    if answer.status == 409 and _has_versions(client, object_path):
        # taken for absent, it would be sent again as a second version
        raise DerivaMLOfflineError(f"{answer.asked} was answered 409, and the object has versions: {answer.sentence}")
    if answer.status != 200:
        return None
    return StoredObject(
        path=_path_only(answer.headers.get("content-location", object_path)),
        length=_length_told(answer),
        md5_hex=md5_hex_of(answer.headers.get("content-md5", "")),
    )


def _length_told(answer: Answer) -> int:
    told = answer.headers.get("content-length", "")
    coded = answer.headers.get("content-encoding", "identity") != "identity"
    return int(told) if told.isdecimal() and not coded else -1


def _has_versions(client: HttpClient, object_path: str) -> bool:
    """Whether an object has content; one that was named by an upload job alone, or is deleted, has none (409)."""
    answer = client.request("GET", f"{object_path};versions", expect=(200, 404, 409))
    return answer.status == 200 and bool(answer.json())


def put_file(
    client: HttpClient,
    path: Path,
    object_path: str,
    facts: FileFacts,
    *,
    content_type: str = "application/octet-stream",
    disposition: str | None = None,
    chunk_size: int = CHUNK_SIZE,
    timeout: Timeout | None = None,
    progress: Progress | None = None,
    job: str | None = None,
    on_job: Callable[[str], None] | None = None,
) -> str:
    """Make `object_path` (percent-encoded, below `/hatrac`) hold the bytes of `path`; returns the versioned path.

    `facts` are those of `path`: if the bytes have changed since, DerivaMLChecksumError, and nothing is stored.
    `on_job` is told a text as soon as an upload job exists and after each chunk; given back as `job`, in any process,
    it takes the upload up at the first chunk that was not sent.
    """
    if path.stat().st_size != facts.length:
        raise _changed(path)
    upload = _Upload(
        client, path, object_path, facts, content_type, disposition, timeout, progress or _ignore, on_job or _ignore
    )
    chunked = facts.length > min(chunk_size, LARGEST_PUT)
    if (chunked or facts.length > SEND_UNASKED) and (present := upload.present()):
        return present
    if chunked:
        return upload.in_chunks(min(chunk_size, LARGEST_PUT), job)
    return upload.at_once()


def _ignore(_: object) -> None:
    """Where nobody wants to be told."""


@dataclass(frozen=True)
class _Upload:
    client: HttpClient
    path: Path
    object_path: str
    facts: FileFacts
    content_type: str
    disposition: str | None
    timeout: Timeout | None
    progress: Progress
    on_job: Callable[[str], None]

    def present(self) -> str | None:
        """The versioned path, if the object is there with these bytes."""
        stored = stored_object(self.client, self.object_path)
        if stored is None or stored.md5_hex != self.facts.md5_hex or stored.length not in (-1, self.facts.length):
            return None
        self.progress(self.facts.length)
        return stored.path

    def at_once(self) -> str:
        headers = {
            "Content-Type": self.content_type,
            "Content-Length": str(self.facts.length),
            "Content-MD5": self.facts.md5_base64,
            "If-None-Match": "*",
        }
        if self.disposition:
            headers["Content-Disposition"] = self.disposition
        while True:
            answer = self.client.request(
                "PUT",
                f"{self.object_path}?parents=true",
                headers=headers,
                content=partial(self._pieces, 0, self.facts.length) if self.facts.length else b"",
                expect=(201, 400, 412),
                timeout=self.timeout,
            )
            if answer.status == 201:
                self.progress(self.facts.length)
                return self._stored_at(answer)
            if answer.status == 400:
                raise self._refused(answer.sentence)
            if present := self.present():
                return present
            # an object of this name with other bytes: a further version stands beside it
            if not headers.pop("If-None-Match", None):
                raise DerivaMLCatalogConflict(
                    f"{self.object_path} holds other bytes and takes no new version: {answer.sentence}"
                )

    def in_chunks(self, chunk_size: int, job: str | None) -> str:
        found = self._known_job(job)
        if found is None and job and (present := self.present()):
            return present
        try:
            return self._through_job(*(found or self._new_job(chunk_size)))
        except DerivaMLNotFoundError:
            # the job ended between two of our requests: its finish may be the one whose answer was lost
            if present := self.present():
                return present
        # or the store has forgotten it
        return replace(self, progress=_ignore)._through_job(*self._new_job(chunk_size))

    def _through_job(self, name: str, done: int, size: int) -> str:
        if done:
            self.progress(min(done * size, self.facts.length))
        self._send_chunks(name, done, size)
        return self._finish(name, size, taken_up=done > 0)

    def _known_job(self, job: str | None) -> tuple[str, int, int] | None:
        """Name, chunks sent and their size; None for a job that is over, or that another account began."""
        if not job:
            return None
        name, _, done = job.partition(" ")
        answer = self.client.request("GET", f"{self.object_path};upload/{name}", expect=(200, 403, 404, 409))
        if answer.status != 200:
            return None
        document = answer.json()
        try:
            size, length = int(document["chunk-length"]), int(document["content-length"])
            same = length == self.facts.length and md5_hex_of(str(document["content-md5"])) == self.facts.md5_hex
        except (KeyError, TypeError, ValueError):
            return None
        return (name, int(done) if done.isdigit() else 0, size) if same and size > 0 else None

    def _new_job(self, chunk_size: int) -> tuple[str, int, int]:
        document: dict[str, object] = {
            "chunk-length": chunk_size,
            "content-length": self.facts.length,
            "content-type": self.content_type,
            "content-md5": self.facts.md5_base64,
        }
        if self.disposition:
            document["content-disposition"] = self.disposition
        # a job whose announcement was lost is garbage of the server's: asking again is harmless
        answer = self.client.request(
            "POST", f"{self.object_path};upload?parents=true", json=document, expect=(201,), idempotent=True
        )
        _, told, name = (answer.headers.get("location") or answer.text).strip().rpartition(";upload/")
        if not told or not _JOB.fullmatch(name):
            raise DerivaMLOfflineError(f"{answer.asked} was answered without the name of a job: {answer.sentence}")
        self.on_job(f"{name} 0")
        return name, 0, chunk_size

    def _send_chunks(self, name: str, done: int, size: int) -> None:
        """Send the chunks from number `done` on."""
        for number in range(done, -(-self.facts.length // size)):
            start = number * size
            length = min(size, self.facts.length - start)
            self.client.request(
                "PUT",
                f"{self.object_path};upload/{name}/{number}",
                headers={"Content-Type": "application/octet-stream", "Content-Length": str(length)},
                content=partial(self._pieces, start, length),
                expect=(204,),
                timeout=self.timeout,
            )
            self.on_job(f"{name} {number + 1}")
            self.progress(length)

    def _finish(self, name: str, size: int, *, taken_up: bool) -> str:
        url = f"{self.object_path};upload/{name}"
        answer = self.client.request("POST", url, expect=(201, 409), idempotent=True, timeout=self.timeout)
        if answer.status == 409 and taken_up:
            # chunks that an earlier process believed sent are not all there: send every one again
            replace(self, progress=_ignore)._send_chunks(name, 0, size)
            answer = self.client.request("POST", url, expect=(201, 409), idempotent=True, timeout=self.timeout)
        if answer.status == 409:
            self.client.request("DELETE", url, expect=(204, 404))
            raise self._refused(answer.sentence)
        return self._stored_at(answer)

    def _stored_at(self, answer: Answer) -> str:
        """The versioned path of what was just stored: from the head of the answer, since its body may be torn."""
        if location := answer.headers.get("location"):
            return _path_only(location)
        if present := self.present():
            return present
        raise DerivaMLOfflineError(f"{answer.asked} was answered {answer.status}, and the object is not there.")

    def _pieces(self, start: int, length: int) -> Iterator[bytes]:
        # without a buffer: a small file is sent with few calls of the system, each of which lets another thread in
        with self.path.open("rb", buffering=0) as file:
            if start:
                file.seek(start)
            left = length
            while left:
                piece = file.read(min(_PIECE, left))
                if not piece:
                    raise _changed(self.path)
                left -= len(piece)
                yield piece

    def _refused(self, sentence: str) -> DerivaMLDataError:
        return DerivaMLChecksumError(
            f"{self.path} was refused by the object store at {self.object_path}: {sentence} If the file was changed "
            "after it was registered, register it again; else repeat the upload."
        )


def _changed(path: Path) -> DerivaMLValidationError:
    return DerivaMLValidationError(
        f"{path} is not the file that was registered: its length has changed. Register it again, then upload."
    )


def _path_only(url: str) -> str:
    """`/hatrac/…` out of an absolute or relative address."""
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*:)?//[^/]*", "", url)
