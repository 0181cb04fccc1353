"""Single assets that are kept for later executions: one folder for each asset and content, used by one at a time.

cache/assets/<RID>_<MD5>/<file name>      the file; the folder's time of change is its last use
cache/assets/<RID>_<MD5>.checked          what the file was when it was hashed (`kept_file`)
cache/assets/<RID>_<MD5>.lock             held while the file is fetched, or the folder deleted
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deriva_ml_prefect.bags.layout import safe_name
from deriva_ml_prefect.config.settings import Settings
from deriva_ml_prefect.journal.disk import make_folder
from deriva_ml_prefect.values.rid import RID

_LOCK = ".lock"


def asset_entry(settings: Settings, rid: RID, md5: str) -> Path:
    """The folder of one asset. It may not exist yet. What a row tells as MD5 may be any text."""
    return settings.cache / "assets" / safe_name(f"{rid}_{md5}")


@contextmanager
def locked_asset(entry: Path) -> Iterator[None]:
    """Within it nobody else fetches the asset, or deletes it."""
    make_folder(entry.parent)
    with entry.with_name(entry.name + _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def mark_used(entry: Path) -> None:
    """Remember that the asset was used now. Needs the lock."""
    os.utime(entry)


def list_assets(settings: Settings) -> list[Path]:
    """The folders of all assets that are kept."""
    root = settings.cache / "assets"
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
