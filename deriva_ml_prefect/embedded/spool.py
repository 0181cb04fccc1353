"""Bytes on their way in or out, of any number: in memory while few, in a temporary file without a name when many.

A request body is spooled before its transaction begins, so a slow sender holds no lock; an answer that a transaction
makes is spooled and sent after the commit, so a slow reader holds none either, and neither costs memory.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final

from .errors import TooLarge
from .http import Body, Response

IN_MEMORY: Final = 1024 * 1024
PIECE: Final = 256 * 1024


class Spool:
    """Written first, then read once. `close` it, or take `answer`, which closes it when it has been sent."""

    def __init__(self) -> None:
        self.size = 0
        self._file: IO[bytes] = io.BytesIO()

    def write(self, piece: bytes) -> None:
        if self.size <= IN_MEMORY < self.size + len(piece):
            held, self._file = self._file, tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
            held.seek(0)
            self._file.write(held.read())
        self._file.write(piece)
        self.size += len(piece)

    def clear(self) -> None:
        """Forget what was written."""
        self.close()
        self.size = 0
        self._file = io.BytesIO()

    def rewound(self) -> IO[bytes]:
        """What was written, to be read from its beginning."""
        self._file.seek(0)
        return self._file

    def answer(self, status: int, headers: tuple[tuple[str, str], ...]) -> Response:
        """What was written as the body of an answer, read from the file as the client takes it."""
        if self.size <= IN_MEMORY:
            return Response(status, headers, self.rewound().read())
        return Response(status, headers, self._pieces(), self.size)

    def close(self) -> None:
        self._file.close()

    def _pieces(self) -> Iterator[bytes]:
        try:
            source = self.rewound()
            while piece := source.read(PIECE):
                yield piece
        finally:
            self.close()

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def answer_spool() -> Iterator[Spool]:
    """A spool for what a transaction answers: closed when the block, or the commit in it, raises."""
    spool = Spool()
    try:
        yield spool
    except BaseException:
        spool.close()
        raise


def spool_body(body: Body, limit: int) -> Spool:
    """The whole body of a request. Raises TooLarge over `limit` bytes."""
    if body.length is not None and body.length > limit:
        raise TooLarge(f"The request body has {body.length} bytes; {limit} are accepted here.")
    spool = Spool()
    try:
        for piece in body.chunks():
            spool.write(piece)
            if spool.size > limit:
                raise TooLarge(f"The request body is larger than the {limit} bytes that are accepted here.")
    except BaseException:
        spool.close()
        raise
    return spool
