"""A Prefect server, and a worker, each a process of its own with a home of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS_TO_START = 120


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass(frozen=True)
class PrefectServer:
    """A running server."""

    home: Path
    port: int

    @property
    def url(self) -> str:
        """Where people find it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a process that uses it; nothing of this process's own Prefect."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        return {
            **kept,
            "PREFECT_HOME": str(self.home),
            "PREFECT_API_URL": f"{self.url}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_RUNNER_POLL_FREQUENCY": "1",
            "DO_NOT_TRACK": "1",
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer of the API; POST when there is a body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api{path}", data, {"Content-Type": "application/json"})
        for _ in range(20):
            try:
                # on SQLite the server stands still for a minute at times (docs/deployments.md)
                with urllib.request.urlopen(request, timeout=90) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as e:
                # its SQLite is busy, and nothing was done: Prefect's own client asks again as well
                if e.code != 503:
                    raise
                time.sleep(0.5)
        raise AssertionError(f"{path} was answered 503 for ten seconds")

    def flow_runs(self, **chosen: Any) -> list[dict[str, Any]]:
        """Flow runs that fit a filter, the newest first."""
        found: list[dict[str, Any]] = self.ask("/flow_runs/filter", {"flow_runs": chosen, "sort": "START_TIME_DESC"})
        return found

    def artifacts(self, flow_run_id: str) -> dict[str, dict[str, Any]]:
        """Artifacts of a flow run by the first word of their key."""
        found = self.ask("/artifacts/filter", {"flow_runs": {"id": {"any_": [flow_run_id]}}})
        # results of tasks are kept as artifacts without a key
        return {artifact["key"].partition("-")[0]: artifact for artifact in found if artifact["key"]}


@contextlib.contextmanager
def prefect_process(home: Path, port: int | None = None, **changed: str) -> Iterator[PrefectServer]:
    """Start a server, wait until it answers, and end it after the block."""
    server = PrefectServer(home, port or free_port())
    command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(server.port)]
    with contextlib.ExitStack() as started:
        with shared_database(home / "prefect.db"):
            running = background(command, {**server.environment, **changed}, home / "server.log")
            process = started.enter_context(running)
            wait_until(lambda: _answers(server, process), f"the Prefect server, see {home / 'server.log'}")
        yield server


@contextlib.contextmanager
def shared_database(path: Path) -> Iterator[None]:
    """For a server that begins in the block: an empty database that another one of this test run has made.

    To make one takes as long as to start the server. Where there is none yet, what it makes is kept for others.
    """
    runs = [parent for parent in path.absolute().parents if parent.name.startswith("pytest-")]
    kept = runs[0] / "prefect.db" if runs and not runs[0].name.startswith("pytest-of-") else None
    fresh = not path.exists()
    if fresh and kept is not None and kept.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(kept, path)
    yield
    if fresh and kept is not None and not kept.exists() and path.exists():
        made = kept.with_name(f"{kept.name}.{os.getpid()}")
        source, copy = sqlite3.connect(path), sqlite3.connect(made)
        with contextlib.closing(source), contextlib.closing(copy):
            source.backup(copy)
        made.replace(kept)


@contextlib.contextmanager
def worker_process(server: PrefectServer, pool: str, folder: Path, **changed: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a worker in a folder, wait until it has started, and end it after the block."""
    log = server.home / f"worker-{pool}.log"
    command = ["prefect", "worker", "start", "--pool", pool, "--type", "process"]
    with background(command, {**server.environment, **changed}, log, folder, patience=3) as process:
        wait_until(lambda: "started" in log.read_text(), f"the worker, see {log}")
        yield process
        # one that is asked to end while a run of its comes to its own end never does
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not _children(process.pid), "the ends of its runs", 10)


@contextlib.contextmanager
def background(
    command: list[str],
    environment: Mapping[str, str],
    log: Path,
    folder: Path | None = None,
    *,
    patience: float = 30,
) -> Iterator[subprocess.Popen[bytes]]:
    """A command as a process of its own, ended in good order after the block, or by force `patience` seconds later."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        process = subprocess.Popen(command, env=dict(environment), cwd=folder, stdout=stream, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _children(pid: int) -> list[int]:
    """Processes that a process has begun and that have not ended."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text().split()] if listed.exists() else []


def output_of(command: list[str], environment: Mapping[str, str], folder: Path) -> str:
    """What a command prints that ends well within two minutes."""
    done = subprocess.run(
        command, env=dict(environment), cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_until(condition: Callable[[], Any], what: str, seconds: float = SECONDS_TO_START) -> Any:
    """What the condition gives when it is true at last; AssertionError names what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.2)


def _answers(server: PrefectServer, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, (server.home / "server.log").read_text()[-2000:]
    try:
        return bool(server.ask("/health"))
    except OSError:
        return False


def end_temporary_servers(home: Path) -> None:
    """End the temporary servers whose home is in this folder: one is left when the run that started it is killed."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            surroundings = (entry / "environ").read_bytes().split(b"\0")
            said = dict(pair.partition(b"=")[::2] for pair in surroundings)
            where = said.get(b"PREFECT_HOME", b"").decode(errors="replace")
            if b"PREFECT__SERVER_EPHEMERAL" in said and Path(where).is_relative_to(home):
                os.kill(int(entry.name), signal.SIGTERM)
