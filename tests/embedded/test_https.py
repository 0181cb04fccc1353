"""HTTPS: clients that verify certificates are served; keys are private; certificates are renewed in time."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from deriva.core import DerivaServer, ErmrestCatalog, HatracStore

from deriva_ml_prefect.embedded import server
from deriva_ml_prefect.embedded.certificates import RENEW, authority_file, ensure_certificates, server_context


def state(data: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((data / "server.json").read_text())
    return content


@pytest.fixture
def trusted(embedded_server: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """server.json of the running server, whose authority requests trusts, as a user would have it."""
    told = state(embedded_server.data)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", told["ca_file"])
    return told


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_a_verifying_client_is_served(embedded_server: Any, trusted: dict[str, Any], name: str) -> None:
    headers = {"authorization": f"Bearer {embedded_server.token}"}
    url = f"https://{name}:{trusted['https_port']}"
    with requests.Session() as session:
        content = os.urandom(3_000_000)
        put = session.put(f"{url}/hatrac/by-{name}", data=content, headers=headers)
        assert put.status_code == 201
        assert session.get(url + put.text.strip(), headers=headers).content == content
        again = requests.get(embedded_server.url + put.text.strip(), headers=headers)
        assert again.content == content
        assert session.get(f"{url}/ermrest/").status_code == 200
        wrong = session.get(f"{url}/ermrest/", headers={"host": "evil.example"})
        assert wrong.status_code == 400


def test_an_unknowing_client_refuses_us(embedded_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(state(embedded_server.data)["https_url"] + "/ermrest/")


def test_plain_requests_to_the_encrypted_port_harm_nothing(embedded_server: Any, trusted: dict[str, Any]) -> None:
    plain = http.client.HTTPConnection("127.0.0.1", trusted["https_port"], timeout=10)
    plain.request("GET", "/ermrest/")
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        plain.getresponse()
    with socket.create_connection(("127.0.0.1", trusted["https_port"])):  # a handshake that never begins
        assert requests.get(trusted["https_url"] + "/ermrest/").status_code == 200


def test_deriva_py_over_https(embedded_server: Any, trusted: dict[str, Any], tmp_path: Path) -> None:
    host = trusted["https_url"].removeprefix("https://")
    credentials = {"bearer-token": embedded_server.token}
    created = DerivaServer("https", host, credentials).create_ermrest_catalog()
    catalog = ErmrestCatalog("https", host, created.catalog_id, credentials)
    assert "public" in catalog.getCatalogModel().schemas
    source, target = tmp_path / "in.bin", tmp_path / "out.bin"
    source.write_bytes(os.urandom(2_500_000))
    store = HatracStore("https", host, credentials)
    location = store.put_loc("/hatrac/tls-chunked", str(source), chunked=True, chunk_size=1_000_000)
    store.get_obj(location, destfilename=str(target))
    assert target.read_bytes() == source.read_bytes()
    catalog.delete_ermrest_catalog(really=True)


def test_the_authority_signs_for_loopback_only(embedded_server: Any, trusted: dict[str, Any]) -> None:
    authority = x509.load_pem_x509_certificate(Path(trusted["ca_file"]).read_bytes())
    limits = authority.extensions.get_extension_for_class(x509.NameConstraints)
    assert limits.critical
    assert limits.value.permitted_subtrees is not None
    assert {str(name.value) for name in limits.value.permitted_subtrees} == {"localhost", "127.0.0.1/32", "::1/128"}
    context = ssl.create_default_context(cafile=trusted["ca_file"])
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with (
        socket.create_connection(("127.0.0.1", trusted["https_port"])) as bare,
        context.wrap_socket(bare, server_hostname="localhost") as wrapped,
    ):
        names = wrapped.getpeercert()["subjectAltName"]  # type: ignore[index]
        assert set(names) == {("DNS", "localhost"), ("IP Address", "127.0.0.1"), ("IP Address", "0:0:0:0:0:0:0:1")}
        assert wrapped.version() in ("TLSv1.2", "TLSv1.3")


def test_files_are_private(embedded_server: Any) -> None:
    folder = embedded_server.data / "tls"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name for path in folder.iterdir()} == {"ca.pem", "ca.key", "server.pem"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())


def test_renewal(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    assert ensure_certificates(tmp_path, now)
    first = {path.name: path.read_bytes() for path in (tmp_path / "tls").iterdir()}
    assert not ensure_certificates(tmp_path, now + timedelta(days=365) - RENEW - timedelta(hours=1))
    assert ensure_certificates(tmp_path, now + timedelta(days=365) - RENEW + timedelta(hours=1))
    second = {path.name: path.read_bytes() for path in (tmp_path / "tls").iterdir()}
    assert second["server.pem"] != first["server.pem"]
    assert second["ca.pem"] == first["ca.pem"]
    assert ensure_certificates(tmp_path, now + timedelta(days=3650) - RENEW + timedelta(hours=1))
    assert authority_file(tmp_path).read_bytes() != first["ca.pem"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ca.key", None),
        *((name, content) for name in ("ca.pem", "server.pem") for content in (None, b"# good until never\n", b"\xff")),
    ],
)
def test_lost_files_are_made_anew(tmp_path: Path, name: str, content: bytes | None) -> None:
    ensure_certificates(tmp_path)
    path = tmp_path / "tls" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert ensure_certificates(tmp_path)
    server_context(tmp_path)
    assert not ensure_certificates(tmp_path)


def test_a_damaged_key_is_told(tmp_path: Path) -> None:
    ensure_certificates(tmp_path)
    (tmp_path / "tls" / "ca.key").write_text("nonsense")
    (tmp_path / "tls" / "server.pem").unlink()
    with pytest.raises(ValueError, match="Remove that folder"):
        ensure_certificates(tmp_path)


def test_ports_and_certificates_stay_over_a_restart(own_server: Any) -> None:
    before = state(own_server.data)
    os.kill(own_server.process.pid, signal.SIGTERM)
    own_server.process.wait(timeout=20)
    authority = Path(before["ca_file"]).read_bytes()
    try:
        running = server.spawn(own_server.data, idle_minutes=1)
        assert (running.https_url, running.ca_file) == (before["https_url"], before["ca_file"])
        assert Path(before["ca_file"]).read_bytes() == authority
    finally:
        server.stop(own_server.data)


def test_starting_does_not_load_what_makes_certificates(tmp_path: Path) -> None:
    """Once they are made, `cryptography` is not imported at all."""
    ensure_certificates(tmp_path)
    code = (
        "import sys; from pathlib import Path; from deriva_ml_prefect.embedded import certificates, serving\n"
        f"folder = Path({str(tmp_path)!r}); certificates.ensure_certificates(folder)\n"
        "certificates.server_context(folder)\n"
        "print('cryptography' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "False"
