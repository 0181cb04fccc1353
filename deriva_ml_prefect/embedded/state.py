"""The file `server.json` of a data folder: where its server is. `server` says what the fields mean."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from .files import write_private

FILE = "server.json"
HOST = "127.0.0.1"


class ServerError(Exception):
    """The server cannot be started, found or stopped; the message says what to do."""


@dataclass(frozen=True)
class Running:
    """What server.json says."""

    url: str
    port: int
    pid: int | None
    started: str | None
    data: str
    stays: bool = False
    https_url: str | None = None
    https_port: int | None = None
    ca_file: str | None = None
    repaired: list[str] = field(default_factory=list)


def read_state(folder: Path) -> Running | None:
    """What server.json says, running or not; None if this data folder never had a server."""
    try:
        document = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return Running(**{known.name: document[known.name] for known in fields(Running) if known.name in document})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ServerError(f"{folder / FILE} is damaged ({error}). Remove it; the next start writes it anew.") from error


def write_state(folder: Path, state: Running) -> None:
    write_private(folder / FILE, json.dumps(asdict(state), indent=1) + "\n")
