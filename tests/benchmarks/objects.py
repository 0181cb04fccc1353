"""Objects: one PUT against writing the same bytes to a file with a hash and waiting for the disk."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
from contextlib import ExitStack

from tests.benchmarks.comparison import Comparison, timed
from tests.benchmarks.world import World

SIZE = 64 * 1024 * 1024
PIECE = 1024 * 1024


def compare(world: World, stack: ExitStack) -> list[Comparison]:
    content = random.Random(1).randbytes(SIZE)
    numbers = itertools.count()

    def put() -> None:
        path = f"/hatrac/bench/object-{next(numbers)}?parents=true"
        world.client.ask("PUT", path, content, content_type="application/octet-stream")

    def write() -> None:
        path = world.folder / "written.bin"
        md5 = hashlib.md5(usedforsecurity=False)
        with path.open("wb") as out:
            for start in range(0, SIZE, PIECE):
                piece = content[start : start + PIECE]
                md5.update(piece)
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
        path.unlink()

    return [Comparison("PUT an object of 64 MiB / write, MD5, fsync", timed(put), timed(write), 1 / 0.7)]
