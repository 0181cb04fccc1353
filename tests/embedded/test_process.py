"""The server as a process: one for a folder, found again, ended in order, repaired after a kill; who may ask it."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.cli.embedded import define
from deriva_ml_prefect.embedded import server

COMMAND = [sys.executable, "-m", "deriva_ml_prefect.embedded"]


def state(data: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((data / "server.json").read_text())
    return content


def restart(own_server: Any) -> dict[str, Any]:
    """Start a server again on the folder of one that is gone, detached; returns its server.json."""
    done = subprocess.run(
        [*COMMAND, "--data", str(own_server.data), "--detach", "--idle-minutes", "1"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    content: dict[str, Any] = json.loads(done.stdout)
    return content


@pytest.fixture
def revived(own_server: Any) -> Any:
    """Ends whatever runs on the folder when the test is over."""
    yield own_server
    server.stop(own_server.data)


def test_files_are_private(own_server: Any) -> None:
    for name in ("server.json", "tokens.json"):
        assert stat.S_IMODE((own_server.data / name).stat().st_mode) == 0o600
    told = {"url", "port", "pid", "started", "data", "stays", "https_url", "https_port", "ca_file", "repaired"}
    assert set(state(own_server.data)) == told


def test_a_second_start_finds_the_first(own_server: Any) -> None:
    done = subprocess.run(
        [*COMMAND, "--data", str(own_server.data)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0
    assert f"already running at {own_server.url}" in done.stdout
    assert restart(own_server)["pid"] == own_server.process.pid


def test_stops_in_order_and_keeps_its_port(revived: Any) -> None:
    os.kill(revived.process.pid, signal.SIGTERM)
    assert revived.process.wait(timeout=20) == 0
    assert state(revived.data)["pid"] is None
    assert server.find(revived.data) is None
    assert restart(revived)["url"] == revived.url


def test_answered_objects_survive_a_kill(revived: Any) -> None:
    with revived.client() as client:
        paths = [client.put(f"/hatrac/o{i}", content=b"x" * i).text.strip() for i in range(20)]
        job = client.post("/hatrac/job;upload", json={"chunk-length": 3, "content-length": 5}).text.strip()
        assert client.put(f"{job}/0", content=b"abc").status_code == 204
    leftover = revived.data / "objects" / "incoming" / "cut-off"
    leftover.write_bytes(b"half")
    unmentioned = revived.data / "objects" / "ZZ"
    unmentioned.mkdir(exist_ok=True)
    (unmentioned / "ZZNOROW").write_bytes(b"renamed, but never committed")
    os.kill(revived.process.pid, signal.SIGKILL)
    revived.process.wait(timeout=20)
    assert server.find(revived.data) is None
    restart(revived)
    with revived.client() as client:
        for i, path in enumerate(paths):
            assert client.get(path).content == b"x" * i
        assert client.put(f"{job}/1", content=b"de").status_code == 204
        assert client.post(job).status_code == 201
        assert client.get("/hatrac/job").content == b"abcde"
    assert not leftover.exists()
    assert not (unmentioned / "ZZNOROW").exists()
    assert "did not stop in order" in (revived.data / "server.log").read_text()


def test_leaves_when_idle(tmp_path: Path) -> None:
    command = [*COMMAND, "--data", str(tmp_path / "d"), "--idle-minutes", "0.01"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0
    assert "leaving" in done.stderr
    assert state(tmp_path / "d")["pid"] is None


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [*COMMAND, "--data", str(tmp_path / "d"), "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "choose another with --port" in done.stderr


def test_start_is_quick(tmp_path: Path) -> None:
    begun = time.monotonic()
    running = server.spawn(tmp_path / "d", idle_minutes=1)
    seconds = time.monotonic() - begun
    server.stop(tmp_path / "d")
    assert running.pid is not None
    assert seconds < 3, f"{seconds:.2f} s"


def run_command(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    define(parser)
    asked = parser.parse_args([*arguments])
    status: int = asked.act(asked)
    return status


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DERIVA_ML_HOME", str(tmp_path))
    for command in ("url", "token", "status"):
        assert run_command(command) == 1
    assert "embedded start" in capsys.readouterr().err
    try:
        assert run_command("start") == 0
        assert server.find(tmp_path / "embedded").stays is True  # type: ignore[union-attr]
        capsys.readouterr()
        assert run_command("url") == 0
        url = capsys.readouterr().out.strip()
        assert run_command("url", "--https") == 0
        assert run_command("url", "--ca-file") == 0
        https_url, ca_file = capsys.readouterr().out.split()
        assert https_url.startswith("https://localhost:")
        assert Path(ca_file).read_text().startswith("# good until")
        assert run_command("token") == 0
        token = capsys.readouterr().out.splitlines()[-1]
        assert run_command("token", "add", "colleague") == 0
        other = capsys.readouterr().out.splitlines()[-1]
        assert run_command("token", "add", "owner") == 1
        assert run_command("status") == 0
        import httpx

        for text, name in ((token, "owner"), (other, "colleague")):
            answer = httpx.get(url + "/authn/session", cookies={"webauthn": text})
            assert answer.json()["client"]["id"] == f"https://embedded.deriva/{name}"
    finally:
        assert run_command("stop") == 0
    assert run_command("status") == 1


def test_sessions(embedded_server: Any) -> None:
    with embedded_server.client() as owner, embedded_server.client("") as nobody:
        document = owner.get("/authn/session").json()
        assert document["client"]["id"] == "https://embedded.deriva/owner"
        assert document["seconds_remaining"] > 0
        assert owner.put("/authn/session").json()["client"] == document["client"]
        assert "webauthn=;" in owner.delete("/authn/session").headers["set-cookie"]
        assert nobody.get("/authn/session").status_code == 404
        assert nobody.get("/authn/session", headers={"authorization": "Bearer wrong"}).status_code == 404
        cookie = nobody.get("/authn/session", headers={"cookie": f"a=b; webauthn={embedded_server.token}; c=d"})
        assert cookie.status_code == 200


def test_other_hosts_and_origins_are_refused(embedded_server: Any) -> None:
    port = embedded_server.url.rsplit(":", 1)[1]
    put = {"content-type": "application/x-hatrac-namespace"}
    with embedded_server.client() as client:
        assert client.get("/hatrac/", headers={"host": "evil.example"}).status_code == 400
        assert client.get("/hatrac/", headers={"host": "127.0.0.1:1"}).status_code == 400
        assert client.get("/hatrac/", headers={"host": f"localhost:{port}"}).status_code == 200
        for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
            assert client.put("/hatrac/from-web", headers={**put, "origin": origin}).status_code == 403
        assert client.get("/hatrac/from-web").status_code == 404
        assert client.put("/hatrac/from-us", headers={**put, "origin": embedded_server.url}).status_code == 201


def test_long_requests_are_refused(embedded_server: Any) -> None:
    with embedded_server.client() as client:
        assert client.get("/hatrac/" + "a" * 60_000).status_code == 404
        plain = http.client.HTTPConnection(embedded_server.url.removeprefix("http://"), timeout=20)
        plain.request("GET", "/hatrac/" + "a" * 70_000)
        assert plain.getresponse().status == 414
        plain.close()
        assert client.get("/hatrac/", headers={"x-long": "a" * 70_000}).status_code == 400
        assert client.get("/nothing").status_code == 404


def raw(server_url: str) -> socket.socket:
    host, port = server_url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    return connection


def memory_of(pid: int) -> int:
    """Bytes that a process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_slow_clients_hold_nobody_up(embedded_server: Any) -> None:
    """60 clients that do not read, 60 that do not send their small body and 60 that do not send their large one.

    A small request is still answered at once.
    """
    host = embedded_server.url.removeprefix("http://")
    head = f"Host: {host}\r\nAuthorization: Bearer {embedded_server.token}\r\n"
    with embedded_server.client() as client:
        assert client.put("/hatrac/big", content=bytes(32 * 1024 * 1024)).status_code in (201, 409)
        # what it has used before, for other tests, stays with it
        before = memory_of(embedded_server.process.pid)
        stalled = []
        for i in range(60):
            reader, sender = raw(embedded_server.url), raw(embedded_server.url)
            reader.sendall(f"GET /hatrac/big HTTP/1.1\r\n{head}\r\n".encode())
            sender.sendall(f"PUT /hatrac/slow{i} HTTP/1.1\r\n{head}Content-Length: 1000\r\n\r\nabc".encode())
            large = raw(embedded_server.url)
            large.sendall(f"PUT /hatrac/large{i} HTTP/1.1\r\n{head}Content-Length: 1000000\r\n\r\nabc".encode())
            stalled += [reader, sender, large]
        time.sleep(0.5)
        begun = time.monotonic()
        assert client.get("/authn/session").status_code == 200
        assert client.get("/hatrac/big", headers={"range": "bytes=0-9"}).content == bytes(10)
        assert time.monotonic() - begun < 2
        # the 60 readers alone asked for 1,920 MiB
        assert memory_of(embedded_server.process.pid) - before < 350 * 1024 * 1024
        for connection in stalled:
            connection.close()


def test_a_signal_before_it_serves_ends_it_in_order(tmp_path: Path) -> None:
    """SIGTERM at the very moment at which server.json says that it is ready."""
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from deriva_ml_prefect.embedded import server\n"
        "write = server.write_state\n"
        "def write_and_end(folder, state):\n"
        "    write(folder, state)\n"
        "    if state.pid: os.kill(state.pid, signal.SIGTERM)\n"
        "server.write_state = write_and_end\n"
        "sys.exit(server.serve(Path(sys.argv[1])))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "d")], timeout=30, check=False)
    assert done.returncode == 0
    assert state(tmp_path / "d")["pid"] is None


def open_files(pid: int) -> list[str]:
    found = []
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found.append(str(handle.readlink()))
    return found


def test_what_is_too_large_for_memory_lies_in_the_data_folder(own_server: Any) -> None:
    host = own_server.url.removeprefix("http://")
    head = f"Host: {host}\r\nAuthorization: Bearer {own_server.token}\r\nContent-Type: text/csv\r\n"
    with raw(own_server.url) as sender, own_server.client() as client:
        catalog = client.post("/ermrest/catalog").json()["id"]
        path = f"/ermrest/catalog/{catalog}/entity/public:ERMrest_RID_Lease"
        sender.sendall(f"POST {path} HTTP/1.1\r\n{head}Content-Length: 9000000\r\n\r\n".encode() + b"x" * 8_000_000)
        deadline = time.monotonic() + 20
        scratch = str(own_server.data / "scratch")
        while not any(path.startswith(scratch) for path in open_files(own_server.process.pid)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert [*Path(scratch).iterdir()] == []


def test_stops_at_once_while_a_body_is_on_its_way(own_server: Any) -> None:
    host = own_server.url.removeprefix("http://")
    head = f"Host: {host}\r\nAuthorization: Bearer {own_server.token}\r\n"
    with raw(own_server.url) as sender, own_server.client() as client:
        sender.sendall(f"PUT /hatrac/half HTTP/1.1\r\n{head}Content-Length: 1000000\r\n\r\nabc".encode())
        assert client.get("/authn/session").status_code == 200
        begun = time.monotonic()
        own_server.process.send_signal(signal.SIGTERM)
        assert own_server.process.wait(timeout=60) == 0
    assert time.monotonic() - begun < 15


def test_many_at_once(embedded_server: Any) -> None:
    failures: list[str] = []

    def work(number: int) -> None:
        with embedded_server.client() as client:
            for i in range(15):
                path = f"/hatrac/many-{number}-{i}"
                content = f"{number} {i}".encode() * 1000
                put = client.put(path, content=content)
                if put.status_code != 201 or client.get(path).content != content:
                    failures.append(f"{path}: {put.status_code}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
