"""Where a credential could go astray: proxies, redirects, addresses that hold one. Nobody but its host is told it."""

from __future__ import annotations

import json
import sys
import threading
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deriva_ml_prefect.blocks import DerivaCredentials
from deriva_ml_prefect.catalog import connection
from deriva_ml_prefect.exceptions import DerivaMLAuthenticationError, DerivaMLException, DerivaMLValidationError
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.provenance import notebook
from tests.integration.hostile.conftest import Begin, Refused


class Listener:
    """A web server that redirects whoever asks to `onwards`, and keeps what was asked."""

    def __init__(self, onwards: str = "") -> None:
        seen = self.seen = list[tuple[str, dict[str, str]]]()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                self.send_response(302 if onwards else 200)
                if onwards:
                    self.send_header("Location", onwards + self.path)
                self.send_header("Content-Length", "2")
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(b"[]")

            do_POST = do_PUT = do_HEAD = do_GET  # noqa: N815 (names of the library)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def thief() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture
def redirecting(thief: Listener) -> Iterator[Listener]:
    # another name of the machine is another host
    listener = Listener(thief.url.replace("127.0.0.1", "localhost"))
    yield listener
    listener.close()


def test_the_embedded_deriva_is_asked_past_every_proxy(
    ml: DerivaML, begin: Begin, thief: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, thief.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(connection, "_open", {})
    with begin() as exe:
        exe.asset_file_path("Image", "near.txt").write_bytes(exe.execution_rid.encode())
    exe.upload_execution_outputs(retry_delay=0)
    assert len(DerivaML("embedded", ml.catalog_id).pathBuilder().schemas["lab"].tables["Image"].entities()) > 0
    assert thief.seen == []


def test_no_redirect_is_told_the_credential(redirecting: Listener, thief: Listener, home: Path) -> None:
    """Neither by our own client nor by deriva-py's."""
    host = redirecting.url.removeprefix("http://")
    for given in ({"bearer-token": "s3cret-token"}, {"cookie": "webauthn=s3cret-cookie"}):
        ml = DerivaML(host, "1", credential=given)
        with pytest.raises(DerivaMLException):
            ml.find_workflows()
        assert thief.seen == []
        ml.catalog.get("/schema")
        (_, headers) = thief.seen.pop()
        assert "s3cret" not in json.dumps(headers)
    assert len(redirecting.seen) >= 4
    assert "s3cret-token" in redirecting.seen[0][1]["authorization"]


@pytest.mark.parametrize("proxy", [False, True], ids=["redirect", "proxy"])
def test_the_token_of_a_notebook_server_stays_on_this_machine(
    proxy: bool, redirecting: Listener, thief: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jupyter = pytest.importorskip("jupyter_core.paths")
    monkeypatch.setattr(jupyter, "jupyter_runtime_dir", lambda: str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["kernel", "-f", "kernel-1234.json"])
    url = redirecting.url
    if proxy:
        monkeypatch.setenv("http_proxy", thief.url)
        monkeypatch.delenv("no_proxy", raising=False)
    (tmp_path / "jpserver-1.json").write_text(json.dumps({"url": f"{url}/", "token": "s3cret", "root_dir": "/"}))
    assert list(notebook._from_servers()) == []
    assert redirecting.seen[0][1]["authorization"] == "token s3cret"
    assert thief.seen == []


@pytest.mark.parametrize(
    "url", ["/hatrac/%2e%2e/authn/session", "/hatrac/x/..%2F..%2Fauthn", "/hatrac/%2E/x", "/hatrac/..%5Cx"]
)
def test_object_whose_address_leaves_the_store(url: str, begin: Begin, refused: Refused) -> None:
    """Another client wrote the row: nothing outside of the store is asked with the credential."""
    with begin() as exe:
        exe.asset_file_path("Image", "honest.txt").write_bytes(exe.execution_rid.encode() + url.encode())
    exe.upload_execution_outputs(retry_delay=0)
    (asset,) = exe.ml.lookup_execution(exe.execution_rid).output_assets
    exe.ml.pathBuilder().schemas["lab"].tables["Image"].update([{"RID": asset.asset_rid, "URL": url}])
    reader = begin()
    with refused(DerivaMLValidationError, "leaves its folder"):
        reader.download_asset(asset.asset_rid, reader.context.folder, update_catalog=False)


@pytest.mark.parametrize("value", ["s3cret\n", "s3cret\r\nX: y", "s3cr\udce9t", "s3cr\0t"])
@pytest.mark.parametrize("name", ["bearer-token", "cookie"])
def test_credential_that_no_header_can_hold_is_not_shown(name: str, value: str, thief: Listener) -> None:
    """As a token read from a file with its line end: http.client would say `Invalid header value b'Bearer …'`."""
    with pytest.raises(DerivaMLAuthenticationError) as raised:
        DerivaML(thief.url.removeprefix("http://"), "1", credential={name: value}).find_workflows()
    assert "s3cr" not in "".join(traceback.format_exception(raised.value))
    assert thief.seen == []


def test_file_of_credentials_that_nests_without_end(tmp_path: Path) -> None:
    path = tmp_path / "credential.json"
    path.write_bytes(b"[" * 100_000)
    with pytest.raises(DerivaMLAuthenticationError, match="cannot be read"):
        DerivaCredentials(credential_file=path).credential_for("h")
