"""Standard output and error that nobody reads any more, as those of a run whose worker was killed.

The next log line of such a process would end it: Prefect's console makes a broken pipe into `SystemExit(1)`, and a
`print` of the user's code raises BrokenPipeError. Log lines reach Prefect on another way, and stay there.
"""

from __future__ import annotations

import os
import select
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO


@contextmanager
def outlive_readers() -> Iterator[None]:
    """Inside, what is written to standard output or error is dropped when nobody can read it any more."""
    pipes = [number for stream in (sys.stdout, sys.stderr) if (number := _pipe_of(stream)) is not None]
    if not pipes or not hasattr(select, "poll"):
        yield
        return
    ended, end = os.pipe()
    watcher = threading.Thread(target=_watch, args=(pipes, ended), name="standard-streams", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        os.close(end)
        watcher.join()
        os.close(ended)


def _watch(pipes: list[int], ended: int) -> None:
    """Wait, without looking again and again, until a reader is gone, or the block is left."""
    waiting = select.poll()
    for number in {*pipes, ended}:
        # without any event of its own: the kernel always tells when the other side is closed
        waiting.register(number, 0)
    while True:
        for number, _ in waiting.poll():
            if number == ended:
                return
            waiting.unregister(number)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)


def _pipe_of(stream: IO[str] | None) -> int | None:
    """The descriptor under a stream, if it is a pipe or a socket."""
    # a stream that somebody has put there may have none, or be closed
    with suppress(AttributeError, OSError, ValueError):
        number = stream.fileno() if stream is not None else None
        if number is not None and stat.S_IFMT(os.fstat(number).st_mode) in (stat.S_IFIFO, stat.S_IFSOCK):
            return int(number)
    return None
