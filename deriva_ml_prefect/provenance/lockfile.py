"""The file that pins the packages of a project."""

from __future__ import annotations

from pathlib import Path

_NAMES = ("uv.lock", "pixi.lock", "poetry.lock", "conda-lock.yml")


def find_lockfile(root: Path | str | None) -> Path | None:
    """`uv.lock`, or the first other lock file, in the code's top folder. Scrub it: its URLs can hold credentials."""
    if root is None:
        return None
    return next((file for name in _NAMES if (file := Path(root) / name).is_file()), None)
