"""A request body on its way from the event loop, where it arrives, to the worker thread, where it is read.

At most HIGH bytes wait between the two: then the loop stops reading from the connection until the thread has caught
up, so a fast sender costs no memory and a slow reader costs no other request its turn.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from .errors import BadRequest, TooLarge

HIGH = 4 * 1024 * 1024
STALL_SECONDS = 60.0
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientGone(BadRequest):
    """The client closed the connection, or sent nothing for STALL_SECONDS, before its body was complete."""


class MemoryBody:
    """A body that has arrived already."""

    def __init__(self, content: bytes, length: int | None) -> None:
        self.length = length
        self._content = content

    def chunks(self) -> Iterator[bytes]:
        content, self._content = self._content, b""
        if content:
            yield content

    def read(self, limit: int) -> bytes:
        if len(self._content) > limit:
            raise TooLarge(f"The request body has {len(self._content)} bytes; {limit} are accepted here.")
        content, self._content = self._content, b""
        return content


class StreamedBody:
    """A body that is still arriving. `pump` runs on the event loop, `chunks` and `read` in one worker thread."""

    def __init__(self, length: int | None, loop: asyncio.AbstractEventLoop) -> None:
        self.length = length
        self._loop = loop
        self._ready = threading.Condition()
        self._pieces: deque[bytes] = deque()
        self._waiting = 0
        self._complete = False
        self._gone = False
        self._room = asyncio.Event()
        self._room.set()

    async def pump(self, receive: Receive) -> None:
        """Move the body into the buffer; return when it is complete or the client is gone."""
        try:
            while not (self._gone or self._complete):
                await self._room.wait()
                message = await receive()
                with self._ready:
                    self._take(message)
                    self._ready.notify()
        finally:  # also when the server is leaving: whoever waits for the rest need not wait longer
            with self._ready:
                self._gone = not self._complete
                self._ready.notify()

    def _take(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.disconnect":
            self._gone = True
            return
        piece = message.get("body", b"")
        if piece:
            self._pieces.append(piece)
            self._waiting += len(piece)
        self._complete = not message.get("more_body", False)
        if self._waiting >= HIGH:
            self._room.clear()

    def chunks(self) -> Iterator[bytes]:
        while True:
            with self._ready:
                while not self._pieces and not self._complete:
                    if self._gone or not self._ready.wait(STALL_SECONDS):
                        raise ClientGone("The connection ended before the request body was complete.")
                pieces = list(self._pieces)
                self._pieces.clear()
                full, self._waiting = self._waiting >= HIGH, 0
                last = self._complete
            if full:
                self._loop.call_soon_threadsafe(self._room.set)
            yield from pieces
            if last:
                return

    def read(self, limit: int) -> bytes:
        if self.length is not None and self.length > limit:
            raise TooLarge(f"The request body has {self.length} bytes; {limit} are accepted here.")
        content = bytearray()
        for piece in self.chunks():
            content += piece
            if len(content) > limit:
                raise TooLarge(f"The request body is larger than the {limit} bytes that are accepted here.")
        return bytes(content)
