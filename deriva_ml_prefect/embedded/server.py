"""The server as a process: one for a data folder, found by everybody else through one file.

`server.json` in the data folder (mode 0600) is written when the server is ready, and again when it stops:

    {"url": "http://127.0.0.1:41001", "port": 41001, "pid": 4711, "started": "2026-11-23T20:51:37+00:00",
     "data": "/absolute/path/of/the/data/folder", "stays": false,
     "https_url": "https://localhost:41002", "https_port": 41002, "ca_file": "/absolute/…/tls/ca.pem",
     "repaired": []}

The ports are chosen once and kept, so object URLs and bookmarks stay good; only if something else has taken one is
another chosen. Both serve the same; a client of the second has to trust the authority in `ca_file` (see
`certificates`). `pid` and `started` are null after an orderly stop. After a kill they are stale: a server is there
if and only if the lock file `server.lock` is held, or, which anybody can try, if `GET url/authn/session` with the
owner's token answers 200. The owner's token is `owner` in `tokens.json` (see `authn`). `stays` says that the
server does not leave when idle; `repaired` has a sentence for each thing that its start put in order, when the server
before was killed. `server.log` holds what the detached process printed.

To use the embedded DERIVA from elsewhere, run `python -m deriva_ml_prefect.embedded --data DIR --detach`: it starts a
server if there is none, waits until it is ready, and prints server.json's content as one line.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from .files import make_folder
from .state import HOST, Running, ServerError, read_state, write_state

if TYPE_CHECKING:
    from .app import Route
    from .login import Logins
    from .repair import Tell

LOCK = "server.lock"
LOG_FILE = "server.log"
SCRATCH = "scratch"
IDLE_MINUTES = 30.0
START_SECONDS = 20.0
STOP_SECONDS = 20.0
LOG = logging.getLogger("deriva_ml_prefect.embedded")


def find(folder: Path) -> Running | None:
    """The server that runs on this data folder now; None if none does."""
    if not (folder / LOCK).exists():
        return None
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        state = read_state(folder)
        return state if state is not None and state.pid is not None and _answers(state.port) else None
    finally:
        os.close(handle)


def spawn(folder: Path, *, port: int | None = None, idle_minutes: float = IDLE_MINUTES) -> Running:
    """The server that runs on this data folder, started as a detached process if there is none yet."""
    found = find(folder)
    if found is not None:
        return found
    make_folder(folder)
    folder = folder.resolve()
    command = [sys.executable, "-m", "deriva_ml_prefect.embedded", "--data", str(folder)]
    command += ["--idle-minutes", str(idle_minutes)]
    command += ["--port", str(port)] if port else []
    with (folder / LOG_FILE).open("ab") as log:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=folder
        )
    deadline = time.monotonic() + START_SECONDS
    pause = 0.01
    while time.monotonic() < deadline:
        found = find(folder)
        if found is not None:
            return found
        if child.poll() not in (None, 0):
            break
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)
    raise ServerError(
        f"The embedded DERIVA did not start on {folder}; the end of {folder / LOG_FILE} says why:\n"
        + _tail(folder / LOG_FILE)
    )


def keep(folder: Path) -> Running:
    """The server on this data folder, started if need be, and from now on not leaving when idle."""
    running = replace(spawn(folder, idle_minutes=0), stays=True)
    write_state(folder, running)
    return running


def stop(folder: Path) -> Running | None:
    """End the server on this data folder; None if none was running. ServerError if it does not leave in time."""
    state = find(folder)
    if state is None or state.pid is None:
        return None
    os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        if find(folder) is None:
            return state
        time.sleep(0.02)
    raise ServerError(f"The server with process id {state.pid} did not stop in {STOP_SECONDS:.0f} s; look at it.")


def serve(folder: Path, *, port: int | None = None, idle_minutes: float = IDLE_MINUTES) -> int:
    """Run the server in this process until SIGTERM, SIGINT, or `idle_minutes` without a request (0: for ever).

    Returns the exit status. A second server on the same folder reports the first and ends with 0.
    """
    make_folder(folder)
    folder = folder.resolve()
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    if not _take_lock(lock):
        os.close(lock)
        found = _wait_for_first(folder)
        print(f"already running at {found.url} (process {found.pid})", flush=True)  # noqa: T201
        return 0
    try:
        return _serve_locked(folder, port, idle_minutes)
    finally:
        os.close(lock)


def _serve_locked(folder: Path, port: int | None, idle_minutes: float) -> int:
    from .app import Activity, App
    from .authn import Identities, ensure_owner
    from .certificates import authority_file, ensure_certificates, server_context
    from .login import Logins
    from .repair import tell_log
    from .serving import Leaving, Listeners, listen, run

    leaving = Leaving()
    earlier = read_state(folder)
    logins = Logins(folder)
    done: list[str] = []

    def tell(sentence: str) -> None:
        done.append(sentence)
        tell_log(sentence)

    routes = _routes(folder, logins, tell)
    if earlier is not None and earlier.pid is not None:
        LOG.warning("The server before (process %s) did not stop in order.", earlier.pid)
        _repair(folder, routes, tell)
        if not done:
            tell_log("nothing was left undone")
    ensure_owner(folder)
    use_scratch(folder / SCRATCH)
    if ensure_certificates(folder):
        LOG.warning("made certificates for HTTPS; clients have to trust %s", authority_file(folder))
    listeners = Listeners(
        listen(port, earlier.port if earlier else None),
        listen(None, earlier.https_port if earlier else None),
        server_context(folder),
    )
    plain, encrypted = (listener.getsockname()[1] for listener in (listeners.plain, listeners.encrypted))
    activity = Activity()
    app = App(routes, Identities(folder, logins), (plain, encrypted), activity)
    state = Running(
        url=f"http://{HOST}:{plain}",
        port=plain,
        pid=os.getpid(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        data=str(folder),
        stays=idle_minutes <= 0,
        https_url=f"https://localhost:{encrypted}",
        https_port=encrypted,
        ca_file=str(authority_file(folder)),
        repaired=done.copy(),
    )
    write_state(folder, state)
    LOG.warning("serving %s at %s and %s (process %s)", folder, state.url, state.https_url, state.pid)
    try:
        asyncio.run(run(app, listeners, folder, activity, idle_minutes * 60, leaving))
    finally:
        app.close()
        write_state(folder, replace(state, pid=None, started=None, stays=False))
        LOG.warning("stopped (process %s)", state.pid)
    return 0


def _repair(folder: Path, routes: tuple[Route, ...], tell: Tell) -> None:
    """Put in order what a killed server left, and open what it had, which looks after the rest; say what was done."""
    from .repair import recover_folder

    recover_folder(folder, tell)
    for route in routes:
        if route.kept_in is not None and (folder / route.kept_in).exists():
            try:
                route.load()
            except (sqlite3.DatabaseError, OSError) as error:  # the other services are of use without this one
                tell(f"{route.prefix} cannot be opened: {error}")


def use_scratch(folder: Path) -> None:
    """Have bodies, answers and sorted rows that are too large for memory lie here: /tmp may be memory, or small."""
    folder.mkdir(exist_ok=True, mode=0o700)
    for left in folder.iterdir():
        left.unlink()
    tempfile.tempdir = os.environ["SQLITE_TMPDIR"] = str(folder)


def _routes(folder: Path, logins: Logins, tell: Tell) -> tuple[Route, ...]:
    from .app import Route
    from .authn import AuthnService
    from .http import Service
    from .layout import EXPORTS, HATRAC, REGISTRY

    @cache
    def ermrest() -> Service:
        from .ermrest.service import ErmrestService

        return ErmrestService(folder, tell)

    @cache
    def hatrac() -> Service:
        from .hatrac.service import open_service

        return open_service(folder, tell)

    @cache
    def export() -> Service:
        from .export.service import open_service

        return open_service(folder, ermrest(), hatrac(), tell)

    return (
        Route("/ermrest", ermrest, sentences=True, kept_in=REGISTRY),
        Route("/hatrac", hatrac, kept_in=HATRAC),
        Route("/authn", lambda: AuthnService(logins)),
        Route("/deriva/export", export, kept_in=EXPORTS),
    )


def _take_lock(handle: int) -> bool:
    """The exclusive lock; readers hold a shared one for an instant, so try for a moment."""
    for _ in range(20):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.01)
    return False


def _wait_for_first(folder: Path) -> Running:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = find(folder)
        if found is not None:
            return found
        time.sleep(0.05)
    raise ServerError(f"Another server holds {folder / LOCK} but does not answer. End that process, then start again.")


def _answers(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=2):
            return True
    except OSError:
        return False


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-12:])
