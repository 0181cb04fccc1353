"""A file on its way into an object store that forgets jobs, hides lengths, or belongs to another account."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.exceptions import DerivaMLNotFoundError, DerivaMLOfflineError
from deriva_ml_prefect.transfer.client import HttpClient
from deriva_ml_prefect.transfer.hashing import hash_file
from deriva_ml_prefect.transfer.upload import put_file

OBJECT = "/hatrac/Image/x.bin"


def answer(status: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]).encode() + b"\r\n\r\n" + body


ABSENT = answer("404 Not Found")
TAKEN = answer("412 Precondition Failed")
CHUNK = answer("204 No Content")
STORED = answer("201 Created", f"Location: {OBJECT}:V")
PAGE = answer("200 OK", "Content-Type: text/html", body=b"<!DOCTYPE html><html>Log in</html>")


def job(name: str) -> bytes:
    return answer("201 Created", f"Location: {OBJECT};upload/{name}")


@pytest.fixture
def client(server: Any, sleep: Callable[[float], None]) -> Iterator[HttpClient]:
    made = HttpClient(server.url, timeout=5, retries=0, sleep=sleep)
    yield made
    made.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.bin"
    path.write_bytes(b"0123456789")
    return path


def asked(server: Any) -> list[str]:
    return [seen.line.removesuffix(" HTTP/1.1").replace(OBJECT, "") for seen in server.seen]


@pytest.mark.parametrize(
    "length", ["Transfer-Encoding: chunked", "Content-Encoding: gzip\r\nContent-Length: 7", "Content-Length: 10, 10"]
)
def test_an_object_whose_length_is_not_told_is_known_by_its_checksum(
    server: Any, client: HttpClient, file: Path, length: str
) -> None:
    """As behind a web server that would compress the answer: sent again, it would be a second version."""
    facts = hash_file(file)
    head = f"HTTP/1.1 200 OK\r\n{length}\r\nContent-MD5: {facts.md5_base64}\r\nContent-Location: {OBJECT}:V\r\n\r\n"
    server.plan(TAKEN, head.encode(), answer("201 Created", f"Location: {OBJECT}:SECOND"))
    assert put_file(client, file, OBJECT, facts) == f"{OBJECT}:V"
    assert asked(server) == ["PUT ?parents=true", "HEAD "]
    assert server.seen[1].headers["accept-encoding"] == "identity"


def test_a_job_that_the_store_forgets_is_begun_anew(server: Any, client: HttpClient, file: Path) -> None:
    server.plan(ABSENT, job("A"), CHUNK, ABSENT, ABSENT, job("B"), CHUNK, CHUNK, CHUNK, STORED)
    jobs: list[str] = []
    assert put_file(client, file, OBJECT, hash_file(file), chunk_size=4, on_job=jobs.append) == f"{OBJECT}:V"
    assert asked(server)[3:] == [
        "PUT ;upload/A/1", "HEAD ", "POST ;upload?parents=true", *(f"PUT ;upload/B/{n}" for n in range(3)),
        "POST ;upload/B",
    ]  # fmt: skip
    assert jobs == ["A 0", "A 1", "B 0", "B 1", "B 2", "B 3"]


def test_a_store_that_forgets_every_job_is_not_asked_for_ever(server: Any, client: HttpClient, file: Path) -> None:
    server.plan(ABSENT, job("A"), ABSENT, ABSENT, job("B"), ABSENT, *[ABSENT] * 9)
    with pytest.raises(DerivaMLNotFoundError):
        put_file(client, file, OBJECT, hash_file(file), chunk_size=4)
    assert len(server.seen) <= 7


@pytest.mark.parametrize("status", ["403 Forbidden", "409 Conflict", "404 Not Found"])
def test_a_job_of_another_account_is_left_alone(server: Any, client: HttpClient, file: Path, status: str) -> None:
    """Whoever takes over the execution may not go on with it, and need not."""
    server.plan(ABSENT, answer(status), ABSENT, job("B"), CHUNK, CHUNK, CHUNK, STORED)
    assert put_file(client, file, OBJECT, hash_file(file), chunk_size=4, job="A 1") == f"{OBJECT}:V"
    assert asked(server)[1] == "GET ;upload/A"


def test_a_login_page_for_bytes_is_no_fault_of_the_bytes(server: Any, client: HttpClient, file: Path) -> None:
    server.plan(PAGE)
    with pytest.raises(DerivaMLOfflineError, match="login page or a proxy"):
        put_file(client, file, OBJECT, hash_file(file))


@pytest.mark.parametrize("body", [b"{}", b"[1]", b'{"chunk-length": null, "content-length": "x"}'])
def test_a_job_that_is_told_of_in_other_words_is_not_gone_on_with(
    server: Any, client: HttpClient, file: Path, body: bytes
) -> None:
    server.plan(ABSENT, answer("200 OK", body=body), ABSENT, job("B"), CHUNK, CHUNK, CHUNK, STORED)
    assert put_file(client, file, OBJECT, hash_file(file), chunk_size=4, job="A 1") == f"{OBJECT}:V"


@pytest.mark.parametrize("body", [b"", b"Please log in first", b"/hatrac/Image/x.bin;upload/ no job\n"])
def test_a_job_without_a_name_is_a_named_error(server: Any, client: HttpClient, file: Path, body: bytes) -> None:
    server.plan(ABSENT, answer("201 Created", body=body), *[ABSENT] * 5)
    with pytest.raises(DerivaMLOfflineError, match="without the name of a job"):
        put_file(client, file, OBJECT, hash_file(file), chunk_size=4)
    assert len(server.seen) == 2


@pytest.mark.parametrize("before", ["", "http://elsewhere.example", "//elsewhere.example"])
def test_a_place_that_is_told_with_a_host_is_a_path(server: Any, client: HttpClient, file: Path, before: str) -> None:
    server.plan(answer("201 Created", f"Location: {before}{OBJECT}:V"))
    assert put_file(client, file, OBJECT, hash_file(file)) == f"{OBJECT}:V"
