"""What an export has gathered so far: files written to its folder, and entries of files to be fetched later."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deriva_ml_prefect.embedded.errors import Conflict

DEEPEST: Final = 64
LONGEST_NAME_BYTES: Final = 255
LINE_END: Final = re.compile("%0[ad]", re.IGNORECASE)
"""Readers of a manifest take this for an encoded line end, and BagIt 0.97 has no way to say otherwise."""


@dataclass(frozen=True)
class LocalFile:
    """A file of the export that is there."""

    length: int
    digests: Mapping[str, str]
    """Algorithm → checksum in hexadecimal."""


@dataclass(frozen=True)
class RemoteFile:
    """A file that the reader of the bag fetches."""

    url: str
    length: int
    digests: Mapping[str, str]


@dataclass
class Payload:
    """Paths are relative to `folder`, with slashes, checked by `checked_path`."""

    folder: Path
    algorithms: tuple[str, ...]
    local: dict[str, LocalFile] = field(default_factory=dict)
    remote: dict[str, RemoteFile] = field(default_factory=dict)

    def write(self, path: str, pieces: Iterable[bytes]) -> Path:
        """Write a file, replacing an earlier one of the same path; its checksums are taken on the way."""
        if path in self.remote or any(other.startswith(path + "/") for other in self.local):
            raise Conflict(f"The export would write {path[:200]!r} twice, in two ways; give one another output_path.")
        target = self.folder / path
        sums = [hashlib.new(name, usedforsecurity=False) for name in self.algorithms]
        length = 0
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as out:
                for piece in pieces:
                    out.write(piece)
                    length += len(piece)
                    for one in sums:
                        one.update(piece)
        except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
            raise Conflict(
                f"The export needs {path[:200]!r} both as a file and as a folder: {error.strerror}."
            ) from error
        self.local[path] = LocalFile(
            length, {name: one.hexdigest() for name, one in zip(self.algorithms, sums, strict=True)}
        )
        return target

    def drop(self, path: str) -> None:
        """Forget a file that turned out to be empty."""
        del self.local[path]
        (self.folder / path).unlink()

    def refer(self, path: str, file: RemoteFile) -> None:
        """Add an entry; the same file found on several ways is one entry."""
        known = self.remote.setdefault(path, file)
        shared = known.digests.keys() & file.digests.keys()
        if (
            path in self.local
            or known.length != file.length
            or any(known.digests[n] != file.digests[n] for n in shared)
        ):
            raise Conflict(
                f"Two different files would be {path[:200]!r} in the bag; put something of the row, such as its RID, "
                "into output_path."
            )


def checked_path(path: str) -> str:
    """A path inside the export, as it stands. Conflict: it could lead elsewhere, or no disk holds it."""
    parts = path.split("/")
    bad = (
        "\\" in path
        or len(parts) > DEEPEST
        or LINE_END.search(path) is not None
        or any(part in ("", ".", "..") or len(part.encode("utf-8", "replace")) > LONGEST_NAME_BYTES for part in parts)
        or any(ord(char) < 32 or ord(char) == 127 or 0xD800 <= ord(char) <= 0xDFFF for char in path)
    )
    if bad:
        raise Conflict(f"{path[:200]!r} cannot be the path of a file in an export: it must be a plain relative path.")
    return path
