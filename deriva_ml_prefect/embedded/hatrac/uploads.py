"""Upload jobs: an object sent in chunks, in any order, over any number of connections.

A job's content is a file of its final size; the database records which chunks are in it. A chunk that is refused is
not recorded, and does not touch one that was recorded before. One that replaces another with other bytes is not
recorded while it is being written, so that no kill leaves a mixture that counts. Finalising needs every chunk, and
checks the checksums; what still arrives for a job that has ended is not written, since its content is an object's.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from sqlite3 import Connection
from typing import Any

import orjson

from deriva_ml_prefect.embedded.errors import BadRequest, Conflict, MethodNotAllowed
from deriva_ml_prefect.embedded.http import Request, Response

from .answers import JSON, created, done, json_bytes, listing, represent
from .content import Guard, new_content
from .context import Store
from .metadata import KEYS, check_value, verify
from .objects import MOST_BYTES, claim_object
from .rights import owner_of, refuse, require
from .store import (
    Job,
    Name,
    add_chunk,
    count_chunks,
    delete_job,
    get_job,
    get_object,
    has_chunk,
    insert_job,
    insert_version,
    jobs,
    lineage,
    remove_chunk,
)
from .url import Target, url_of, wants_parents

MOST_JSON = 64 * 1024
_FORMER = {
    "chunk_bytes": "chunk-length",
    "total_bytes": "content-length",
    "content_type": "content-type",
    "content_md5": "content-md5",
}
"""Names that fields of a job had once, which are still understood."""
MOST_LENGTH = 1 << 42
POSITION = re.compile(r"\d{1,9}")


@dataclass
class _Part:
    """A part of all jobs."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    """Held while bytes of one are written, while a chunk is replaced, and while one becomes an object."""
    ended: int = 0
    """How many have become objects."""


_PARTS = tuple(_Part() for _ in range(64))


def upload_resource(store: Store, request: Request, target: Target) -> Response:
    """`;upload`, `;upload/JOB` and `;upload/JOB/K`."""
    acts = {
        (0, "GET"): _list_jobs,
        (0, "POST"): _make_job,
        (1, "GET"): _describe_job,
        (1, "POST"): _finalise,
        (1, "DELETE"): _cancel,
        (2, "PUT"): _put_chunk,
    }
    method = "GET" if request.method == "HEAD" else request.method
    act = acts.get((len(target.arguments), method))
    if act is None:
        raise MethodNotAllowed(f"{request.method} is not a method of this upload resource.")
    return act(store, request, target)


def _url(path: str, job: str) -> str:
    return f"{url_of(path)};upload/{job}"


def _list_jobs(store: Store, request: Request, target: Target) -> Response:
    with store.database.read() as connection:
        name = get_object(connection, target.name)
        require(request.client, name, lineage(connection, target.name), "owner", "update")
        return listing(request, url_of(name.path), [_url(name.path, job.job) for job in jobs(connection, name)])


def _make_job(store: Store, request: Request, target: Target) -> Response:
    document = _document(request)
    document = {_FORMER.get(key, key): value for key, value in document.items()}
    chunk_length = _integer(document, "chunk-length", least=1)
    content_length = _integer(document, "content-length", least=0)
    metadata = {key: check_value(key, _text(document, key)) for key in KEYS if document.get(key) is not None}
    content = new_content()
    parents = wants_parents(request.query)
    with store.database.write() as connection:
        name = claim_object(connection, target.name, request.client, parents=parents)
        owner = owner_of(request.client)
        insert_job(connection, Job(0, content, name.id, chunk_length, content_length, metadata, owner))
        try:
            store.contents.reserve(content, content_length)
        except OSError as error:
            store.contents.remove([content])
            raise Conflict(f"No room for {content_length} bytes ({error.strerror}).") from error
    return created(_url(target.name, content))


def _document(request: Request) -> dict[str, Any]:
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != JSON:
        raise BadRequest(f"An upload job is described in {JSON}.")
    try:
        document = orjson.loads(request.body.read(MOST_JSON))
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The upload job is not JSON: {error}.") from None
    if not isinstance(document, dict):
        raise BadRequest("An upload job is a JSON object with chunk-length and content-length.")
    return document


def _integer(document: dict[str, Any], key: str, *, least: int) -> int:
    value = document.get(key)
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 20:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MOST_LENGTH:
        raise BadRequest(f"{key} must be an integer from {least} to {MOST_LENGTH}, not {value!r:.100}.")
    return value


def _text(document: dict[str, Any], key: str) -> str:
    value = document[key]
    if not isinstance(value, str):
        raise BadRequest(f"{key} must be a text, not {value!r:.100}.")
    return value


def _find(connection: Connection, request: Request, target: Target) -> tuple[Name, Job]:
    """The job, which only who made it may see or touch."""
    name = get_object(connection, target.name)
    job = get_job(connection, name, target.arguments[0])
    roles = request.client.roles if request.client else frozenset({"*"})
    if job.owner and not roles & set(job.owner):
        refuse(request.client, f"The upload job {job.job} is another client's.")
    return name, job


def _describe_job(store: Store, request: Request, target: Target) -> Response:
    with store.database.read() as connection:
        name, job = _find(connection, request, target)
    document = {
        "url": _url(name.path, job.job),
        "target": url_of(name.path),
        "owner": job.owner,
        "chunk-length": job.chunk_length,
        "content-length": job.content_length,
        **job.metadata,
    }
    return represent(request, json_bytes(document), JSON)


def _put_chunk(store: Store, request: Request, target: Target) -> Response:
    if not POSITION.fullmatch(target.arguments[1]):
        raise BadRequest(f"{target.arguments[1]!r:.50} is not the number of a chunk; the first one is 0.")
    position = int(target.arguments[1])
    with store.database.read() as connection:
        _, job = _find(connection, request, target)
        present = has_chunk(connection, job, position)
    if position >= job.chunks:
        raise Conflict(f"This job has {job.chunks} chunks, numbered from 0; there is no chunk {position}.")
    expected = job.length_of(position)
    if expected > MOST_BYTES:
        raise BadRequest(f"One request carries at most {MOST_BYTES} bytes; make a job with smaller chunks.")
    if request.body.length is not None and request.body.length != expected:
        raise Conflict(f"Chunk {position} has {expected} bytes, not {request.body.length}.")
    stated = {}
    if "content-md5" in request.headers:
        stated["content-md5"] = check_value("content-md5", request.headers["content-md5"])
    pieces = _exactly(request.body.chunks(), position, expected)
    if present:
        _replace_chunk(store, request, target, pieces, stated)
    else:
        md5 = hashlib.md5(usedforsecurity=False) if stated else None
        sha256 = "content-sha256" in job.metadata
        guard = _while_open(store, request, target)
        store.contents.write_at(job.job, position * job.chunk_length, pieces, md5=md5, sha256=sha256, guard=guard)
        if md5 is not None:
            _refuse_wrong(stated, md5.digest())
    with store.database.write() as connection:
        _find(connection, request, target)  # it may be finalised or cancelled by now
        add_chunk(connection, job, position)
    return done()


def _while_open(store: Store, request: Request, target: Target) -> Guard:
    """A guard within which the job neither becomes an object nor is written by others; raises if it is one already."""
    part = _part_of(target)
    seen = -1

    @contextmanager
    def guard() -> Iterator[None]:
        nonlocal seen
        with part.lock:
            # for each piece of a body: the database is asked only when one of these jobs has ended since
            if seen != part.ended:
                with store.database.read() as connection:
                    _find(connection, request, target)
                seen = part.ended
            yield

    return guard


def _part_of(target: Target) -> _Part:
    return _PARTS[hash(target.arguments[0]) % len(_PARTS)]


def _replace_chunk(
    store: Store, request: Request, target: Target, pieces: Iterator[bytes], stated: dict[str, str]
) -> None:
    """Write over a chunk that is good already: only when all of the new one has arrived, is right, and is another."""
    waiting, position = new_content(), int(target.arguments[1])
    try:
        written = store.contents.hold(waiting, pieces)
        _refuse_wrong(stated, written.md5)
        with _part_of(target).lock:
            with store.database.read() as connection:
                _, job = _find(connection, request, target)
            start = position * job.chunk_length
            if store.contents.measure(job.job, start, written.length).sha256 == written.sha256:
                return
            with store.database.write() as connection:
                remove_chunk(connection, job, position)
            store.contents.running.forget(job.job)
            with store.contents.incoming(waiting).open("rb") as source:
                whole = iter(lambda: source.read(1024 * 1024), b"")
                store.contents.write_at(job.job, start, whole)
    finally:
        store.contents.drop_incoming(waiting)


def _refuse_wrong(stated: dict[str, str], md5: bytes) -> None:
    wrong = verify(stated, md5, None)
    if wrong:
        raise BadRequest(wrong)


def _exactly(pieces: Iterator[bytes], position: int, expected: int) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > expected:
            raise Conflict(f"Chunk {position} has {expected} bytes, not more.")
        yield piece
    if size != expected:
        raise Conflict(f"Chunk {position} has {expected} bytes, not {size}.")


def _finalise(store: Store, request: Request, target: Target) -> Response:
    part = _part_of(target)
    with part.lock:
        with store.database.read() as connection:
            _, job = _find(connection, request, target)
            _require_complete(connection, job)
        written = store.contents.written(job.job, job.content_length)
        wrong = verify(job.metadata, written.md5, written.sha256)
        if wrong:
            raise Conflict(wrong)
        with store.database.write() as connection:
            name, job = _find(connection, request, target)
            insert_version(
                connection,
                name,
                job.job,
                content=job.job,
                length=written.length,
                md5=written.md5,
                sha256=written.sha256,
                metadata=job.metadata,
                acl={"owner": job.owner},
            )
            delete_job(connection, job, keep_content=True)
        part.ended += 1
    return created(url_of(name.path, job.job))


def _require_complete(connection: Connection, job: Job) -> None:
    present = count_chunks(connection, job)
    if present != job.chunks:
        raise Conflict(f"{job.chunks - present} of {job.chunks} chunks are missing; send them, then finalise again.")


def _cancel(store: Store, request: Request, target: Target) -> Response:
    with store.database.write() as connection:
        _, job = _find(connection, request, target)
        contents = delete_job(connection, job, keep_content=False)
    store.remove(contents)
    return done()
