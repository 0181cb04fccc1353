"""What the recorded answers do not show: Hatrac where ours does better, large bodies, conditions, rights."""

from __future__ import annotations

import base64
import hashlib
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

NAMESPACE = {"content-type": "application/x-hatrac-namespace"}


@pytest.fixture
def client(embedded_server: Any) -> Iterator[httpx.Client]:
    with embedded_server.client() as owner:
        yield owner


@pytest.fixture
def ns(client: httpx.Client) -> str:
    path = f"/hatrac/t-{secrets.token_hex(4)}"
    assert client.put(path, headers=NAMESPACE).status_code == 201
    return path


def b64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def make_job(client: httpx.Client, path: str, chunk: int, content: bytes, **more: str) -> str:
    document = {"chunk-length": chunk, "content-length": len(content), **more}
    answer = client.post(f"{path};upload", json=document)
    assert answer.status_code == 201, answer.text
    return answer.text.removesuffix("\n")


def files_of(embedded_server: Any) -> int:
    return sum(1 for path in (embedded_server.data / "objects").glob("*/*"))


def test_large_body_streams_both_ways(client: httpx.Client, ns: str) -> None:
    content = secrets.token_bytes(1024 * 1024) * 20
    headers = {"content-md5": hashlib.md5(content).hexdigest(), "content-sha256": hashlib.sha256(content).hexdigest()}
    assert client.put(f"{ns}/large", content=content, headers=headers).status_code == 201
    answer = client.get(f"{ns}/large")
    assert answer.content == content
    assert answer.headers["content-md5"] == b64(hashlib.md5(content).digest())
    assert client.get(f"{ns}/large", headers={"range": "bytes=-5"}).content == content[-5:]


def test_sha256_is_verified_and_nothing_is_left(client: httpx.Client, ns: str, embedded_server: Any) -> None:
    before = files_of(embedded_server)
    wrong = {"content-sha256": b64(hashlib.sha256(b"other").digest())}
    assert client.put(f"{ns}/o", content=b"body", headers=wrong).status_code == 400
    assert client.get(f"{ns}/o").status_code == 409
    job = make_job(client, f"{ns}/j", 4, b"abcX", **{"content-sha256": b64(hashlib.sha256(b"abcd").digest())})
    assert client.put(f"{job}/0", content=b"abcX").status_code == 204
    assert client.post(job).status_code == 409
    assert client.put(f"{job}/0", content=b"abcd").status_code == 204
    assert client.post(job).status_code == 201
    assert files_of(embedded_server) == before + 1


def test_missing_chunks_are_refused(client: httpx.Client, ns: str) -> None:
    job = make_job(client, f"{ns}/o", 5, b"aaaaabbbbbccc")
    assert client.put(f"{job}/2", content=b"ccc").status_code == 204
    assert client.post(job).status_code == 409
    for position, piece in ((1, b"bbbbb"), (0, b"aaaaa")):
        assert client.put(f"{job}/{position}", content=piece).status_code == 204
    assert client.post(job).status_code == 201
    assert client.get(f"{ns}/o").content == b"aaaaabbbbbccc"


@pytest.mark.parametrize("again", [True, False], ids=["a second time", "at first"])
def test_a_chunk_that_ends_after_its_job_does_not_change_the_object(
    client: httpx.Client, ns: str, embedded_server: Any, again: bool
) -> None:
    """Another client, or an earlier try of the same, is still sending when the job is finalised."""
    content = secrets.token_bytes(8_000_000)
    job = make_job(client, f"{ns}/o", 4_000_000, content, **{"content-md5": b64(hashlib.md5(content).digest())})
    pieces = [content[:4_000_000], content[4_000_000:]]
    for position in (0, 1) if again else (1,):
        assert client.put(f"{job}/{position}", content=pieces[position]).status_code == 204
    url = httpx.URL(embedded_server.url)
    head = f"PUT {job}/0 HTTP/1.1\r\nHost: {url.host}:{url.port}\r\nAuthorization: Bearer {embedded_server.token}\r\n"
    with socket.create_connection((url.host, url.port or 80), timeout=20) as late:
        late.sendall(f"{head}Content-Length: 4000000\r\n\r\n".encode() + b"X" * 2_000_000)
        time.sleep(0.3)
        if not again:
            assert client.put(f"{job}/0", content=pieces[0]).status_code == 204
        assert client.post(job).status_code == 201
        late.sendall(b"X" * 2_000_000)
        assert late.recv(100).startswith(b"HTTP/1.1 404 ")
    answer = client.get(f"{ns}/o")
    assert answer.content == content
    assert answer.headers["content-md5"] == b64(hashlib.md5(content).digest())


def test_a_refused_chunk_leaves_the_one_before(client: httpx.Client, ns: str) -> None:
    job = make_job(client, f"{ns}/o", 5, b"aaaaabbb")
    assert client.put(f"{job}/0", content=b"aaaaa").status_code == 204
    assert client.put(f"{job}/1", content=b"bbb").status_code == 204
    bad = {"content-md5": b64(hashlib.md5(b"no").digest())}
    assert client.put(f"{job}/0", content=b"XXXXX", headers=bad).status_code == 400
    assert client.put(f"{job}/0", content=b"XX").status_code == 409
    assert client.put(f"{job}/1", content=b"BBB").status_code == 204
    assert client.post(job).status_code == 201
    assert client.get(f"{ns}/o").content == b"aaaaaBBB"


def test_empty_objects_and_bodies_without_length(client: httpx.Client, ns: str) -> None:
    assert client.put(f"{ns}/empty", content=iter([b""])).status_code == 201
    assert client.get(f"{ns}/empty").content == b""
    assert client.put(f"{ns}/chunked", content=iter([b"ab", b"cd" * 100_000])).status_code == 201
    assert len(client.get(f"{ns}/chunked").content) == 200_002
    job = make_job(client, f"{ns}/job", 5, b"")
    assert client.post(job).status_code == 201
    assert client.head(f"{ns}/job").headers["content-length"] == "0"


def raw_status(embedded_server: Any, target: bytes, *, length: int = 1, body: bytes = b"x") -> int:
    """Status of the answer to a PUT of a target that client libraries would change."""
    host, port = embedded_server.url.removeprefix("http://").split(":")
    head = f" HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {embedded_server.token}\r\n"
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b"PUT " + target + head.encode() + f"Content-Length: {length}\r\n\r\n".encode() + body)
        return int(connection.recv(4096).split()[1])


def test_too_large_is_refused_before_it_is_sent(ns: str, embedded_server: Any) -> None:
    assert raw_status(embedded_server, f"{ns}/o".encode(), length=200 * 1024 * 1024, body=b"") == 413


def test_conditions(client: httpx.Client, ns: str) -> None:
    path = f"{ns}/o"
    assert client.put(path, content=b"1", headers={"if-match": "*"}).status_code == 412
    assert client.get(path).status_code == 404
    assert client.put(path, content=b"1", headers={"if-none-match": "*"}).status_code == 201
    assert client.put(path, content=b"2", headers={"if-none-match": "*"}).status_code == 412
    tag = client.head(path).headers["etag"]
    assert client.get(path, headers={"if-none-match": f'"other", {tag}'}).status_code == 304
    assert client.put(path, content=b"2", headers={"if-match": tag}).status_code == 201
    assert client.put(path, content=b"3", headers={"if-match": tag}).status_code == 412
    assert client.delete(path, headers={"if-match": tag}).status_code == 412
    assert client.get(path).content == b"2"


def test_jobs_belong_to_who_made_them(client: httpx.Client, ns: str, embedded_server: Any) -> None:
    job = make_job(client, f"{ns}/o", 5, b"abc")
    with embedded_server.client(embedded_server.token2) as second, embedded_server.client("") as nobody:
        for answer in (second.get(job), second.put(f"{job}/0", content=b"abc"), second.post(job), second.delete(job)):
            assert answer.status_code == 403
        assert nobody.put(f"{job}/0", content=b"abc").status_code == 401
        assert second.get(ns).status_code == 403
        assert nobody.get(ns).status_code == 401
    assert client.delete(job).status_code == 204
    assert client.get(job).status_code == 404


def test_read_right_of_a_version(client: httpx.Client, ns: str, embedded_server: Any) -> None:
    version = client.put(f"{ns}/o", content=b"shared").text.strip()
    second_id = "https://embedded.deriva/second"
    with embedded_server.client(embedded_server.token2) as second:
        assert second.get(version).status_code == 403
        assert client.put(f"{version};acl/read", json=[second_id]).status_code == 204
        assert second.get(version).content == b"shared"
        assert second.get(f"{ns}/o").content == b"shared"
        assert second.delete(version).status_code == 403
        assert second.get(f"{version};acl").status_code == 403


def test_deleted_content_leaves_the_disk(client: httpx.Client, ns: str, embedded_server: Any) -> None:
    before = files_of(embedded_server)
    for name in ("a/b/c", "a/b/d", "a/e"):
        assert client.put(f"{ns}/{name}?parents=true", content=b"x").status_code == 201
    make_job(client, f"{ns}/a/f", 5, b"abc")
    assert files_of(embedded_server) == before + 4
    assert client.delete(f"{ns}/a").status_code == 204
    assert files_of(embedded_server) == before
    assert client.put(f"{ns}/a/b/c?parents=true", content=b"x").status_code == 409


def test_deleting_a_namespace_spares_its_likes(client: httpx.Client, ns: str) -> None:
    for name in ("a", "a-b", "a.b", "a0", "ab"):
        assert client.put(f"{ns}/{name}/o?parents=true", content=b"x").status_code == 201
    assert client.delete(f"{ns}/a").status_code == 204
    assert client.get(ns).json() == [f"{ns}/{name}" for name in ("a-b", "a.b", "a0", "ab")]


def test_a_name_of_another_owner_saves_the_namespace(client: httpx.Client, ns: str, embedded_server: Any) -> None:
    second_id = "https://embedded.deriva/second"
    assert client.put(f"{ns}/n", headers=NAMESPACE).status_code == 201
    assert client.put(f"{ns}/n;acl/create", json=[second_id]).status_code == 204
    with embedded_server.client(embedded_server.token2) as second:
        assert second.put(f"{ns}/n/theirs", content=b"x").status_code == 201
        assert client.delete(f"{ns}/n").status_code == 403
        assert second.get(f"{ns}/n/theirs").content == b"x"


def test_renamed_content_outlives_its_old_name(client: httpx.Client, ns: str) -> None:
    version = client.put(f"{ns}/old", content=b"kept").text.strip().rsplit(":", 1)[1]
    command = {"command": "rename_from", "source_name": f"{ns.removeprefix('/hatrac')}/old"}
    assert client.post(f"{ns}/new", json=command).status_code == 201
    assert client.post(f"{ns}/new", json=command).status_code == 204
    assert client.post(f"{ns}/third", json=command).status_code == 409
    assert client.delete(f"{ns}/old").status_code == 204
    assert client.get(f"{ns}/new:{version}").content == b"kept"


def test_metadata_must_be_true(client: httpx.Client, ns: str) -> None:
    assert client.put(f"{ns}/o", content=b"body").status_code == 201
    text = {"content-type": "text/plain"}
    wrong, right = b64(hashlib.md5(b"no").digest()), b64(hashlib.md5(b"body").digest())
    assert client.put(f"{ns}/o;metadata/content-md5", content=wrong, headers=text).status_code == 409
    assert client.put(f"{ns}/o;metadata/content-md5", content=right, headers=text).status_code == 204
    evil = client.put(f"{ns}/o;metadata/content-type", content="a/b\r\nset-cookie: x", headers=text)
    assert evil.status_code == 400


@pytest.mark.parametrize("name", ["a//b", "a/../b", "a/./b", "%zz", "a%", "\xe4", "a+b", "a|b", "a'b"])
def test_names_that_cannot_be(embedded_server: Any, name: str) -> None:
    assert raw_status(embedded_server, b"/hatrac/" + name.encode("latin-1")) == 400


def test_files_are_where_the_docstring_says(client: httpx.Client, ns: str, embedded_server: Any) -> None:
    version = client.put(f"{ns}/o", content=b"here").text.strip().rsplit(":", 1)[1]
    place: Path = embedded_server.data / "objects" / version[:2] / version
    assert place.read_bytes() == b"here"


def test_a_namespace_that_is_there_conditions_come_before_rights_and_those_before_the_conflict(
    client: httpx.Client, ns: str, embedded_server: Any
) -> None:
    assert client.put(ns, headers=NAMESPACE | {"if-none-match": "*"}).status_code == 412
    assert client.put(ns, headers=NAMESPACE).status_code == 409
    with embedded_server.client(embedded_server.token2) as other, embedded_server.client("") as nobody:
        assert other.put(ns, headers=NAMESPACE).status_code == 403
        assert nobody.put(ns, headers=NAMESPACE).status_code == 401


def test_jobs_are_described_in_former_words_too(client: httpx.Client, ns: str) -> None:
    former = {"chunk_bytes": "5", "total_bytes": 5.0, "content_type": "text/plain"}
    answer = client.post(f"{ns}/former;upload", json=former)
    assert answer.status_code == 201, answer.text
    job = client.get(answer.text.strip()).json()
    assert (job["chunk-length"], job["content-length"], job["content-type"]) == (5, 5, "text/plain")
    for wrong in ({"chunk-length": "x"}, {"chunk-length": 0}, {"chunk-length": None}, {"chunk-length": [5]}):
        assert client.post(f"{ns}/wrong;upload", json={"content-length": 5, **wrong}).status_code == 400


@pytest.mark.parametrize("name", ["a%2Fb", "a%5Cb", "%2f", "a b"])
def test_a_file_name_for_downloads_has_no_slashes(client: httpx.Client, ns: str, name: str) -> None:
    disposition = f"filename*=UTF-8''{name}"
    assert client.put(f"{ns}/o", content=b"x", headers={"content-disposition": disposition}).status_code == 400
    job = {"chunk-length": 1, "content-length": 1, "content-disposition": disposition}
    assert client.post(f"{ns}/o;upload", json=job).status_code == 400


def test_a_role_in_a_list_has_an_etag_of_its_own(client: httpx.Client, ns: str) -> None:
    role = f"{ns};acl/create/somebody"
    assert client.put(role, headers={"if-match": "*"}).status_code == 412
    assert client.put(role, headers={"if-none-match": "*"}).status_code == 204
    tag = client.get(role).headers["etag"]
    assert client.get(role, headers={"if-none-match": tag}).status_code == 304
    assert client.delete(role, headers={"if-none-match": tag}).status_code == 412
    assert client.delete(role, headers={"if-match": '"other"'}).status_code == 412
    assert client.delete(role, headers={"if-match": tag}).status_code == 204
    assert client.get(role).status_code == 404


def test_a_sha256_that_is_stated_later_is_verified(client: httpx.Client, ns: str) -> None:
    content = b"abcd" * 50_000
    client.put(f"{ns}/o", content=content).raise_for_status()
    job = make_job(client, f"{ns}/j", 70_000, content)
    for number in range(3):
        chunk = content[70_000 * number : 70_000 * (number + 1)]
        client.put(f"{job}/{number}", content=chunk).raise_for_status()
    client.post(job).raise_for_status()
    for name in ("o", "j"):
        place, text = f"{ns}/{name};metadata/content-sha256", {"content-type": "text/plain"}
        assert client.put(place, content=b64(hashlib.sha256(b"other").digest()), headers=text).status_code == 409
        assert client.put(place, content=b64(hashlib.sha256(content).digest()), headers=text).status_code == 204
        assert client.head(f"{ns}/{name}").headers["content-sha256"] == b64(hashlib.sha256(content).digest())
