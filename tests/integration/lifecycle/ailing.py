"""A server that is not well: requests go on to the real one, but for those that it is told to refuse."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}


@dataclass
class Ailing:
    """`refuse` gives the status to answer a request with (method, path), or None to let it pass."""

    upstream: str
    port: int = 0
    refuse: Callable[[str, str], int | None] = lambda method, path: None
    headers: dict[str, str] = field(default_factory=dict)
    """Of the answers that refuse."""
    seen: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def ailing_server(base_url: str) -> Iterator[Ailing]:
    """A server on a free loopback port before the one at `base_url`."""
    state = Ailing(urlsplit(base_url).netloc)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            state.seen.append((self.command, self.path))
            if status := state.refuse(self.command, self.path):
                self._answer(status, state.headers, b"not now")
                return
            there = HTTPConnection(state.upstream, timeout=30)
            there.request(self.command, self.path, body or None, {**self.headers, "Host": state.upstream})
            answer = there.getresponse()
            content = answer.read()
            there.close()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP}
            length = answer.getheader("Content-Length") if self.command == "HEAD" else None
            self._answer(answer.status, kept, content, length)

        def _answer(self, status: int, headers: dict[str, str], content: bytes, length: str | None = None) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
