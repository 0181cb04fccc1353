"""Bags that were damaged or made to do harm are refused before anything of them is fetched."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deriva_ml_prefect.bags.layout import asset_file, check_inside, safe_name
from deriva_ml_prefect.bags.manifest import PayloadFile, read_fetch, read_manifest, write_tag_files
from deriva_ml_prefect.bags.materialize import materialize_bag
from deriva_ml_prefect.bags.read import open_bag
from deriva_ml_prefect.bags.verify import verify_bag
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.config.settings import Settings
from deriva_ml_prefect.exceptions import DerivaMLChecksumError, DerivaMLDataError, DerivaMLException
from deriva_ml_prefect.transfer.client import HttpClient
from deriva_ml_prefect.values.address import Address

DATA = b"the bytes"
MD5 = hashlib.md5(DATA).hexdigest()
TOKEN = "a-very-secret-token"


def catalog_at(home: Path, base_url: str = "http://127.0.0.1:9") -> Catalog:
    client = HttpClient(base_url, credential={"bearer-token": TOKEN}, timeout=5, retries=0)
    host = base_url.partition("://")[2]
    return Catalog(Address(host, "1"), client=client, base_url=base_url, settings=Settings(home=home, retries=0))


def bag_with(folder: Path, path: str, url: str) -> Path:
    bag = folder / "bag"
    (bag / "data").mkdir(parents=True)
    write_tag_files(bag, [PayloadFile(path, len(DATA), MD5, url)], {})
    return bag


@contextmanager
def web_server(answer: tuple[int, dict[str, str], bytes]) -> Iterator[tuple[str, list[dict[str, str]]]]:
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            status, headers, body = answer
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "path",
    ["../x", "data/../../x", "/etc/passwd", "data/assets/../../../x", "data/./x", "data//x", "data", "bagit.txt",
     "data/a\\b", "data/a\x00b", "data/a\x1bb", "~/x", "C:/x", "data/" + "a/" * 1500 + "x", f"data/{'ä' * 128}",
     f"data/{'a' * 256}/x", "data/" + f"{'a' * 200}/" * 30 + "x"],
)  # fmt: skip
def test_paths_that_leave_the_data_folder(tmp_path: Path, path: str) -> None:
    with pytest.raises(DerivaMLDataError, match="nothing of it was fetched"):
        check_inside(path, "fetch.txt")
    bag = bag_with(tmp_path, "data/x", "http://127.0.0.1:9/hatrac/x")
    (bag / "manifest-md5.txt").write_text(f"{MD5}  {path}\n")
    with pytest.raises(DerivaMLDataError):
        materialize_bag(catalog_at(tmp_path), bag)
    fetched = bag_with(tmp_path / "2", "data/x", "http://127.0.0.1:9/hatrac/x")
    (fetched / "fetch.txt").write_text(f"http://127.0.0.1:9/hatrac/x\t9\t{path}\n")
    with pytest.raises(DerivaMLDataError):
        read_fetch(fetched)


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://host/x", "tag:host,2026:x", "/etc/passwd", "http://other.example/hatrac/x",
     "data:,x", "https://user:pw@127.0.0.1:9/hatrac/x", "http://127.0.0.1:9/ermrest/catalog/1", "http://127.0.0.1:9/hatrac/../x",
     ""],
)  # fmt: skip
def test_addresses_that_are_not_fetched(tmp_path: Path, url: str) -> None:
    bag = bag_with(tmp_path, "data/x", url)
    catalog = catalog_at(tmp_path)
    with pytest.raises(DerivaMLDataError):
        materialize_bag(catalog, bag)
    assert catalog.client.requests == 0
    assert not (bag / "data" / "x").exists()


def test_a_redirect_does_not_carry_the_credential_along(tmp_path: Path) -> None:
    with (
        web_server((200, {}, DATA)) as (thief, stolen),
        web_server((302, {"Location": f"{thief}/hatrac/x"}, b"")) as (own, asked),
    ):
        bag = bag_with(tmp_path, "data/x", f"{own}/hatrac/x")
        with pytest.raises(DerivaMLException, match="redirect") as raised:
            materialize_bag(catalog_at(tmp_path, own), bag)
    assert stolen == []
    assert asked[0]["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in str(raised.value)


def test_the_catalogs_own_host_gets_the_credential_and_wrong_bytes_are_refused(tmp_path: Path) -> None:
    with web_server((200, {}, DATA)) as (own, asked):
        bag = bag_with(tmp_path, "data/assets/T/1/x", f"{own}/hatrac/x")
        assert len(materialize_bag(catalog_at(tmp_path, own), bag)) == 1
        assert materialize_bag(catalog_at(tmp_path, own), bag) == []
    assert len(asked) == 1
    assert verify_bag(bag) == 1
    with web_server((200, {}, b"others!!!")) as (own, _):
        other = bag_with(tmp_path / "2", "data/x", f"{own}/hatrac/x")
        with pytest.raises(DerivaMLChecksumError, match="MD5"):
            materialize_bag(catalog_at(tmp_path, own), other)
    assert list((other / "data").iterdir()) == []


def test_links_that_lead_out_are_refused(tmp_path: Path) -> None:
    bag = bag_with(tmp_path, "data/assets/T/x", "http://127.0.0.1:9/hatrac/x")
    outside = tmp_path / "outside"
    outside.mkdir()
    (bag / "data" / "assets").symlink_to(outside)
    with pytest.raises(DerivaMLDataError, match="leads out of the bag"):
        materialize_bag(catalog_at(tmp_path), bag)
    linked = bag_with(tmp_path / "2", "data/x", "http://127.0.0.1:9/hatrac/x")
    (tmp_path / "same").write_bytes(DATA)
    (linked / "data" / "x").symlink_to(tmp_path / "same")
    with pytest.raises(DerivaMLDataError, match="link"):
        verify_bag(linked)


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    bag = bag_with(tmp_path, "data/assets/x", "http://127.0.0.1:9/hatrac/x")
    (bag / "data" / "assets").symlink_to("assets")
    with pytest.raises(DerivaMLDataError, match="or nowhere"):
        materialize_bag(catalog_at(tmp_path), bag)


def test_what_is_in_the_way_of_one_file_does_not_hold_up_the_others(tmp_path: Path) -> None:
    paths = ["data/folder/under/x", "data/folder/y", "data/link/x", "data/whole", "data/z"]
    with web_server((200, {}, DATA)) as (own, _):
        bag = tmp_path / "bag"
        (bag / "data" / "whole").mkdir(parents=True)
        (bag / "data" / "folder").write_text("a file where a folder should be")
        (bag / "data" / "link").symlink_to("missing")
        write_tag_files(bag, [PayloadFile(path, len(DATA), MD5, f"{own}/hatrac/x") for path in paths], {})
        with pytest.raises(DerivaMLDataError, match=r"4 of 5 files .* remove it"):
            materialize_bag(catalog_at(tmp_path, own), bag)
    assert (bag / "data" / "z").read_bytes() == DATA
    assert not [name for name in (bag / "data").iterdir() if name.suffix == ".part"]


@pytest.mark.parametrize("missing", ["manifest-md5.txt", "tagmanifest-md5.txt", "bagit.txt", "bag-info.txt"])
def test_missing_tag_files(tmp_path: Path, missing: str) -> None:
    bag = bag_with(tmp_path, "data/x", "http://127.0.0.1:9/hatrac/x")
    (bag / missing).unlink()
    with pytest.raises(DerivaMLDataError):
        verify_bag(bag, complete=False)


def test_entries_that_cannot_be_verified(tmp_path: Path) -> None:
    bag = bag_with(tmp_path, "data/x", "http://127.0.0.1:9/hatrac/x")
    (bag / "fetch.txt").write_text("http://127.0.0.1:9/hatrac/x\t9\tdata/y\n")
    with pytest.raises(DerivaMLDataError, match="without a checksum"):
        read_fetch(bag)
    (bag / "fetch.txt").write_text("http://127.0.0.1:9/hatrac/x\t-\tdata/x\n")
    with pytest.raises(DerivaMLDataError, match="without a length"):
        read_fetch(bag)
    (bag / "manifest-md5.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DerivaMLDataError, match="not UTF-8"):
        read_manifest(bag)
    with pytest.raises(DerivaMLDataError):
        open_bag(bag)


@pytest.mark.parametrize(
    "name",
    ["../x", "a/b", "..", ".", "", "a\nb", "a\x00b", "x" * 300, "a%0Ab", "naïve 😀.png", "-rf", "a b\tc", "x\u202ey",
     "%2F"],
)  # fmt: skip
def test_names_of_files_stay_one_segment_and_survive_the_tag_files(tmp_path: Path, name: str) -> None:
    segment = safe_name(name) or "empty"
    path = asset_file("Image", "1-ABC", name or "empty")
    assert check_inside(path, "test")[-1] == segment
    assert len(segment.encode()) <= 255
    bag = bag_with(tmp_path, path, "https://host.example/hatrac/x")
    assert [entry.path for entry in read_fetch(bag)] == [path] == list(read_manifest(bag))


def test_ordinary_names_are_kept() -> None:
    for name in ("scan 01.png", "a;b:c?d#e&f*.txt", "100%.csv", "naïve 😀.png"):
        assert safe_name(name) == name
