"""Objects as deriva-py keeps them: put and got, in chunks and resumed, versions, namespaces, rights, names."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import requests
from deriva.core import HatracStore
from deriva.core.hatrac_store import HatracJobAborted, HatracJobPaused
from deriva.core.utils import hash_utils

CHUNK = 1000


@pytest.fixture
def space(store: HatracStore, request: pytest.FixtureRequest) -> Any:
    """A namespace of one test."""
    name = f"/hatrac/tour-{abs(hash(request.node.name)) % 10**9}"
    store.create_namespace(name)
    yield name
    store.delete_namespace(name)


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """A file of 10.5 chunks."""
    path = tmp_path / "content.bin"
    path.write_bytes(bytes(n * 7 % 251 for n in range(10 * CHUNK + CHUNK // 2)))
    return path


def status(error: pytest.ExceptionInfo[requests.HTTPError]) -> int:
    return int(error.value.response.status_code)


def test_namespaces(store: HatracStore) -> None:
    store.create_namespace("/hatrac/a-tour/deep/er")
    assert store.is_valid_namespace("/hatrac/a-tour/deep")
    assert not store.is_valid_namespace("/hatrac/a-tour/other")
    assert store.retrieve_namespace("/hatrac/a-tour") == ["/hatrac/a-tour/deep"]
    with pytest.raises(requests.HTTPError) as parentless:
        store.create_namespace("/hatrac/a-tour/no/such/parent", parents=False)
    assert status(parentless) == 404
    store.delete_namespace("/hatrac/a-tour")
    assert not store.is_valid_namespace("/hatrac/a-tour/deep/er")


def test_an_object_there_and_back(store: HatracStore, space: str, content: Path, tmp_path: Path) -> None:
    name = f"{space}/sub/content.bin"
    place = store.put_loc(
        name, str(content), content_type="image/tiff", content_disposition="filename*=UTF-8''scan%20one.tiff"
    )
    assert place.startswith(f"{name}:")
    assert store.content_equals(name, filename=str(content))
    told: list[Any] = []
    got = tmp_path / "got"

    def hear(**words: Any) -> bool:
        told.append(words)
        return True

    answer = store.get_obj(place, destfilename=str(got), chunk_size=CHUNK, callback=hear)
    assert got.read_bytes() == content.read_bytes()
    assert answer.headers["content-type"] == "image/tiff"
    assert answer.headers["content-disposition"] == "filename*=UTF-8''scan%20one.tiff"
    assert told[-1]["file_path"] == str(got)
    assert store.get_obj(name).content == content.read_bytes()
    assert store.put_obj(name, str(content)) == place, "equal content is not sent again"
    assert store.put_obj(name, str(content), force=True) != place
    with pytest.raises(requests.HTTPError) as missing:
        store.get_obj(f"{space}/none")
    assert status(missing) == 404


def test_versions(store: HatracStore, space: str) -> None:
    name = f"{space}/changing"
    first = store.put_obj(name, io.BytesIO(b"one"))
    second = store.put_obj(name, io.BytesIO(b"two"))
    assert first != second
    assert store.get_obj(name).content == b"two"
    assert store.get_obj(first).content == b"one"
    assert store.get(f"{name};versions").json() == [second, first]
    with pytest.raises(Exception, match="multiple versions"):
        store.put_obj(name, io.BytesIO(b"three"), allow_versioning=False)
    store.del_obj(second)
    assert store.get_obj(name).content == b"one"
    store.del_obj(name)
    with pytest.raises(requests.HTTPError) as gone:
        store.get_obj(name)
    assert status(gone) == 404
    with pytest.raises(requests.HTTPError) as taken:
        store.put_obj(name, io.BytesIO(b"again"))
    assert status(taken) == 409


def test_an_empty_object(store: HatracStore, space: str, tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    for chunked in (False, True):
        place = store.put_loc(f"{space}/empty-{chunked}", str(path), chunked=chunked)
        assert store.get_obj(place).content == b""


def test_damage_is_seen(store: HatracStore, space: str, content: Path, tmp_path: Path) -> None:
    wrong = hash_utils.compute_hashes(io.BytesIO(b"other"), hashes=["md5"])["md5"][1]
    with pytest.raises(requests.HTTPError) as told:
        store.put_obj(f"{space}/damaged", str(content), md5=wrong)
    assert status(told) == 400
    with pytest.raises(requests.HTTPError) as late:
        store.put_loc(f"{space}/damaged", str(content), md5=wrong, chunked=True, chunk_size=CHUNK)
    assert status(late) == 409
    with pytest.raises(requests.HTTPError) as nothing:
        store.get_obj(f"{space}/damaged")
    assert status(nothing) == 409, "the name is taken, but no version of it is complete"


def test_in_chunks(store: HatracStore, space: str, content: Path, tmp_path: Path) -> None:
    name = f"{space}/deep/chunked"
    place = store.put_loc(name, str(content), chunked=True, chunk_size=CHUNK, content_type="text/x-tour")
    answer = store.get_obj(place, destfilename=str(tmp_path / "got"))
    assert (tmp_path / "got").read_bytes() == content.read_bytes()
    assert answer.headers["content-type"] == "text/x-tour"
    assert store.put_loc(name, str(content), chunked=True, chunk_size=CHUNK) == place


def test_resumed_where_it_stopped(store: HatracStore, space: str, content: Path) -> None:
    name = f"{space}/resumed"
    md5 = hash_utils.compute_file_hashes(str(content), hashes=["md5"])["md5"][1]
    job = store.create_upload_job(name, str(content), md5, None, chunk_size=CHUNK)
    sent: list[int] = []

    def pause(**words: Any) -> int:
        sent.append(words["completed"])
        return -1 if words["completed"] == 4 else 1

    with pytest.raises(HatracJobPaused):
        store.put_obj_chunked(name, str(content), job, chunk_size=CHUNK, callback=pause, cancel_job_on_error=False)
    with pytest.raises(requests.HTTPError) as early:
        store.finalize_upload_job(name, job)
    assert status(early) == 409
    told = store.get_upload_job(name, job).json()
    assert (told["chunk-length"], told["content-length"]) == (CHUNK, content.stat().st_size)
    store.put_obj_chunked(name, str(content), job, chunk_size=CHUNK, start_chunk=sent[-1])
    place = store.finalize_upload_job(name, job)
    assert store.get_obj(place).content == content.read_bytes()
    with pytest.raises(requests.HTTPError) as over:
        store.get_upload_job(name, job)
    assert status(over) == 404


def test_given_up(store: HatracStore, space: str, content: Path) -> None:
    name = f"{space}/given-up"
    job = store.create_upload_job(name, str(content), None, None, chunk_size=CHUNK)
    with pytest.raises(HatracJobAborted):
        store.put_obj_chunked(name, str(content), job, chunk_size=CHUNK, callback=lambda **words: 0)
    with pytest.raises(requests.HTTPError) as gone:
        store.get_upload_job(name, job)
    assert status(gone) == 404


def test_rights(store: HatracStore, space: str) -> None:
    name = f"{space}/guarded"
    store.put_obj(name, io.BytesIO(b"x"))
    owner = store.get_acl(name, "owner")["owner"]
    store.set_acl(name, "read", ["a", "b"])
    assert store.get_acl(name)["read"] == ["a", "b"]
    store.set_acl(name, "read", ["c"], add_role=True)
    assert sorted(store.get_acl(name, "read")["read"]) == ["a", "b", "c"]
    assert store.get_acl(name, "read", "c") == {"read": ["c"]}
    store.del_acl(name, "read", "a")
    assert sorted(store.get_acl(name)["read"]) == ["b", "c"]
    store.del_acl(name, "read")
    assert store.get_acl(name)["read"] == []
    assert store.get_acl(name)["owner"] == owner
    store.set_acl(space, "subtree-read", ["everybody"])
    assert store.get_acl(space)["subtree-read"] == ["everybody"]


def test_metadata(store: HatracStore, space: str) -> None:
    name = f"{space}/told"
    store.put_obj(name, io.BytesIO(b"abc"), content_type="text/plain")
    told = store.get(f"{name};metadata").json()
    assert told["content-type"] == "text/plain"
    store.put(f"{name};metadata/content-type", data="text/html", headers={"content-type": "text/plain"})
    assert store.head(name).headers["content-type"] == "text/html"
    with pytest.raises(requests.HTTPError) as once:
        store.put(
            f"{name};metadata/content-md5", data="AAAAAAAAAAAAAAAAAAAAAA==", headers={"content-type": "text/plain"}
        )
    assert status(once) == 409
    store.delete(f"{name};metadata/content-type")
    assert store.head(name).headers["content-type"] == "application/octet-stream"


def test_renamed(store: HatracStore, space: str) -> None:
    old, new = f"{space}/old", f"{space}/new"
    store.put_obj(old, io.BytesIO(b"content"))
    place = store.rename_obj(old, new, copy_acls=True)
    assert place.startswith(f"{new}:")
    assert store.get_obj(new).content == b"content"
    assert store.get_obj(old).content == b"content"
    with pytest.raises(requests.HTTPError) as key:
        store.rename_obj(old, f"{space}/newer", versions=["x"])
    assert status(key) == 400, "the server knows source_versions only"


def test_a_range(store: HatracStore, space: str) -> None:
    name = f"{space}/ranged"
    store.put_obj(name, io.BytesIO(b"0123456789"))
    part = store.get(name, headers={"range": "bytes=2-4"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
