"""Where things lie in a data folder, for those who look at it without being its server."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from .database import connect

REGISTRY = "registry.db"
HATRAC = "hatrac.db"
EXPORTS = "exports"


def catalogs_of(folder: Path) -> list[tuple[int, str]]:
    """Serial and id of each catalog that is not deleted."""
    if not (folder / REGISTRY).exists():
        return []
    with closing(connect(folder / REGISTRY, (), must_exist=True)) as connection:
        return connection.execute(
            "SELECT serial, id FROM catalog WHERE deleted IS NULL AND NOT is_alias ORDER BY serial"
        ).fetchall()


def catalog_path(folder: Path, serial: int) -> Path:
    return folder / "catalogs" / f"{serial}.db"


def content_path(folder: Path, content: str) -> Path:
    return folder / "objects" / content[:2] / content
