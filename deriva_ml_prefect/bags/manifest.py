"""The tag files of a bag: written from facts already known, so that no file is read a second time, and read with care.

BagIt 0.97 with MD5, as BDBag makes it. The bdbag library itself is not used for writing: it changes the process's
current folder while it works, which other threads would feel, and hashes everything anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from deriva_ml_prefect.bags.layout import check_inside
from deriva_ml_prefect.exceptions import DerivaMLDataError

BAGIT = "BagIt-Version: 0.97\nTag-File-Character-Encoding: UTF-8\n"
MANIFEST = "manifest-md5.txt"
TAG_MANIFEST = "tagmanifest-md5.txt"


@dataclass(frozen=True)
class PayloadFile:
    """A file that belongs to the bag."""

    path: str
    """Inside the bag, beginning with `data/`."""
    length: int
    md5_hex: str
    url: str | None = None
    """Where it is to be fetched; None: it is there."""


def write_tag_files(bag: Path, files: Iterable[PayloadFile], info: Mapping[str, str]) -> None:
    """Write bagit.txt, bag-info.txt, fetch.txt and both manifests; the same input gives the same bytes."""
    payload = sorted(files, key=lambda file: file.path)
    remote = [file for file in payload if file.url is not None]
    tags = {
        "bagit.txt": BAGIT,
        "bag-info.txt": _info({**info, "Payload-Oxum": f"{sum(f.length for f in payload)}.{len(payload)}"}),
        MANIFEST: "".join(f"{file.md5_hex}  {file.path}\n" for file in payload),
    }
    if remote:
        tags["fetch.txt"] = "".join(f"{_url(f.url or '')}\t{f.length}\t{_fetch_path(f.path)}\n" for f in remote)
    for name, text in tags.items():
        (bag / name).write_text(text, encoding="utf-8", newline="")
    sums = sorted((name, hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()) for name, text in tags.items())
    (bag / TAG_MANIFEST).write_text("".join(f"{md5}  {name}\n" for name, md5 in sums), encoding="utf-8", newline="")


def read_manifest(bag: Path) -> dict[str, str]:
    """Path → MD5 of every payload file; a missing manifest or an unsafe path is an error."""
    found: dict[str, str] = {}
    for line in _lines(bag, MANIFEST):
        md5, _, path = line.partition(" ")
        path = path.lstrip(" *")
        check_inside(path, f"{bag.name}/{MANIFEST}")
        if len(md5) != 32 or found.setdefault(path, md5.lower()) != md5.lower():
            raise DerivaMLDataError(f"{bag / MANIFEST} is damaged at the line of {path!r}. Get the bag again.")
    return found


def read_fetch(bag: Path) -> list[PayloadFile]:
    """What is to be fetched, with the manifest's checksums. An entry without checksum or length is an error."""
    if not (bag / "fetch.txt").exists():
        return []
    manifest = read_manifest(bag)
    entries = []
    for line in _lines(bag, "fetch.txt"):
        parts = line.split("\t") if "\t" in line else line.split(None, 2)
        if len(parts) != 3:
            raise DerivaMLDataError(f"{bag / 'fetch.txt'} has a line that is no entry: {line[:200]!r}.")
        # after tabs, a blank at the end belongs to the name
        url, length, path = parts[0], parts[1].strip(), unquote(parts[2] if "\t" in line else parts[2].strip())
        check_inside(path, f"{bag.name}/fetch.txt")
        if path not in manifest or not length.isdigit():
            raise DerivaMLDataError(
                f"{bag / 'fetch.txt'} promises {path!r} without a checksum in {MANIFEST} or without a length, so it "
                "cannot be verified and was not fetched. Export the bag anew."
            )
        entries.append(PayloadFile(path, int(length), manifest[path], url))
    return entries


def read_info(bag: Path) -> dict[str, str]:
    """The fields of bag-info.txt."""
    pairs = (line.partition(":") for line in _lines(bag, "bag-info.txt"))
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def read_tag_manifest(bag: Path) -> dict[str, str]:
    """Name → MD5 of the tag files."""
    pairs = (line.partition(" ") for line in _lines(bag, TAG_MANIFEST))
    return {name.lstrip(" *"): md5.lower() for md5, _, name in pairs}


def _lines(bag: Path, name: str) -> list[str]:
    file = bag / name
    if file.is_symlink() or not file.is_file():
        raise DerivaMLDataError(f"{bag} has no {name}, so it is no complete bag. Get it again from its source.")
    try:
        return [line for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]
    except UnicodeDecodeError:
        raise DerivaMLDataError(f"{file} is not UTF-8. The bag is damaged: get it again.") from None


def _info(fields: Mapping[str, str]) -> str:
    return "".join(f"{name}: {' '.join(str(value).split())}\n" for name, value in sorted(fields.items()))


def _url(url: str) -> str:
    return url.replace(" ", "%20").replace("\t", "%09").replace("\n", "%0A").replace("\r", "%0D")


def _fetch_path(path: str) -> str:
    return path.replace("%", "%25").replace("\n", "%0A").replace("\r", "%0D")
