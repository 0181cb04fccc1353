"""The bags that are on this machine: one folder for each dataset at each snapshot, made once, by one process.

    cache/bags/<key>/Dataset_<RID>/     the bag
    cache/bags/<key>/checked.json       size and time of each file when its bytes were last compared
    cache/bags/<key>.lock               held while the bag is made or completed

A bag is made under a temporary name and renamed when its tables are whole and on the disk; what a killed process left
is removed by the next. Files are read-only; one that was changed all the same is noticed by its size or time, and
fetched again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deriva_ml_prefect.bags.layout import LAYOUT_VERSION
from deriva_ml_prefect.config.settings import Settings
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.rid import check_rid

_CHECKED = "checked.json"


def cache_key(address: Address, dataset_rid: str, snapshot: str, exclude_tables: Iterable[str]) -> str:
    """Name of the folder of one bag: dataset and snapshot to be seen, the rest of the question as a digest.

    DerivaMLValidationError for a snapshot that is none: a row of the catalog may hold any text as one.
    """
    check_rid(snapshot, f"The snapshot of a version of dataset {dataset_rid},")
    question = [LAYOUT_VERSION, str(address), address.ml_schema, dataset_rid, snapshot, sorted(set(exclude_tables))]
    digest = hashlib.sha256(json.dumps(question).encode()).hexdigest()[:16]
    return f"{dataset_rid}_{snapshot}_{digest}"


@contextmanager
def locked_entry(settings: Settings, key: str) -> Iterator[Path]:
    """The folder of one bag, which nobody else makes or completes meanwhile. It may not exist yet."""
    root = settings.cache / "bags"
    root.mkdir(parents=True, exist_ok=True)
    with (root / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield root / key


def make_entry(entry: Path, make: Callable[[Path], object]) -> None:
    """Fill a new entry: `make` is given a temporary folder, which gets its name when all is well. Needs the lock."""
    for left in entry.parent.glob(f".{entry.name}.*"):
        shutil.rmtree(left)
    temporary = entry.parent / f".{entry.name}.{uuid.uuid4().hex}"
    temporary.mkdir()
    try:
        make(temporary)
        os.sync()  # once for all files: an entry that has its name is trusted, also after a loss of power
        temporary.replace(entry)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def mark_used(entry: Path) -> None:
    """Remember that the bag was used now. Needs the lock."""
    os.utime(entry)


def list_entries(settings: Settings) -> list[Path]:
    """The folders of all bags that are in the cache."""
    root = settings.cache / "bags"
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def list_torn(settings: Settings) -> list[Path]:
    """Temporary folders in which a bag is being made, or was when its process died."""
    root = settings.cache / "bags"
    return sorted(path for path in root.glob(".*") if path.is_dir()) if root.is_dir() else []


def entry_of_torn(torn: Path) -> str:
    """Key of the bag that a temporary folder was to become."""
    return torn.name.removeprefix(".").rpartition(".")[0]


def note_checked(entry: Path, bag: Path, paths: Iterable[str]) -> None:
    """Remember that the bytes of these files have just been compared with their checksums."""
    known = {path: _stamp(bag / path) for path in paths}
    temporary = entry / f".{_CHECKED}"
    temporary.write_text(json.dumps(known))
    temporary.replace(entry / _CHECKED)


def changed_since_checked(entry: Path, bag: Path, paths: Iterable[str]) -> list[str]:
    """Those of the files that are missing, or have another size or time than when they were compared."""
    try:
        known = json.loads((entry / _CHECKED).read_text())
    except (OSError, ValueError):
        known = {}
    return [path for path in paths if known.get(path) is None or known[path] != _stamp(bag / path)]


def _stamp(file: Path) -> list[int] | None:
    try:
        status = file.lstat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ino]
