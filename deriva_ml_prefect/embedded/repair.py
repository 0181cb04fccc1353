"""What is put in order when a data folder is opened whose server did not stop in order, and said in its log.

A commit is in the write-ahead log of its SQLite file before it is answered, and in the file itself only some time
later. After a kill or a loss of power the logs hold transactions that were committed, perhaps followed by pages of one
that was not. SQLite tells the two apart by itself; here both are counted, and what was committed is moved to the file,
so that the folder is whole without its logs.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from .database import connect
from .layout import HATRAC, REGISTRY, catalog_path, catalogs_of

Tell = Callable[[str], None]
"""Takes one sentence about what was done."""
LOG = logging.getLogger("deriva_ml_prefect.embedded")
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}")
"""Names of the files that `files.write_private` writes before it renames them."""
_HEADER = 32
_FRAME_HEADER = 24


def tell_log(sentence: str) -> None:
    LOG.warning("repair: %s", sentence)


def recover_folder(folder: Path, tell: Tell) -> None:
    """Put the SQLite files and the small files of a data folder in order; say what was done, a sentence each."""
    for place in (folder, folder / "tls"):
        for left in place.glob(".*"):
            if _TEMPORARY.fullmatch(left.name) and left.is_file():
                left.unlink()
                tell(f"removed {left}: it was being written when the server ended")
    if recover_database(folder / REGISTRY, "the list of catalogs", tell):
        for serial, identity in catalogs_of(folder):
            recover_database(catalog_path(folder, serial), f"catalog {identity}", tell)
    recover_database(folder / HATRAC, "the names of objects", tell)


def recover_database(path: Path, what: str, tell: Tell) -> bool:
    """Move what was committed from a file's log into the file. One that cannot be read is told, left, and False."""
    log = path.with_name(path.name + "-wal")
    if not path.exists() or not log.exists() or log.stat().st_size == 0:
        return True
    ends = read_frames(log)
    try:
        with closing(connect(path, (), must_exist=True)) as connection:
            _, kept, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.DatabaseError as error:
        tell(f"{what}: its file {path} cannot be opened ({error}); `check` says more, `restore` brings a backup back")
        return False
    committed, lost = sum(ends[:kept]), len(ends) - kept
    if committed:
        tell(f"{what}: {_count(committed, 'committed transaction')} moved from its log into its file")
    if lost > 0:
        tell(f"{what}: a transaction that was not committed is undone ({_count(lost, 'page')} of it were written)")
    return True


def read_frames(log: Path) -> list[bool]:
    """For each frame of a write-ahead log that was written since it was begun: whether it ends a transaction.

    https://www.sqlite.org/fileformat2.html#walformat. Checksums are SQLite's to verify.
    """
    ends: list[bool] = []
    with log.open("rb") as source:
        header = source.read(_HEADER)
        page, salts = int.from_bytes(header[8:12], "big"), header[16:24]
        while len(frame := source.read(_FRAME_HEADER)) == _FRAME_HEADER and frame[8:16] == salts:
            ends.append(frame[4:8] != bytes(4))
            source.seek(page, 1)
    return ends


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
