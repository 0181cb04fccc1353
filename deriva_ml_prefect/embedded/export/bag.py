"""Makes a bag of a payload: BagIt 0.97 with fetch.txt, serialized into one archive.

The bdbag library is not used here: it changes the process's current folder while it works, which is no thing to do
in a server of many threads, and reads every file once more to hash it.
"""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

from deriva_ml_prefect.embedded.errors import Conflict

from .payload import LocalFile, Payload, RemoteFile
from .specification import BagOptions

BAGIT: Final = "BagIt-Version: 0.97\nTag-File-Character-Encoding: UTF-8\n"
OLDEST_ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)
TAR_MODES: Final[Mapping[str, Literal["w", "w:bz2", "w:xz"]]] = {"tar": "w", "bz2": "w:bz2", "xz": "w:xz"}


def make_bag(payload: Payload, folder: Path, name: str, options: BagOptions) -> Path:
    """The archive, in `folder`, of a bag called `name`. `payload.folder` is the bag's `data` folder, in a folder alone.

    Raises Conflict if there is nothing to put into it.
    """
    if not payload.local and not payload.remote:
        raise Conflict("The queries found nothing: a bag without a file is no valid bag.")
    root = payload.folder.parent
    for tag, text in _tag_files(payload, options).items():
        (root / tag).write_text(text, encoding="utf-8", newline="")
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    archive = folder / f"{name}.{options.archiver}"
    if options.archiver == "zip":
        _zip(archive, root, name, paths, fixed=options.idempotent)
    else:
        _tar(archive, root, name, paths, options)
    return archive


def _tag_files(payload: Payload, options: BagOptions) -> dict[str, str]:
    manifests: dict[str, list[str]] = {algorithm: [] for algorithm in options.algorithms}
    files: dict[str, LocalFile | RemoteFile] = {**payload.local, **payload.remote}
    for path in sorted(files):
        for algorithm, digest in files[path].digests.items():
            manifests.setdefault(algorithm, []).append(f"{digest}  data/{path}\n")
    tags = {
        "bagit.txt": BAGIT,
        "bag-info.txt": _info(options, sum(file.length for file in files.values()), len(files)),
        **{f"manifest-{algorithm}.txt": "".join(lines) for algorithm, lines in manifests.items() if lines},
    }
    if payload.remote:
        tags["fetch.txt"] = "".join(
            f"{_in_fetch(file.url)}\t{file.length}\tdata/{_path_in_fetch(path)}\n"
            for path, file in sorted(payload.remote.items())
        )
    for algorithm in options.algorithms:
        sums = [
            (name, hashlib.new(algorithm, text.encode(), usedforsecurity=False).hexdigest())
            for name, text in sorted(tags.items())
            if not name.startswith("tagmanifest-")
        ]
        tags[f"tagmanifest-{algorithm}.txt"] = "".join(f"{digest}  {name}\n" for name, digest in sums)
    return tags


def _info(options: BagOptions, total: int, count: int) -> str:
    fields: dict[str, str | list[str]] = {"Bag-Software-Agent": "embedded DERIVA", **options.metadata}
    if options.idempotent:
        fields = {name: value for name, value in fields.items() if name not in ("Bagging-Date", "Bagging-Time")}
    else:
        fields.setdefault("Bagging-Date", time.strftime("%Y-%m-%d"))
        fields.setdefault("Bagging-Time", time.strftime("%H:%M:%S %Z"))
    fields["Payload-Oxum"] = f"{total}.{count}"
    lines = []
    for name, value in sorted(fields.items()):
        for text in value if isinstance(value, list) else [value]:
            lines.append(f"{' '.join(name.split())}: {' '.join(text.split())}\n")
    return "".join(lines)


def _in_fetch(url: str) -> str:
    return quote(url, safe="!#$%&'()*+,/:;=?@[]~")


def _path_in_fetch(path: str) -> str:
    return path.replace("%", "%25")


def _zip(archive: Path, root: Path, name: str, paths: Sequence[Path], *, fixed: bool) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for path in paths:
            moment = OLDEST_ZIP_TIME if fixed else time.localtime(path.stat().st_mtime)[:6]
            entry = zipfile.ZipInfo(f"{name}/{path.relative_to(root).as_posix()}", moment)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            entry.file_size = path.stat().st_size
            with path.open("rb") as source, out.open(entry, "w") as target:
                while piece := source.read(1 << 20):
                    target.write(piece)


def _tar(archive: Path, root: Path, name: str, paths: Sequence[Path], options: BagOptions) -> None:
    def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mode = 0o644
        if options.idempotent:
            entry.mtime = 0
        return entry

    def add_all(out: tarfile.TarFile) -> None:
        for path in paths:
            out.add(path, f"{name}/{path.relative_to(root).as_posix()}", filter=anonymous)

    if options.archiver != "tgz":
        with tarfile.open(archive, TAR_MODES[options.archiver]) as out:
            add_all(out)
        return
    with (
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0 if options.idempotent else None) as packed,
        tarfile.open(fileobj=packed, mode="w") as out,
    ):
        add_all(out)
