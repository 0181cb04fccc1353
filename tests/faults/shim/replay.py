"""A folder as a loss of power would leave it, from what the layer recorded.

The strict reading of POSIX: of a file stays what it held at its last fsync, of a folder the names that it had at its
last fsync. A name that is on disk without its file's bytes is an empty file. With a `keep`, some of what was not
synced got to the disk nevertheless, as it does in life: of each file a random choice of its later writes, of each
folder the first few of its later changes.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

_HEAD = struct.Struct("=Ic3xIIQQQ")
_MAGIC = 0x5348494D
_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2


class ReplayError(Exception):
    """The record and the folder do not fit together: something wrote into the folder past the layer."""


@dataclass(frozen=True)
class Call:
    """One recorded call. `what` is a letter of layer.c; `number` an offset, a size or a mode; paths are relative."""

    what: str
    path: str
    other: str
    inode: int
    number: int
    data: bytes


@dataclass
class File:
    """Bytes at the last fsync, and the writes since: (offset, bytes), or (size, None) for a truncation."""

    mode: int
    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def sync(self) -> None:
        for change in self.pending:
            _apply(self.durable, change)
        self.pending.clear()

    def survivor(self, keep: Random | None) -> bytes:
        content = bytearray(self.durable)
        if keep is not None:
            for change in self.pending:
                if keep.random() < 0.5:
                    _apply(content, change)
        return bytes(content)


@dataclass
class Link:
    """A symbolic link."""

    target: str


@dataclass
class Folder:
    """Names as the program sees them, names at the last fsync, and what each change since then made of which names."""

    mode: int = 0o700
    names: dict[str, Node] = field(default_factory=dict)
    durable: dict[str, Node] = field(default_factory=dict)
    pending: list[dict[str, Node | None]] = field(default_factory=list)

    def change(self, names: dict[str, Node | None]) -> None:
        _rename(self.names, names)
        self.pending.append(names)

    def sync(self) -> None:
        self.durable = dict(self.names)
        self.pending.clear()

    def survivors(self, keep: Random | None) -> dict[str, Node]:
        names = dict(self.durable)
        for change in self.pending[: keep.randint(0, len(self.pending)) if keep is not None else 0]:
            _rename(names, change)
        return names


Node = File | Folder | Link


@dataclass
class Recording:
    """A folder from a known beginning on (`begin`), and the log of what was done to it."""

    root: Path
    log: Path
    tree: Folder
    inodes: dict[int, File]
    position: int = 0
    """How far in the log `tree` is."""

    def mark(self) -> int:
        """This moment, to `replay` up to later. What a program did before it answered us is recorded by now."""
        return self.log.stat().st_size if self.log.exists() else 0

    def marks(self) -> list[int]:
        """The moments after each recorded call."""
        return [end for _, end in calls(self.log, 0, self.root)]

    def replay(self, target: Path, upto: int | None = None, keep: Random | None = None) -> Path:
        """Make `target`: the folder after a loss of power at a mark (default: the last one).

        Marks have to be asked for in order: the recording moves on with them. Raises ReplayError.
        """
        upto = self.mark() if upto is None else upto
        if upto < self.position:
            raise ReplayError(f"The recording is at {self.position} already, after {upto}; begin another one.")
        for call, end in calls(self.log, self.position, self.root):
            if end > upto:
                break
            self.done(call)
            self.position = end
        _write(self.tree, target, keep)
        return target

    def done(self, call: Call) -> None:
        """Take one call into the tree."""
        if call.what == "S":
            self.file(call).sync()
        elif call.what == "D":
            self.folder(call.path).sync()
        elif call.what == "A":
            _sync_all(self.tree)
        elif call.what == "W":
            self.file(call).pending.append((call.number, call.data))
        elif call.what == "T":
            self.file(call).pending.append((call.number, None))
        else:
            self.renamed(call)

    def renamed(self, call: Call) -> None:
        """Take a change of names into the tree."""
        folder, name = self.place(call.path)
        if call.what == "C":
            self.inodes[call.inode] = made = File(call.number)
            folder.change({name: made})
        elif call.what == "M":
            folder.change({name: Folder(call.number)})
        elif call.what == "Y":
            folder.change({name: Link(call.other)})
        elif call.what == "L":
            folder.change({name: self.file(call)})
        elif call.what == "U":
            folder.change({name: None})
        elif call.what == "N":
            goal, goal_name = self.place(call.other)
            moved, there = folder.names.get(name), goal.names.get(goal_name)
            if moved is None:
                raise ReplayError(f"{call.path} was renamed, but nothing of that name is known.")
            left = there if call.number == _EXCHANGE else None
            if moved is there:  # two names of one file: a rename does nothing then
                return
            if folder is goal:
                folder.change({name: left, goal_name: moved})
            else:
                goal.change({goal_name: moved})
                folder.change({name: left})
        else:
            raise ReplayError(f"The log has an unknown kind of call: {call.what!r}.")

    def place(self, path: str) -> tuple[Folder, str]:
        above, _, name = path.rpartition("/")
        return self.folder(above), name

    def folder(self, path: str) -> Folder:
        node: Node | None = self.tree
        for name in filter(None, path.split("/")):
            node = node.names.get(name) if isinstance(node, Folder) else None
        if not isinstance(node, Folder):
            raise ReplayError(f"{path or self.root} is no folder of the recording.")
        return node

    def file(self, call: Call) -> File:
        known = self.inodes.get(call.inode)
        if known is None:
            raise ReplayError(f"{call.path} was written, but the recording did not see where it comes from.")
        return known


def begin(root: Path, log: Path) -> Recording:
    """A recording of this folder as it is: all that is there counts as on disk. Start programs after this."""
    inodes: dict[int, File] = {}
    log.unlink(missing_ok=True)
    return Recording(Path(os.path.realpath(root)), log, _read(root, inodes), inodes)


def calls(log: Path, position: int, root: Path) -> Iterator[tuple[Call, int]]:
    """The calls from a position of the log on, each with the position behind it; one half written is left out."""
    if not log.exists():
        return
    start = len(str(root)) + 1
    with log.open("rb") as source:
        source.seek(position)
        while len(head := source.read(_HEAD.size)) == _HEAD.size:
            magic, what, path_size, other_size, inode, number, size = _HEAD.unpack(head)
            if magic != _MAGIC:
                raise ReplayError(f"{log} is damaged at {source.tell() - _HEAD.size}.")
            body = source.read(path_size + other_size + size)
            if len(body) < path_size + other_size + size:
                return
            path, other = os.fsdecode(body[:path_size]), os.fsdecode(body[path_size : path_size + other_size])
            other = other[start:] if what == b"N" else other
            data = body[path_size + other_size :]
            yield Call(what.decode(), path[start:], other, inode, number, data), source.tell()


def _sync_all(folder: Folder) -> None:
    folder.sync()
    for node in folder.names.values():
        if isinstance(node, Folder):
            _sync_all(node)
        elif isinstance(node, File):
            node.sync()


def _rename(names: dict[str, Node], change: dict[str, Node | None]) -> None:
    for name, node in change.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def _apply(content: bytearray, change: tuple[int, bytes | None]) -> None:
    at, data = change
    if data is None:
        del content[at:]
        content.extend(bytes(at - len(content)))
    else:
        content.extend(bytes(max(0, at - len(content))))
        content[at : at + len(data)] = data


def _read(folder: Path, inodes: dict[int, File]) -> Folder:
    found = Folder(stat.S_IMODE(folder.stat().st_mode))
    for entry in os.scandir(folder):
        path = Path(entry.path)
        if entry.name.endswith("-shm"):
            continue
        about = path.lstat()
        if stat.S_ISLNK(about.st_mode):
            found.names[entry.name] = Link(str(path.readlink()))
        elif stat.S_ISDIR(about.st_mode):
            found.names[entry.name] = _read(path, inodes)
        elif stat.S_ISREG(about.st_mode):
            if about.st_ino not in inodes:
                inodes[about.st_ino] = File(stat.S_IMODE(about.st_mode), bytearray(path.read_bytes()))
            found.names[entry.name] = inodes[about.st_ino]
    found.sync()
    return found


def _write(folder: Folder, target: Path, keep: Random | None) -> None:
    target.mkdir()
    for name, node in folder.survivors(keep).items():
        place = target / name
        if isinstance(node, Folder):
            _write(node, place, keep)
        elif isinstance(node, Link):
            place.symlink_to(node.target)
        else:
            place.write_bytes(node.survivor(keep))
            place.chmod(node.mode)
    target.chmod(folder.mode | 0o700)
