"""deriva-py's HatracStore, as it comes, against the embedded DERIVA."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import requests
from deriva.core import HatracStore
from deriva.core.hatrac_store import HatracJobPaused


@pytest.fixture
def store(embedded_server: Any) -> Any:
    host = embedded_server.url.removeprefix("http://")
    return HatracStore("http", host, {"bearer-token": embedded_server.token})


@pytest.fixture
def namespace(store: Any, tmp_path: Path) -> str:
    path = f"/hatrac/store-{tmp_path.name}-{hashlib.md5(str(tmp_path).encode()).hexdigest()[:8]}"
    store.create_namespace(path)
    return path


def test_put_and_get(store: Any, namespace: str, tmp_path: Path) -> None:
    source, target = tmp_path / "in.bin", tmp_path / "out.bin"
    source.write_bytes(bytes(range(256)) * 1000)
    location = store.put_obj(f"{namespace}/o", str(source))
    assert store.put_obj(f"{namespace}/o", str(source)) == location  # the same content is not sent again
    store.get_obj(f"{namespace}/o", destfilename=str(target))
    assert target.read_bytes() == source.read_bytes()
    assert location.startswith(f"{namespace}/o:")
    assert store.content_equals(f"{namespace}/o", str(source))
    source.write_bytes(b"second")
    assert store.put_obj(f"{namespace}/o", str(source)) != location
    assert store.get_obj(location).content == target.read_bytes()
    assert len(store.retrieve_namespace(f"{namespace}")) == 1


def test_empty_file(store: Any, namespace: str, tmp_path: Path) -> None:
    source = tmp_path / "empty"
    source.touch()
    store.put_obj(f"{namespace}/empty", str(source))
    assert store.get_obj(f"{namespace}/empty").content == b""
    store.put_loc(f"{namespace}/empty-job", str(source), chunked=True)
    assert store.get_obj(f"{namespace}/empty-job").content == b""


def test_namespaces(store: Any, namespace: str, tmp_path: Path) -> None:
    store.create_namespace(f"{namespace}/a/b", parents=True)
    assert store.is_valid_namespace(f"{namespace}/a/b")
    assert store.retrieve_namespace(f"{namespace}/a") == [f"{namespace}/a/b"]
    store.delete_namespace(f"{namespace}/a")
    assert not store.is_valid_namespace(f"{namespace}/a")
    with pytest.raises(requests.HTTPError) as told:
        store.create_namespace(f"{namespace}/a")
    assert told.value.response.status_code == 409


def test_chunks(store: Any, namespace: str, tmp_path: Path) -> None:
    source, target = tmp_path / "in.bin", tmp_path / "out.bin"
    content = bytes(range(256)) * 4096 * 3 + b"rest"
    source.write_bytes(content)
    location = store.put_loc(
        f"{namespace}/new/chunked",
        str(source),
        chunked=True,
        chunk_size=1024 * 1024,
        md5=hashlib.md5(content).hexdigest(),
        sha256=hashlib.sha256(content).hexdigest(),
        content_type="application/x-thing",
        content_disposition="filename*=UTF-8''in.bin",
    )
    assert location.startswith(f"{namespace}/new/chunked:")
    store.get_obj(location, destfilename=str(target))
    assert target.read_bytes() == content
    assert store.head(location).headers["content-type"] == "application/x-thing"


def test_resume(store: Any, namespace: str, tmp_path: Path) -> None:
    source = tmp_path / "in.bin"
    content = b"0123456789" * 100_000
    source.write_bytes(content)
    path = f"{namespace}/resumed"
    job = store.create_upload_job(
        path, str(source), md5=hashlib.md5(content).hexdigest(), sha256=None, create_parents=True, chunk_size=300_000
    )
    with pytest.raises(HatracJobPaused):
        store.put_obj_chunked(path, str(source), job, callback=lambda **_: -1, cancel_job_on_error=False)
    assert store.get_upload_job(path, job).json()["chunk-length"] == 300_000
    with pytest.raises(requests.HTTPError):
        store.finalize_upload_job(path, job)
    store.put_obj_chunked(path, str(source), job, start_chunk=1)
    location = store.finalize_upload_job(path, job)
    assert store.get_obj(location).content == content


def test_metadata_and_delete(store: Any, namespace: str, tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("text")
    location = store.put_obj(f"{namespace}/o", str(source))
    assert "content-md5" in store.get(f"{namespace}/o;metadata").json()
    store.put(f"{namespace}/o;metadata/content-type", data="text/x-new", headers={"content-type": "text/plain"})
    assert store.head(location).headers["content-type"] == "text/x-new"
    assert store.rename_obj(f"{namespace}/o", f"{namespace}/renamed").startswith(f"{namespace}/renamed:")
    assert store.get_obj(f"{namespace}/o").text == "text"
    store.set_acl(f"{namespace}/renamed", "update", ["somebody"])
    assert store.get_acl(f"{namespace}/renamed")["update"] == ["somebody"]
    store.del_acl(f"{namespace}/renamed", "update", "somebody")
    assert store.get_acl(f"{namespace}/renamed")["update"] == []
    store.del_obj(f"{namespace}/o")
    with pytest.raises(requests.HTTPError):
        store.get_obj(f"{namespace}/o")
