"""Exports that are done, kept in `exports/` of the data folder for a bounded time.

    exports/KEY/result.json        {"owner": client id, "files": {NAME: PATH}}
    exports/KEY/…                  the files

KEY cannot be guessed; still, only the client that asked for an export gets it. An export is built in `exports/.KEY`
and renamed when it is complete. What a killed server left half done is removed at the next start.
"""

from __future__ import annotations

import re
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from deriva_ml_prefect.embedded.errors import NotFound
from deriva_ml_prefect.embedded.repair import Tell, tell_log

KEPT_SECONDS: Final = 6 * 3600.0
KEY: Final = re.compile(r"[A-Za-z0-9_-]{22}")
RECORD: Final = "result.json"


@dataclass(frozen=True)
class Result:
    """A finished export."""

    key: str
    owner: str
    files: dict[str, Path]
    """Name in the URL → file."""


def open_results(folder: Path, tell: Tell = tell_log) -> Path:
    """The folder of results, made if need be, without what was never finished."""
    exports = folder / "exports"
    exports.mkdir(parents=True, exist_ok=True, mode=0o700)
    for unfinished in exports.glob(".*"):
        shutil.rmtree(unfinished)
        tell(f"removed {unfinished}: the export was not finished when the server ended")
    drop_old(exports)
    return exports


def drop_old(exports: Path) -> None:
    """Remove what has been kept for KEPT_SECONDS."""
    oldest = time.time() - KEPT_SECONDS
    for folder in exports.iterdir():
        if folder.name.startswith("."):
            continue
        try:
            if folder.stat().st_mtime < oldest:
                shutil.rmtree(folder)
        except FileNotFoundError:  # another request removes it
            continue


def begin(exports: Path) -> Path:
    """An empty folder to build an export in; `finish` it, or remove it."""
    folder = exports / f".{secrets.token_urlsafe(16)}"
    folder.mkdir(mode=0o700)
    return folder


def finish(folder: Path, owner: str, files: dict[str, Path]) -> Result:
    """Keep an export: `files` lie in `folder`, which `begin` made. Their age counts from now."""
    key = folder.name.removeprefix(".")
    paths = {name: path.relative_to(folder).as_posix() for name, path in files.items()}
    (folder / RECORD).write_bytes(orjson.dumps({"owner": owner, "files": paths}))
    kept = folder.with_name(key)
    folder.rename(kept)
    return Result(key, owner, {name: kept / path for name, path in paths.items()})


def find_result(exports: Path, key: str) -> Result:
    """Raises NotFound where there is none, or no more."""
    try:
        if not KEY.fullmatch(key):
            raise FileNotFoundError
        record = orjson.loads((exports / key / RECORD).read_bytes())
    except FileNotFoundError:
        raise NotFound(f"There is no export {key[:50]!r}: exports are kept for a few hours; ask for it anew.") from None
    return Result(key, record["owner"], {name: exports / key / path for name, path in record["files"].items()})
