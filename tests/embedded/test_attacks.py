"""What other programs and web pages on this machine try: none gets in, and a stored page gets nowhere."""

from __future__ import annotations

import http.client
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

NAMESPACE = {"content-type": "application/x-hatrac-namespace"}


@pytest.fixture(scope="module")
def catalog(embedded_server: Any) -> str:
    """Path of a catalog with a schema S; there is an object /hatrac/attacked as well."""
    with embedded_server.client() as client:
        path = f"/ermrest/catalog/{client.post('/ermrest/catalog').json()['id']}"
        client.post(f"{path}/schema/S").raise_for_status()
        client.put("/hatrac/attacked", content=b"secret").raise_for_status()
        return path


def requests(catalog: str) -> list[tuple[str, str]]:
    return [
        ("GET", catalog),
        ("DELETE", catalog),
        ("GET", f"{catalog}/schema"),
        ("POST", f"{catalog}/schema/T"),
        ("GET", f"{catalog}/entity/public:ERMrest_Client"),
        ("PUT", f"{catalog}/acl/owner"),
        ("GET", f"{catalog}/history/,"),
        ("POST", "/ermrest/catalog"),
        ("POST", "/ermrest/alias"),
        ("GET", "/hatrac/"),
        ("GET", "/hatrac/attacked"),
        ("GET", "/hatrac/attacked;versions"),
        ("GET", "/hatrac/attacked;acl"),
        ("PUT", "/hatrac/attacked"),
        ("PUT", "/hatrac/other"),
        ("DELETE", "/hatrac/attacked"),
        ("POST", "/hatrac/attacked;upload"),
        ("PUT", "/hatrac/;acl/owner"),
    ]


def ask_all(client: httpx.Client, catalog: str) -> dict[str, int]:
    order = {"chunk-length": 1, "content-length": 1}
    bodies: dict[str, Any] = {
        "/hatrac/attacked;upload": order,
        f"{catalog}/acl/owner": ["*"],
        "/hatrac/;acl/owner": ["*"],
    }
    return {
        f"{method} {path}": client.request(
            method, path, **({"json": bodies[path]} if path in bodies else {})
        ).status_code
        for method, path in requests(catalog)
    }


def test_nobody_and_a_stranger(embedded_server: Any, catalog: str) -> None:
    with embedded_server.client("") as nobody, embedded_server.client(embedded_server.token2) as second:
        found = ask_all(nobody, catalog)
        assert {asked: status for asked, status in found.items() if status != 401} == {}
        assert nobody.post("/deriva/export/bdbag", json={}).status_code == 401
        found = ask_all(second, catalog)
        assert {asked: status for asked, status in found.items() if status != 403} == {}
        wrong = {"authorization": "Bearer wrong", "cookie": f"webauthn={embedded_server.token}"}
        assert nobody.get(catalog, headers=wrong).status_code == 401


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        ["evil.example"],
        ["127.0.0.1"],
        ["localhost.:{port}"],
        ["127.0.0.1:{port}.evil.example"],
        ["127.1:{port}"],
        ["user@127.0.0.1:{port}"],
        ["127.0.0.1:{port}", "evil.example"],
        ["evil.example", "127.0.0.1:{port}"],
    ],
    ids=str,
)
def test_a_name_that_was_made_to_lead_here(embedded_server: Any, hosts: list[str]) -> None:
    where = urlsplit(embedded_server.url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=20)
    connection.putrequest("GET", "/authn/session", skip_host=True)
    for host in hosts:
        connection.putheader("Host", host.format(port=where.port))
    connection.putheader("Authorization", f"Bearer {embedded_server.token}")
    connection.endheaders()
    assert connection.getresponse().status == 400
    connection.close()


@pytest.mark.parametrize("origin", ["null", "", "http://evil.example", "http://127.0.0.1", "http://127.0.0.1:8888"])
def test_a_page_of_another_origin_changes_nothing(embedded_server: Any, catalog: str, origin: str) -> None:
    with embedded_server.client() as client:
        for method, path in requests(catalog):
            if method != "GET":
                answer = client.request(method, path, headers={"origin": origin})
                assert answer.status_code == 403, f"{method} {path}"
        assert client.get("/hatrac/attacked").content == b"secret"
        asked = {"origin": origin, "access-control-request-method": "PUT", "access-control-request-headers": "x"}
        preflight = client.options("/hatrac/attacked", headers=asked)
        assert preflight.status_code >= 400
        for answer in (preflight, client.get("/hatrac/attacked", headers={"origin": origin})):
            assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_a_method_is_what_it_is(embedded_server: Any, catalog: str) -> None:
    with embedded_server.client() as client:
        for name in ("x-http-method-override", "x-method-override"):
            assert client.get("/hatrac/attacked", headers={name: "DELETE"}).content == b"secret"
            assert client.get("/hatrac/attacked?_method=DELETE").content == b"secret"


def test_a_stored_page_runs_as_nobody(embedded_server: Any, catalog: str) -> None:
    with embedded_server.client() as client:
        page = {"content-type": "text/html"}
        client.put("/hatrac/page.html", content=b"<script>fetch('/authn/session')</script>", headers=page)
        for path in ("/hatrac/page.html", f"{catalog}/schema", "/authn/session", "/nothing", "/ermrest/"):
            answer = client.get(path)
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"
            directives = answer.headers["content-security-policy"].split()
            assert directives[0] == "sandbox"
            assert "allow-same-origin" not in directives


def test_a_link_elsewhere_logs_nobody_in(embedded_server: Any) -> None:
    with (
        embedded_server.client(embedded_server.token2) as attacker,
        httpx.Client(base_url=embedded_server.url) as browser,
    ):
        path = attacker.post("/authn/code").json()["path"]
        answer = browser.get(path, headers={"sec-fetch-site": "cross-site"})
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
        assert browser.get(path, headers={"sec-fetch-site": "none"}).status_code == 303
