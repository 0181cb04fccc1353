"""What the code that runs has and no commit does: the diff against the last one, and code that Git does not track.

Binary files and large ones are named and left out. The text is source code as it stands: it is scrubbed here, line by
line as anything else that is recorded.
"""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from deriva_ml_prefect.provenance.git import uncommitted_changes
from deriva_ml_prefect.provenance.scrub import Scrubber

LARGEST_FILE = 256 * 1024
"""Bytes of a changed file from which on it is only named."""
LIMIT = 1_000_000
"""Bytes of the whole diff; what is beyond is cut, and that is said."""
MOST_FILES = 10_000
"""Changed files that are looked at."""
SECONDS = 10.0
"""How long Git may take for the diff."""
NO_REPOSITORY = "(not in a Git repository, or Git is not installed: whether a commit has it is not known)"
_NAMED = 200


def uncommitted_code(git_root: str | None, url: str | None, scrubber: Scrubber) -> str | None:
    """A document of everything that no commit has, without secrets; None when the commit at `url` is what runs.

    It begins with `#` lines that say what changed and what was left out, then follows a unified diff.
    `url` names the file that runs, as a Workflow row does.
    """
    root = Path(git_root) if git_root else None
    script = _file_of(url, root)
    if root is None:
        if script is None or not script.is_file():
            return None
        changes: tuple[str, ...] = (f"?! {NO_REPOSITORY}",)
        tracked, new = "", [script]
    else:
        changes = _all_changes(root)
        running = {*_loaded_files(), *([script] if script else [])}
        new = sorted(file for file in _named(root, changes, "??") & running if file.is_file())
        tracked = _tracked_diff(root, changes)
    if not changes:
        return None
    notes = [f"# {_in_one_line(line)}" for line in changes[:_NAMED]]
    if len(changes) > _NAMED:
        notes.append(f"# and {len(changes) - _NAMED} more")
    pieces = [tracked]
    if root is not None:
        large = [file for file in sorted(_named(root, changes) - _named(root, changes, "??")) if _is_large(file)]
        notes += [_left_out(file, root) for file in large[:_NAMED]]
    for file in new:
        if _is_large(file):
            notes.append(_left_out(file, root))
        else:
            pieces.append(_as_new_file(file, _in_one_line(_name(file, root))))
    text = "".join(pieces)
    # a line that is cut in two could hide half a secret from the scrubber
    cut = len(text) > LIMIT
    if cut:
        text = text[: text.rindex("\n", 0, LIMIT) + 1]
    head = ["# What ran and is in no commit; files that are binary or large are named and left out.", *notes]
    end = [f"# cut here: the diff has more than {LIMIT} bytes\n"] if cut else []
    return scrubber.text("\n".join(head) + "\n" + text) + "".join(end)


def _all_changes(root: Path) -> tuple[str, ...]:
    """Changes of the working tree, and of those submodules that have some, with paths from the root."""
    found = uncommitted_changes(root)
    inner: list[str] = []
    for line in found:
        path = line[3:]
        if line[:2] != "??" and (root / path / ".git").exists():
            inner += [f"{each[:3]}{path}/{each[3:]}" for each in _all_changes(root / path)]
    return (*found, *inner)


def _named(root: Path, changes: Sequence[str], *kinds: str) -> set[Path]:
    """The files that the changes name, or those changes of some kinds."""
    return {root / line[3:] for line in changes[:MOST_FILES] if not kinds or line[:2] in kinds}


def _name(file: Path, root: Path | None) -> str:
    return file.relative_to(root).as_posix() if root else file.name


def _is_large(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > LARGEST_FILE


def _left_out(file: Path, root: Path | None) -> str:
    return f"# left out, {file.stat().st_size} bytes: {_in_one_line(_name(file, root))}"


def _in_one_line(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _file_of(url: str | None, root: Path | None) -> Path | None:
    """The file that a workflow's URL leads to on this machine."""
    if not url:
        return None
    if url.startswith("file:"):
        return Path(unquote(urlsplit(url).path)).resolve()
    inside = re.search(r"/blob/[0-9a-f]*/(.+)$", url)
    return (root / inside[1]).resolve() if root and inside else None


def _loaded_files() -> Iterator[Path]:
    """Files of the modules that this process has loaded so far."""
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if isinstance(name, str) and name.endswith(".py"):
            yield Path(name)


def _tracked_diff(root: Path, changes: Sequence[str]) -> str:
    """`git diff HEAD` with that of submodules, read up to the limit; before the first commit, nothing.

    Large files are not given to Git at all, which would read them whole to say that they differ.
    """
    environ = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    environ |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    options = ("core.quotePath=false", f"core.bigFileThreshold={LARGEST_FILE}")
    command = ["git", *(word for option in options for word in ("-c", option))]
    command += ["diff", "HEAD", "--no-color", "--no-ext-diff", "--no-textconv", "--irreversible-delete"]
    command += ["--submodule=diff", "--", "."]
    changed = [line[3:] for line in changes[:MOST_FILES] if line[:2] != "??"]
    command += [f":(exclude,literal){path}" for path in changed if _is_large(root / path)][:_NAMED]
    try:
        with subprocess.Popen(
            command, cwd=root, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            late = threading.Timer(SECONDS, process.kill)
            late.start()
            data = process.stdout.read(LIMIT + 65_536)
            in_time = late.is_alive()
            late.cancel()
            process.kill()
    except OSError:
        return ""
    text = data.decode("utf-8", "replace")
    return text if in_time else f"{text}\n# git was stopped here after {SECONDS:.0f} s: the diff is not whole\n"


def _as_new_file(file: Path, name: str) -> str:
    data = file.read_bytes()
    if b"\0" in data:
        return f"diff --git a/{name} b/{name}\nnew file\nBinary files /dev/null and b/{name} differ\n"
    lines = data.decode("utf-8", "replace").splitlines()
    diff = difflib.unified_diff([], lines, "/dev/null", f"b/{name}", lineterm="")
    return f"diff --git a/{name} b/{name}\nnew file\n" + "".join(f"{line}\n" for line in diff)
