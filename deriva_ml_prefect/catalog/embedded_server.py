"""Finding the embedded DERIVA of a data folder, and starting it as a process of its own where it does not run."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deriva_ml_prefect.exceptions import DerivaMLException, DerivaMLOfflineError
from deriva_ml_prefect.transfer.client import HttpClient

START_SECONDS = 25.0
_PROBE_SECONDS = 5.0
_LOG_LINES = 8


@dataclass(frozen=True)
class EmbeddedServer:
    url: str
    token: str = field(repr=False)


def find_or_start(data: Path) -> EmbeddedServer:
    """The server of the data folder, running and ready; DerivaMLOfflineError with its last words if it cannot start."""
    return find_running(data) or _start(data)


def find_running(data: Path) -> EmbeddedServer | None:
    """The server that answers to this folder's own token, or None."""
    found = _read(data / "server.json")
    token = stored_token(data)
    url = found.get("url")
    if not url or not token or found.get("pid") is None or not _is_locked(data / "server.lock"):
        return None
    server = EmbeddedServer(str(url), token)
    client = HttpClient(server.url, credential={"bearer-token": server.token}, timeout=_PROBE_SECONDS, retries=0)
    try:
        client.request("GET", "/authn/session", want_json=True)
    except DerivaMLException:
        # refused, another program on that port, or a server of another folder: it is not this one
        return None
    finally:
        client.close()
    return server


def _is_locked(path: Path) -> bool:
    """Whether a server holds the folder's lock. Without one, its port may be another program's, which gets no token."""
    try:
        with path.open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except OSError:
        # there is no lock file, or none can be had on this file system: no server, or the server itself could not run
        return False


def stored_token(data: Path) -> str | None:
    """The token of the folder's owner, as its file has it at this moment."""
    token = _read(data / "tokens.json").get("owner")
    return str(token) if token else None


def _start(data: Path) -> EmbeddedServer:
    command = [sys.executable, "-m", "deriva_ml_prefect.embedded", "--data", str(data), "--detach"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=START_SECONDS, check=False
        )
        said = done.stderr.strip()
    except subprocess.TimeoutExpired:
        said = f"it was not ready within {START_SECONDS:.0f} seconds"
    server = find_running(data)
    if server is None:
        raise DerivaMLOfflineError(
            f"The embedded DERIVA in {data} does not start: {said or 'it said nothing'}. {_last_lines(data)}"
            "Look at server.log there, then repeat."
        )
    return server


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        # absent, not to be read, being rewritten, or torn by a kill: the server writes it anew when it starts, or says
        # why it cannot
        return {}
    return content if isinstance(content, dict) else {}


def _last_lines(data: Path) -> str:
    try:
        lines = (data / "server.log").read_text(errors="replace").splitlines()[-_LOG_LINES:]
    except OSError:
        return ""
    return "Its log ends:\n" + "\n".join(lines) + "\n" if lines else ""
