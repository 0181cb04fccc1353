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
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from deriva_ml_prefect.provenance.git import uncommitted_changes
from deriva_ml_prefect.provenance.scrub import Scrubber

LARGEST_FILE = 256 * 1024
"""Bytes of a changed file from which on it is only named."""
LIMIT = 1_000_000
"""Bytes of the whole diff; what is beyond is cut, and that is said."""
_NAMED = 200


def uncommitted_code(git_root: str | None, url: str | None, scrubber: Scrubber) -> str | None:
    """A document of everything that no commit has, without secrets; None when the commit at `url` is what runs.

    It begins with `#` lines that say what changed and what was left out, then follows a unified diff.
    `url` names the file that runs, as a Workflow row does.
    """
    root = Path(git_root) if git_root else None
    script = _file_of(url, root)
    changes = uncommitted_changes(root) if root else ()
    untracked = {root / line[3:].strip('"') for line in changes if line.startswith("??")} if root else set()
    new = sorted(file for file in untracked & {*_loaded_files(), *([script] if script else [])} if file.is_file())
    if script is not None and root is None and script.is_file():
        new = [script]
    if not changes and not new:
        return None
    notes = [f"# {line}" for line in changes[:_NAMED]]
    if len(changes) > _NAMED:
        notes.append(f"# and {len(changes) - _NAMED} more")
    pieces = [_tracked_diff(root)] if root else []
    for file in new:
        name = file.relative_to(root).as_posix() if root else file.name
        if file.stat().st_size > LARGEST_FILE:
            notes.append(f"# left out, {file.stat().st_size} bytes: {name}")
        else:
            pieces.append(_as_new_file(file, name))
    text = "".join(pieces)
    # a line that is cut in two could hide half a secret from the scrubber
    cut = len(text) > LIMIT
    if cut:
        text = text[: text.rindex("\n", 0, LIMIT) + 1]
    head = ["# What ran and is in no commit; files that are binary or large are named and left out.", *notes]
    end = [f"# cut here: the diff has more than {LIMIT} bytes\n"] if cut else []
    return scrubber.text("\n".join(head) + "\n" + text) + "".join(end)


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


def _tracked_diff(root: Path) -> str:
    """`git diff HEAD`, read up to the limit; before the first commit, nothing."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    environ |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    options = ("core.quotePath=false", f"core.bigFileThreshold={LARGEST_FILE}")
    command = ["git", *(word for option in options for word in ("-c", option))]
    command += ["diff", "HEAD", "--no-color", "--no-ext-diff", "--no-textconv", "--irreversible-delete"]
    try:
        with subprocess.Popen(
            command, cwd=root, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            data = process.stdout.read(LIMIT + 65_536)
            process.kill()
    except OSError:
        return ""
    return data.decode("utf-8", "replace")


def _as_new_file(file: Path, name: str) -> str:
    data = file.read_bytes()
    if b"\0" in data:
        return f"diff --git a/{name} b/{name}\nnew file\nBinary files /dev/null and b/{name} differ\n"
    lines = data.decode("utf-8", "replace").splitlines()
    diff = difflib.unified_diff([], lines, "/dev/null", f"b/{name}", lineterm="")
    return f"diff --git a/{name} b/{name}\nnew file\n" + "".join(f"{line}\n" for line in diff)
