"""A browser gets in by a code that works once, within a minute; pages of other sites get nowhere."""

from __future__ import annotations

import argparse
import os
import signal
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest

from deriva_ml_prefect.cli.embedded import define
from deriva_ml_prefect.embedded import server
from deriva_ml_prefect.embedded.login import CODE_SECONDS, MOST_CODES, SESSION_SECONDS, Logins


def log_in(embedded: Any) -> httpx.Client:
    """A client that has, like a browser, nothing but the cookie."""
    with embedded.client() as owner:
        path = owner.post("/authn/code").json()["path"]
    answer = httpx.get(embedded.url + path)
    assert answer.status_code == 303
    return httpx.Client(base_url=embedded.url, timeout=30, cookies=answer.cookies)


def test_a_code_becomes_a_cookie(embedded_server: Any) -> None:
    with embedded_server.client() as owner, httpx.Client(base_url=embedded_server.url) as browser:
        made = owner.post("/authn/code")
        assert made.status_code == 201
        assert made.headers["cache-control"] == "no-store"
        path = made.json()["path"]
        assert browser.head(path).status_code == 405
        answer = browser.get(path + "&next=/ermrest/")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/ermrest/"
        assert answer.headers["referrer-policy"] == "no-referrer"
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("webauthn=")
        for part in ("HttpOnly", "SameSite=Strict", "Path=/"):
            assert part in cookie.split("; ")
        assert embedded_server.token not in cookie
        assert browser.get("/authn/session").json()["client"]["id"] == "https://embedded.deriva/owner"
        namespace = {"content-type": "application/x-hatrac-namespace", "origin": embedded_server.url}
        assert browser.put("/hatrac/from-browser", headers=namespace).status_code == 201


def test_a_code_works_once(embedded_server: Any) -> None:
    with embedded_server.client() as owner, httpx.Client(base_url=embedded_server.url) as other:
        path = owner.post("/authn/code").json()["path"]
        assert other.get(path).status_code == 303
        other.cookies.clear()
        again = other.get(path)
        assert again.status_code == 403
        assert "set-cookie" not in again.headers
        assert other.get("/authn/session").status_code == 404
        assert other.get("/authn/login?code=guessed").status_code == 403
        assert other.get("/authn/login").status_code == 403


def test_only_a_shown_token_makes_codes(embedded_server: Any) -> None:
    with log_in(embedded_server) as browser, embedded_server.client("") as nobody:
        assert nobody.post("/authn/code").status_code == 401
        assert browser.post("/authn/code").status_code == 403
        assert browser.get("/authn/code").status_code == 405
    with embedded_server.client(embedded_server.token2) as second:
        path = second.post("/authn/code").json()["path"]
    with httpx.Client(base_url=embedded_server.url) as browser:
        browser.get(path)
        assert browser.get("/authn/session").json()["client"]["id"] == "https://embedded.deriva/second"


def test_pages_of_other_sites_get_nowhere(embedded_server: Any) -> None:
    with log_in(embedded_server) as browser:
        namespace = {"content-type": "application/x-hatrac-namespace"}
        for origin in ("http://evil.example", "null", "http://127.0.0.1:1", "https://localhost"):
            answer = browser.put("/hatrac/from-evil", headers={**namespace, "origin": origin})
            assert answer.status_code == 403
            answer = browser.post("/ermrest/catalog", headers={"origin": origin})
            assert answer.status_code == 403
            assert (
                "access-control-allow-origin" not in browser.get("/authn/session", headers={"origin": origin}).headers
            )
        assert browser.get("/hatrac/from-evil").status_code == 404
        assert browser.get("/authn/session", headers={"host": "evil.example"}).status_code == 400


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/%0d%0aset-cookie:%20a=b", "/\\evil.example"]
)
def test_it_leads_nowhere_else(embedded_server: Any, target: str) -> None:
    with embedded_server.client() as owner:
        path = owner.post("/authn/code").json()["path"]
        assert owner.get(f"{path}&next={target}").status_code == 400


def test_logging_out_ends_one_browser(embedded_server: Any) -> None:
    with log_in(embedded_server) as first, log_in(embedded_server) as second:
        cookie = first.cookies["webauthn"]
        assert first.delete("/authn/session").status_code == 200
        again = httpx.get(f"{embedded_server.url}/authn/session", headers={"cookie": f"webauthn={cookie}"})
        assert again.status_code == 404
        assert second.get("/authn/session").status_code == 200


def test_a_session_survives_a_restart_and_its_file_is_private(own_server: Any) -> None:
    with log_in(own_server) as browser:
        file = own_server.data / "sessions.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert browser.cookies["webauthn"] not in file.read_text()
        os.kill(own_server.process.pid, signal.SIGKILL)
        own_server.process.wait(timeout=20)
        try:
            server.spawn(own_server.data, idle_minutes=1)
            assert browser.get("/authn/session").status_code == 200
        finally:
            server.stop(own_server.data)


def test_times(tmp_path: Path) -> None:
    now = [1000.0]
    logins = Logins(tmp_path, lambda: now[0])
    code = logins.make_code("me")
    now[0] += CODE_SECONDS
    assert logins.take_code(code) is None
    code = logins.make_code("me")
    now[0] += CODE_SECONDS - 1
    secret = logins.take_code(code)
    assert secret is not None
    assert logins.find(secret) == "me"
    assert Logins(tmp_path, lambda: now[0]).find(secret) == "me"
    now[0] += SESSION_SECONDS
    assert logins.find(secret) is None
    first = logins.make_code("me")
    for _ in range(MOST_CODES):
        logins.make_code("me")
    assert logins.take_code(first) is None


def test_the_command(own_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "embedded").symlink_to(own_server.data)
    monkeypatch.setenv("DERIVA_ML_HOME", str(home))
    parser = argparse.ArgumentParser()
    define(parser)
    asked = parser.parse_args(["url", "--login"])
    assert asked.act(asked) == 0
    url = capsys.readouterr().out.strip()
    assert url.startswith(f"{own_server.url}/authn/login?code=")
    assert httpx.get(url).status_code == 303
    assert httpx.get(url).status_code == 403
