"""A copy of a data folder, good as of one moment of each file, and a data folder made from it.

May run while the server does: databases are copied by SQLite's own backup. Catalogs come first and objects last, so
that every object that a copied row names is there; an object that was deleted in between makes the objects' part begin
again. The copy holds tokens and keys, and is private (0700). The ports are not in it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import tarfile
import zlib
from contextlib import closing
from pathlib import Path

from .database import connect
from .files import sync_folder
from .layout import HATRAC, REGISTRY, catalog_path, catalogs_of, content_path
from .state import ServerError

ARCHIVES = (".tar", ".tar.gz", ".tgz")
PLAIN = ("tokens.json", "sessions.json", "tls/ca.pem", "tls/ca.key", "tls/server.pem")
TRIES = 10
CHECKED_AT_ONCE = 1 << 20


def back_up(folder: Path, target: Path) -> None:
    """Copy a data folder into a new folder, or into an archive if the name ends in .tar, .tar.gz or .tgz.

    Raises ServerError when there is nothing to copy or something in the way; then no part of a copy stays.
    """
    if not (folder / "tokens.json").exists():
        raise ServerError(f"There is no embedded DERIVA in {folder}: nothing to back up.")
    if target.exists() and (target.is_file() or any(target.iterdir())):
        raise ServerError(f"{target} exists already: name another.")
    target.parent.mkdir(parents=True, exist_ok=True)
    growing = target.parent / f".{target.name}.{secrets.token_hex(4)}"
    packed = growing.with_name(growing.name + ".packed")
    growing.mkdir(mode=0o700)
    try:
        _copy(folder, growing)
        if target.name.endswith(ARCHIVES):
            handle = os.open(packed, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "r+b") as out:
                with tarfile.open(fileobj=out, mode="w" if target.name.endswith(".tar") else "w:gz") as archive:
                    archive.add(growing, ".")
                out.flush()
                os.fsync(out.fileno())
            packed.rename(target)
        else:
            growing.rename(target)
        sync_folder(target.parent)
    finally:
        packed.unlink(missing_ok=True)
        shutil.rmtree(growing, ignore_errors=True)


def restore(source: Path, folder: Path) -> None:
    """Make a data folder from a copy. Raises ServerError when the folder holds anything already, or this is no copy."""
    if folder.exists() and any(folder.iterdir()):
        raise ServerError(
            f"{folder} is not empty: a backup is restored into a new data folder only. Move it away first."
        )
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    growing = folder.parent / f".{folder.name}.{secrets.token_hex(4)}"
    growing.mkdir(mode=0o700)
    try:
        if source.is_dir():
            shutil.copytree(source, growing, dirs_exist_ok=True)
        else:
            with tarfile.open(source) as archive:
                archive.extractall(growing, filter="data")
                # the archive ends before the compressed stream does, whose checksum stands at its very end
                while archive.fileobj is not None and archive.fileobj.read(CHECKED_AT_ONCE):
                    pass
        if not (growing / "tokens.json").is_file():
            raise ServerError(f"{source} is no backup of an embedded DERIVA.")
        for path in growing.rglob("*"):
            _sync(path)
        growing.chmod(0o700)
        growing.rename(folder)
        sync_folder(folder.parent)
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError) as error:
        raise ServerError(f"{source} cannot be restored: {error}") from error
    finally:
        shutil.rmtree(growing, ignore_errors=True)


def _copy(folder: Path, target: Path) -> None:
    (target / "catalogs").mkdir()
    (target / "objects" / "incoming").mkdir(parents=True)
    if (folder / REGISTRY).exists():
        _copy_catalogs(folder, target)
    if (folder / HATRAC).exists():
        _copy_objects(folder, target)
    for name in PLAIN:
        if (folder / name).exists():
            (target / name).parent.mkdir(mode=0o700, exist_ok=True)
            shutil.copy2(folder / name, target / name)
    for path in (*target.rglob("*"), target):
        _sync(path)


def _copy_catalogs(folder: Path, target: Path) -> None:
    """The registry, then each catalog that is in it; again if one was deleted in between."""
    for _ in range(TRIES):
        _copy_database(folder / REGISTRY, target / REGISTRY)
        try:
            for serial, _ in catalogs_of(target):
                _copy_database(catalog_path(folder, serial), catalog_path(target, serial))
        except sqlite3.OperationalError:
            continue
        return
    raise ServerError(f"A catalog in {folder} cannot be read; `check` says which.")


def _copy_objects(folder: Path, target: Path) -> None:
    mentioned = "SELECT content FROM version WHERE content IS NOT NULL UNION SELECT job FROM job"
    for _ in range(TRIES):
        _copy_database(folder / HATRAC, target / HATRAC)
        with closing(connect(target / HATRAC, (), must_exist=True)) as connection:
            contents = [row[0] for row in connection.execute(mentioned)]
        try:
            for content in contents:
                place = content_path(target, content)
                place.parent.mkdir(exist_ok=True)
                shutil.copyfile(content_path(folder, content), place)
        except FileNotFoundError:
            continue
        return
    raise ServerError(f"An object in {folder} is missing; `check` says which.")


def _copy_database(source: Path, target: Path) -> None:
    with (
        closing(connect(source, (), must_exist=True)) as reader,
        closing(sqlite3.connect(target, isolation_level=None)) as writer,
    ):
        reader.backup(writer)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
