"""Where a catalog is, and that opening it asks nothing."""

from __future__ import annotations

import json
import pickle
import socket
from pathlib import Path

import pytest

from deriva_ml_prefect.catalog import connection
from deriva_ml_prefect.catalog.connection import Catalog, catalog_for, keep_catalog, open_catalog
from deriva_ml_prefect.catalog.embedded_server import find_running
from deriva_ml_prefect.catalog.objects import object_path_of
from deriva_ml_prefect.config.settings import Settings
from deriva_ml_prefect.exceptions import DerivaMLValidationError
from deriva_ml_prefect.values.address import Address

SECRET = {"bearer-token": "s3cret-t0ken"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DERIVA_ML_HOME", str(tmp_path))
    return tmp_path


def opened(host: str, home: Path) -> Catalog:
    return open_catalog(Address(host, "7"), settings=Settings(home=home), credential=SECRET)


@pytest.mark.parametrize(
    ("host", "scheme", "url"),
    [
        ("www.example.org", None, "https://www.example.org"),
        ("www.example.org:8080", None, "https://www.example.org:8080"),
        ("localhost", None, "https://localhost"),
        ("localhost:8080", None, "http://localhost:8080"),
        ("127.0.0.1:8080", None, "http://127.0.0.1:8080"),
        ("localhost:8080", "https", "https://localhost:8080"),
        ("www.example.org", "http", "http://www.example.org"),
    ],
)
def test_scheme(home: Path, monkeypatch: pytest.MonkeyPatch, host: str, scheme: str | None, url: str) -> None:
    if scheme:
        monkeypatch.setenv("DERIVA_ML_SCHEME", scheme)
    catalog = opened(host, home)
    assert catalog.base_url == url
    assert catalog.client.requests == 0


def test_paths(home: Path) -> None:
    catalog = opened("www.example.org", home)
    assert catalog.path("entity/S:T") == "/ermrest/catalog/7/entity/S:T"
    assert catalog.path("schema", snapshot="2PX-WS30") == "/ermrest/catalog/7@2PX-WS30/schema"
    odd = open_catalog(Address("www.example.org", "a/../b"), settings=Settings(home=home), credential=SECRET)
    assert odd.path("schema") == "/ermrest/catalog/a%2F..%2Fb/schema"


def test_a_handle_is_kept_for_a_process(home: Path) -> None:
    address = Address("www.example.org", "7")
    catalog = opened("www.example.org", home)
    keep_catalog(catalog)
    assert catalog_for(address) is catalog
    assert catalog_for(pickle.loads(pickle.dumps(address))) is catalog


def test_the_secret_is_in_no_text(home: Path) -> None:
    catalog = opened("www.example.org", home)
    assert "s3cret" not in repr(catalog)
    assert "s3cret" not in repr(catalog.client)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"url": "http://127.0.0.1:9", "pid": 1}'])
def test_a_stale_server_file_finds_no_server(tmp_path: Path, content: str) -> None:
    assert find_running(tmp_path) is None
    (tmp_path / "server.json").write_text(content)
    (tmp_path / "tokens.json").write_text(json.dumps({"owner": "x"}))
    assert find_running(tmp_path) is None


def test_a_program_on_the_port_of_a_server_that_is_gone_gets_no_token(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        (tmp_path / "server.json").write_text(json.dumps({"url": url, "pid": 1}))
        (tmp_path / "tokens.json").write_text(json.dumps({"owner": "x"}))
        (tmp_path / "server.lock").touch()
        assert find_running(tmp_path) is None
        listener.settimeout(0.2)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_object_paths(home: Path) -> None:
    catalog = opened("www.example.org", home)
    for url in ("/hatrac/T/a.b:V1", "https://www.example.org/hatrac/T/a.b:V1"):
        assert object_path_of(catalog, url) == "/hatrac/T/a.b:V1"
    for url in ("https://www.example.com/hatrac/x", "/hatrac/x?a=b", "/hatrac/x#y", "/hatrac/é", "hatrac/x"):
        with pytest.raises(DerivaMLValidationError):
            object_path_of(catalog, url)


def test_given_credentials_need_no_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> dict[str, str]:
        raise AssertionError("the credential file was asked")

    monkeypatch.setattr(connection, "stored_credential", fail)
    assert opened("www.example.org", home).client.requests == 0
