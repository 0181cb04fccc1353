"""What Git says about a file: where it can be read, which content it has, whether that content is committed.

Source of the rules: deriva-ml's workflow records. URL = remote without `.git` + `/blob/<commit>/<path from its root>`,
checksum = `git hash-object`. Git is asked through subprocesses with a time-out; nothing is written.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deriva_ml_prefect.exceptions import DerivaMLWorkflowError

_TIMEOUT = 20.0
IGNORED_WHEN_DIRTY = ("findings/", "outputs/", ".scratch/")
"""Folders of results: changes in them do not make the code another code."""
UNKNOWN = "(git gave no answer: whether there are uncommitted changes is not known)"
"""Stands for a path where the working tree could not be looked at."""


@dataclass(frozen=True)
class CodeFacts:
    """Which code it is. `url` and `checksum` go to the Workflow row, and tell whether there is one already."""

    url: str
    checksum: str
    version: str | None = None
    dirty: bool = False
    """Whether the working tree has changes that no commit has."""
    committed: bool = True
    """Whether `url` leads to the code that runs: False outside a repository, without remote or commit."""
    git_root: str | None = None
    path_in_repo: str | None = None
    commit: str | None = None
    """Last commit that touched the file."""
    changes: tuple[str, ...] = ()
    """Two letters of `git status`, a space and the path, for what makes it dirty; at most 50."""
    is_notebook: bool = False


def code_of_file(path: Path | str, *, checksum: str | None = None, ignore: Sequence[str] = ()) -> CodeFacts:
    """Facts of one file. `checksum` replaces the computed one; `ignore` are more folders that may change freely.

    A file outside a repository, or in one without remote or commit, gets a `file:` URL and `committed=False`; its
    checksum is computed the same way. A file that does not exist is DerivaMLWorkflowError.
    """
    file = Path(path).resolve()
    if not file.is_file():
        raise DerivaMLWorkflowError(f"The code file {file} does not exist, so its version cannot be recorded.")
    is_notebook = file.suffix == ".ipynb"
    root = git_root(file)
    if root is None:
        return CodeFacts(file.as_uri(), checksum or blob_checksum(file), committed=False, is_notebook=is_notebook)
    inside = file.relative_to(root).as_posix()
    commit = _git(root, "log", "-n", "1", "--format=%H", "--", inside) or None
    remote = remote_url(root)
    changes = uncommitted_changes(root, ignore=ignore)
    return CodeFacts(
        url=f"{remote}/blob/{commit or ''}/{inside}" if remote else file.as_uri(),
        checksum=checksum or _git(root, "hash-object", "--", inside) or blob_checksum(file),
        version=project_version(root),
        dirty=bool(changes),
        committed=bool(remote and commit and not any(line[3:] in (inside, UNKNOWN) for line in changes)),
        git_root=str(root),
        path_in_repo=inside,
        commit=commit,
        changes=changes[:50],
        is_notebook=is_notebook,
    )


def git_root(path: Path) -> Path | None:
    """Top folder of the working tree that holds `path`; None outside a repository, or without Git."""
    folder = path if path.is_dir() else path.parent
    top = _git(folder, "rev-parse", "--show-toplevel")
    return Path(top).resolve() if top else None


def remote_url(root: Path) -> str | None:
    """The remote `origin` without `.git` and without any credential in it; None when there is none."""
    url = _git(root, "remote", "get-url", "origin")
    if not url:
        return None
    return re.sub(r"^(\w[\w+.\-]*://)(?!git@)[^/@]*@", r"\1", url.rstrip("/").removesuffix(".git"))


def uncommitted_changes(root: Path, *, ignore: Sequence[str] = ()) -> tuple[str, ...]:
    """What `git status` tells, untracked files included, outside the folders of results and of `ignore`.

    Two letters, a space and the path from the root, as it is. When Git gives no answer in time, one line says so: a
    working tree that nobody has looked at does not count as clean.
    """
    skipped = tuple(folder.rstrip("/") + "/" for folder in (*IGNORED_WHEN_DIRTY, *ignore) if folder.strip())
    status = _git(root, "status", "--porcelain", "--untracked-files=all", "-z", strip=False)
    if status is None:
        return (f"?! {UNKNOWN}",)
    found = []
    pieces = iter(status.split("\0"))
    for piece in pieces:
        if piece[:1] in ("R", "C"):
            # the name that it had before follows
            next(pieces, None)
        if piece and not piece[3:].startswith(skipped):
            found.append(piece)
    return tuple(found)


def project_version(root: Path) -> str | None:
    """Version by the nearest tag, in setuptools_scm's form: `1.2.0`, or `1.2.1.dev4+g1a2b3c4` after it."""
    described = _git(root, "describe", "--tags", "--long", "--match", "*[0-9]*")
    if described:
        match = re.fullmatch(r"(?P<tag>.+)-(?P<distance>\d+)-(?P<node>g[0-9a-f]+)", described)
        number = re.search(r"\d+(?:\.\d+)*", match["tag"]) if match else None
        if match and number:
            if match["distance"] == "0":
                return number.group()
            head, _, last = number.group().rpartition(".")
            return f"{head + '.' if head else ''}{int(last) + 1}.dev{match['distance']}+{match['node']}"
    count, node = _git(root, "rev-list", "--count", "HEAD"), _git(root, "rev-parse", "--short", "HEAD")
    return f"0.1.dev{count}+g{node}" if count and node else None


def blob_checksum(path: Path) -> str:
    """What `git hash-object` answers for the file's bytes, computed without Git."""
    with path.open("rb") as file:
        digest = hashlib.sha1(b"blob %d\0" % os.fstat(file.fileno()).st_size, usedforsecurity=False)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def text_checksum(text: str) -> str:
    """The same for a text in UTF-8."""
    data = text.encode()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _git(folder: Path, *arguments: str, strip: bool = True) -> str | None:
    """Git's answer, or None when it refuses, does not exist, or takes too long."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    environ |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", "-c", "core.quotePath=false", *arguments],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    text = done.stdout.decode("utf-8", "replace")
    return text.strip() if strip else text
