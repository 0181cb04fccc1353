"""Whether a bag is whole: every listed file there with its checksum, no other file, tag files untouched."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from deriva_ml_prefect.bags.layout import Folders
from deriva_ml_prefect.bags.manifest import BAGIT, read_fetch, read_manifest, read_tag_manifest
from deriva_ml_prefect.exceptions import DerivaMLChecksumError, DerivaMLDataError
from deriva_ml_prefect.values.sizes import format_count


def verify_bag(bag: Path, *, complete: bool = True) -> int:
    """Compare every file with its checksum; returns the number of payload files that are there.

    DerivaMLChecksumError names a file whose bytes are others; DerivaMLDataError what is missing, or there unasked.
    With `complete` False, files that `fetch.txt` names may be missing.
    """
    if not (bag / "bagit.txt").is_file() or "BagIt-Version" not in (bag / "bagit.txt").read_text(errors="replace"):
        raise DerivaMLDataError(f"{bag} has no bagit.txt that begins like {BAGIT.splitlines()[0]!r}: it is no bag.")
    for name, md5 in read_tag_manifest(bag).items():
        if "/" in name or not (bag / name).is_file():
            raise DerivaMLDataError(f"{bag} lacks its tag file {name!r}. Get the bag again.")
        _compare(bag / name, md5)
    manifest = read_manifest(bag)
    to_fetch = set() if complete else {entry.path for entry in read_fetch(bag)}
    read_fetch(bag)
    there = set(payload_files(bag))
    if extra := sorted(there - set(manifest)):
        raise DerivaMLDataError(
            f"{bag} holds {format_count(len(extra), 'file')} that its manifest does not list, e.g. {extra[0]!r}. What "
            "it does not list is no part of the dataset: remove it, or get the bag again."
        )
    if missing := sorted(set(manifest) - there - to_fetch):
        raise DerivaMLDataError(
            f"{bag} lacks {format_count(len(missing), 'file')} that its manifest lists, e.g. {missing[0]!r}. "
            "Materialise it, or get it again."
        )
    folders = Folders(bag, bag.name)
    for path in sorted(there):
        folders.check(path)
        _compare(bag / path, manifest[path])
    return len(there)


def payload_files(bag: Path) -> Iterator[str]:
    """Paths of all files below `data`, links to folders left aside; a link to a file counts as a file."""
    for folder, _, names in os.walk(bag / "data"):
        for name in names:
            yield (Path(folder) / name).relative_to(bag).as_posix()


def file_md5(path: Path) -> str:
    """MD5 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _compare(path: Path, md5: str) -> None:
    if path.is_symlink() or not path.is_file():
        raise DerivaMLDataError(f"{path} is a link or no file. A bag holds plain files only: get it again.")
    found = file_md5(path)
    if found != md5:
        raise DerivaMLChecksumError(
            f"{path} has the MD5 {found} instead of {md5}: its bytes are not those of the dataset. Delete it and "
            "download the dataset again."
        )
