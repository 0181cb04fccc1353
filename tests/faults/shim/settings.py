"""What the layer is to do, as the environment that a program is started with, and what it counted."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

KINDS = ("open", "write", "truncate", "fsync", "rename", "link", "unlink", "mkdir", "rmdir", "commit")
"""What is counted, in the order of layer.c. `open` is for writing; `fsync` is fdatasync too, of files and folders."""
STATE_BYTES = 4096
_MAGIC = 0x5348494D


@dataclass(frozen=True)
class Fail:
    """The `number`-th call of a kind (from 1) fails, and with `lasting` all calls of the kind after it."""

    kind: str
    number: int
    error: int = errno.ENOSPC
    lasting: bool = False


@dataclass(frozen=True)
class Kill:
    """The process is killed (SIGKILL) right before, or right `after`, the `number`-th call of a kind (from 1)."""

    kind: str
    number: int
    after: bool = False


@dataclass(frozen=True)
class Layer:
    """The compiled layer, the folder that it watches, and the file of its counters (made by `environment`)."""

    library: Path
    root: Path
    state: Path
    log: Path | None = None
    """Where calls are recorded; None: they are not."""
    only: str | None = None
    """A glob (`*` crosses folders) of paths relative to the root: no other path is counted, fails or kills."""
    fail: Fail | None = None
    kill: Kill | None = None
    drop_fsync: int | None = None
    """The fsync (from 1) that is answered without being recorded, as if a program had left it out; 0: every one."""


def build(folder: Path) -> Path:
    """Compile the layer into a folder. Raises CalledProcessError, with what the compiler said, when that fails."""
    library = folder / "layer.so"
    source = Path(__file__).with_name("layer.c")
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", library, source, "-lpthread"], check=True
    )
    return library


def environment(layer: Layer) -> dict[str, str]:
    """The variables to start a program with, to be put beside its other ones. The counters start from 0."""
    layer.state.write_bytes(bytes(STATE_BYTES))
    found = {
        "LD_PRELOAD": str(layer.library.absolute()),
        "SHIM_ROOT": os.path.realpath(layer.root),
        "SHIM_STATE": str(layer.state.absolute()),
    }
    if layer.log is not None:
        found["SHIM_LOG"] = str(layer.log.absolute())
    if layer.only is not None:
        found["SHIM_ONLY"] = layer.only
    if layer.fail is not None:
        fail = layer.fail
        found["SHIM_FAIL"] = f"{_known(fail.kind)}:{fail.number}:{fail.error}:{int(fail.lasting)}"
    if layer.kill is not None:
        found["SHIM_KILL"] = f"{_known(layer.kill.kind)}:{layer.kill.number}:{int(layer.kill.after)}"
    if layer.drop_fsync is not None:
        found["SHIM_DROP"] = str(layer.drop_fsync)
    return found


def count(layer: Layer) -> dict[str, int]:
    """How many calls of each kind there were, in all the programs that were started with this layer.

    Raises ValueError when none was: a misspelt setting must not look like a program that writes nothing.
    """
    head = struct.Struct(f"=II{len(KINDS)}Q")
    magic, _, *numbers = head.unpack(layer.state.read_bytes()[: head.size])
    if magic != _MAGIC:
        raise ValueError(f"No program ran with the layer whose counters are {layer.state}.")
    return dict(zip(KINDS, numbers, strict=True))


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is none of {', '.join(KINDS)}.")
    return kind
