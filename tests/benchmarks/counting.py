"""A proxy that counts requests: it stands before the server, over HTTP or TLS, and writes down what passes it.

`python -m tests.benchmarks.counting PORT SECONDS` is one that lets each answer wait, in a process of its own; it prints
its port, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

HEAD_BYTES = 1024 * 1024
PIECE = 256 * 1024


@dataclass
class Counted:
    """What has passed: `METHOD /path?query`, in order."""

    port: int = 0
    requests: list[str] = field(default_factory=list)

    def of(self, service: str, *, without: str | None = None) -> int:
        """How many went to a service (`ermrest`, `hatrac`), leaving out those whose path has a text in it."""
        return sum(
            1
            for request in self.requests
            if request.partition(" ")[2].startswith(f"/{service}/") and (without is None or without not in request)
        )


@contextmanager
def counting_proxy(upstream: int, tls: ssl.SSLContext | None = None, *, wait: float = 0.0) -> Iterator[Counted]:
    """A proxy on a free loopback port before the server on port `upstream`; ended with the context.

    Each request waits so many seconds before it goes on.
    """
    counted = Counted()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="counting-proxy", daemon=True)
    thread.start()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(
            lambda reader, writer: _Connection(counted, upstream, wait, reader, writer).serve(),
            "127.0.0.1",
            0,
            limit=HEAD_BYTES,
            ssl=tls,
        )

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    counted.port = server.sockets[0].getsockname()[1]

    async def stop() -> None:
        server.close()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    try:
        yield counted
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextmanager
def delaying_proxy(upstream: int, seconds: float) -> Iterator[int]:
    """The port of a proxy in a process of its own, where each request takes so many seconds longer."""
    command = [sys.executable, "-m", "tests.benchmarks.counting", str(upstream), str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


@dataclass
class _Connection:
    """One client's connection, and the one to the server that belongs to it."""

    counted: Counted
    upstream: int
    wait: float
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def serve(self) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.upstream, limit=HEAD_BYTES)
        # either side may hang up between two requests, and the proxy may be ended
        hung_up = (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError, ssl.SSLError)
        with contextlib.suppress(*hung_up):
            try:
                while True:
                    method = await self._request(server_writer)
                    await self._answer(method, server_reader)
            finally:
                self.writer.close()
                server_writer.close()

    async def _request(self, server: asyncio.StreamWriter) -> str:
        lines, headers = await _head(self.reader)
        method, target, _ = lines[0].split(" ", 2)
        self.counted.requests.append(f"{method} {target}")
        if self.wait:
            await asyncio.sleep(self.wait)
        # the server answers only to its own address
        kept = [line for line in lines[1:] if not line.lower().startswith("host:")]
        head = [lines[0], f"Host: 127.0.0.1:{self.upstream}", *kept]
        server.write("\r\n".join(head).encode("latin-1") + b"\r\n\r\n")
        await _copy_body(headers, self.reader, server)
        return method

    async def _answer(self, method: str, server: asyncio.StreamReader) -> None:
        lines, headers = await _head(server)
        self.writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")
        status = int(lines[0].split(" ", 2)[1])
        if method != "HEAD" and status not in (204, 304):
            await _copy_body(headers, server, self.writer)
        await self.writer.drain()


async def _head(reader: asyncio.StreamReader) -> tuple[list[str], dict[str, str]]:
    raw = await reader.readuntil(b"\r\n\r\n")
    lines = raw[:-4].decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines[1:])
    return lines, {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _copy_body(headers: dict[str, str], source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        size = -1
        while size:
            line = await source.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            target.write(line)
            await _copy(size, source, target)
            target.write(await source.readexactly(2))
        return
    await _copy(int(headers.get("content-length", "0")), source, target)


async def _copy(size: int, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while size:
        piece = await source.read(min(size, PIECE))
        if not piece:
            raise asyncio.IncompleteReadError(b"", size)
        size -= len(piece)
        target.write(piece)
        await target.drain()


if __name__ == "__main__":
    with counting_proxy(int(sys.argv[1]), wait=float(sys.argv[2])) as passing:
        print(passing.port, flush=True)
        sys.stdin.read()
