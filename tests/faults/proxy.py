"""A proxy between client and DERIVA, in a process of its own, that spoils the n-th request in one of many ways.

It speaks HTTP/1.1 over plain sockets on both sides, so that a refused connection is refused, a reset is a TCP reset,
and an answer that is lost was given. It is told what to do over a socket pair, one JSON document a line, and answers
each. Requests go on under the name of the server, which refuses any other.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import Any

LOGIN_PAGE = b"<!DOCTYPE html><html><head><title>Log in</title></head><body><form>Password</form></body></html>"
REFUSE_SECONDS = 0.03
STATUSES = {
    "408": "Request Timeout",
    "429": "Too Many Requests",
    "500": "Internal Server Error",
    "502": "Bad Gateway",
    "503": "Service Unavailable",
    "401": "Unauthorized",
    "409": "Conflict",
}
ALWAYS = 1_000_000
"""As a number of times: until the process under test has ended."""


class Gone(Exception):
    """The other side has closed the connection."""


@dataclass
class Message:
    """A request or an answer, head and body apart."""

    first: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")

    def head(self, **changed: str) -> bytes:
        """The head as bytes; a header is replaced by `changed` (underscores are dashes), or added."""
        replaced = {name.replace("_", "-"): value for name, value in changed.items()}
        kept = [(name, value) for name, value in self.headers if name.lower() not in replaced]
        lines = [self.first, *(f"{name}: {value}" for name, value in [*kept, *replaced.items()])]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


class Wire:
    """One side of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def _more(self) -> None:
        try:
            piece = self.connection.recv(1 << 16)
        except OSError as e:
            raise Gone from e
        if not piece:
            raise Gone
        self.buffer += piece

    def read_head(self) -> Message:
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return Message(first, [(name.strip(), value.strip()) for name, _, value in pairs])

    def read_exactly(self, length: int) -> bytes:
        while len(self.buffer) < length:
            self._more()
        taken, self.buffer = self.buffer[:length], self.buffer[length:]
        return taken

    def read_line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            self._more()
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def read_body(self, message: Message) -> bytes:
        if message.header("transfer-encoding").lower() != "chunked":
            return self.read_exactly(int(message.header("content-length") or 0))
        pieces = []
        while size := int(self.read_line().split(b";")[0], 16):
            pieces.append(self.read_exactly(size))
            self.read_line()
        while self.read_line():
            pass
        return b"".join(pieces)

    def send(self, data: bytes) -> None:
        try:
            self.connection.sendall(data)
        except OSError as e:
            raise Gone from e

    def reset(self) -> None:
        """Close with a TCP reset."""
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        # a thread may be waiting in recv, and close alone would not wake it; this sends nothing
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RD)
        self.connection.close()


@dataclass
class Order:
    """What to do to which requests: `kind` to `times` of them from number `at` on, counted from 1."""

    kind: str = ""
    at: int = 0
    times: int = 1
    committed: bool = False
    """Error answers and stalls: the server has done what was asked before."""
    stall: float = 1.5
    """Seconds."""
    pid: int = 0
    """Whom to kill, or to send to sleep."""

    def meets(self, number: int) -> bool:
        return bool(self.kind) and self.at <= number < self.at + self.times


@dataclass
class Spoiler:
    """The proxy: counts requests and spoils those that the order names."""

    upstream: tuple[str, int]
    listener: socket.socket
    order: Order = field(default_factory=Order)
    seen: list[str] = field(default_factory=list)
    fired: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    open: set[Wire] = field(default_factory=set)
    round: int = 0

    def command(self, text: str) -> dict[str, Any]:
        """Obey one command of the campaign."""
        asked = json.loads(text)
        if asked["do"] == "order":
            with self.lock:
                self.order, self.seen, self.fired = Order(**asked["order"]), [], 0
                self.round += 1
                leftover = list(self.open)
            for wire in leftover:
                wire.reset()
            # whatever was refused before
            self.listener.listen(64)
            self._refuse_if_due(0)
            return {}
        with self.lock:
            return {"seen": self.seen, "fired": self.fired}

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                # refusing just now, see `_refuse_if_due`
                time.sleep(0.005)
                continue
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _refuse_if_due(self, answered: int) -> None:
        """Refuse connections for a moment if the request after the answered one is to meet that."""
        with self.lock:
            due = self.order.kind == "refused" and self.order.at == answered + 1 and not self.fired
            if not due:
                return
            self.fired += 1
            mine, wires = self.round, list(self.open)
            seconds = REFUSE_SECONDS if self.order.times < ALWAYS else 1e9
            self.listener.shutdown(socket.SHUT_RD)
        for wire in wires:
            wire.reset()
        threading.Thread(target=self._listen_again, args=(mine, seconds), daemon=True).start()

    def _listen_again(self, mine: int, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.round == mine:
            time.sleep(0.01)
        with self.lock:
            if self.round == mine:
                self.listener.listen(64)

    def _serve(self, connection: socket.socket) -> None:
        client, server = Wire(connection), None
        with self.lock:
            self.open.add(client)
            mine = self.round
        try:
            while True:
                request = client.read_head()
                with self.lock:
                    if self.round != mine:
                        # of a process that was ended before this order
                        return
                    self.seen.append(" ".join(request.first.split(" ")[:2]))
                    number, order = len(self.seen), self.order
                    meets = order.meets(number) and order.kind != "refused"
                    self.fired += meets
                server = server or Wire(socket.create_connection(self.upstream, timeout=60))
                if meets and not self._spoil(order, request, client, server):
                    return
                if not meets:
                    request.body = client.read_body(request)
                    answer = self._ask(server, request)
                    client.send(answer.head() + answer.body)
                self._refuse_if_due(number)
        except Gone:
            pass
        finally:
            with self.lock:
                self.open.discard(client)
            client.close()
            if server:
                server.close()

    def _ask(self, server: Wire, request: Message) -> Message:
        """What the server answers to a request whose body has been read."""
        kept = [pair for pair in request.headers if pair[0].lower() != "transfer-encoding"]
        plain = Message(request.first, kept)
        host = f"{self.upstream[0]}:{self.upstream[1]}"
        server.send(plain.head(content_length=str(len(request.body)), host=host) + request.body)
        return self._answer(server, request)

    def _answer(self, server: Wire, request: Message) -> Message:
        answer = server.read_head()
        status = answer.first.split(" ")[1]
        if request.first.startswith("HEAD ") or status in ("204", "304"):
            return answer
        answer.body = server.read_body(answer)
        kept = [(name, value) for name, value in answer.headers if name.lower() != "transfer-encoding"]
        answer.headers = [pair for pair in kept if pair[0].lower() != "content-length"]
        answer.headers.append(("content-length", str(len(answer.body))))
        return answer

    def _spoil(self, order: Order, request: Message, client: Wire, server: Wire) -> bool:
        """Spoil one request; whether the connection can still be used."""
        kind = order.kind
        if kind in ("kill-sent", "asleep-sent"):
            os.kill(order.pid, signal.SIGKILL if kind == "kill-sent" else signal.SIGSTOP)
            return False
        if kind == "reset":
            client.reset()
            return False
        if kind == "reset-body":
            client.read_exactly(int(request.header("content-length") or 0) // 2)
            client.reset()
            return False
        request.body = client.read_body(request)
        if kind in STATUSES or kind == "html":
            if order.committed:
                self._ask(server, request)
            client.send(_instead(kind, request))
            return True
        if kind == "stall":
            if order.committed:
                self._ask(server, request)
            time.sleep(order.stall)
            return False
        if kind == "trickle":
            server.send(request.head(host=f"{self.upstream[0]}:{self.upstream[1]}"))
            _trickle(server, request.body)
            answer = self._answer(server, request)
            _trickle(client, answer.head() + answer.body)
            return True
        answer = self._ask(server, request)
        if kind in ("kill-answered", "asleep-answered"):
            os.kill(order.pid, signal.SIGKILL if kind == "kill-answered" else signal.SIGSTOP)
            return False
        half = len(answer.body) // 2
        if kind == "lost-answer":
            client.reset()
        elif kind == "reset-answer":
            client.send(answer.head() + answer.body[:half])
            client.reset()
        elif kind == "torn-json":
            client.send(answer.head(content_length=str(half)) + answer.body[:half] if half else answer.head())
            return True
        elif kind == "length-long":
            client.send(answer.head(content_length=str(len(answer.body) + 100)) + answer.body)
        elif kind == "length-short":
            client.send(answer.head(content_length=str(half)) + answer.body)
        else:
            raise ValueError(f"The proxy knows no fault {kind}.")
        return False


def _instead(kind: str, request: Message) -> bytes:
    """An error answer in place of the server's."""
    if kind == "html":
        head = Message("HTTP/1.1 200 OK", [("Content-Type", "text/html")], LOGIN_PAGE)
    else:
        text = f"{kind} {STATUSES[kind]}: planted by the campaign\n".encode()
        head = Message(f"HTTP/1.1 {kind} {STATUSES[kind]}", [("Content-Type", "text/plain")], text)
        if kind == "503":
            head.headers.append(("Retry-After", "1"))
    body = b"" if request.first.startswith("HEAD ") else head.body
    return head.head(content_length=str(len(head.body))) + body


def _trickle(wire: Wire, data: bytes) -> None:
    """The first bytes one by one, the rest in few pieces."""
    for i in range(min(24, len(data))):
        wire.send(data[i : i + 1])
        time.sleep(0.005)
    rest = data[24:]
    step = max(1, len(rest) // 4)
    for start in range(0, len(rest), step):
        wire.send(rest[start : start + step])
        time.sleep(0.01)


@dataclass
class Proxy:
    """The campaign's end of a proxy."""

    port: int
    pid: int
    control: socket.socket

    def _say(self, **asked: Any) -> dict[str, Any]:
        self.control.sendall(json.dumps(asked).encode() + b"\n")
        answer: dict[str, Any] = json.loads(_line(self.control))
        return answer

    def order(self, **order: Any) -> None:
        """Forget what was seen, and spoil as the order says from now on; without one, nothing."""
        self._say(do="order", order=order)

    def report(self) -> tuple[list[str], int]:
        """Requests seen since the last order (`METHOD path`), and how many of them were spoilt."""
        told = self._say(do="report")
        return told["seen"], told["fired"]

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def _line(connection: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        piece = connection.recv(1 << 16)
        if not piece:
            raise Gone
        line += piece
    return line


def start_proxy(upstream: tuple[str, int]) -> Proxy:
    """A proxy in a forked process, before a server; call it in a process without threads."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # a port that the kernel had chosen would be lost when the listener refuses for a while
    listener.bind(address)
    listener.listen(64)
    mine, theirs = socket.socketpair()
    port = int(address[1])
    pid = os.fork()
    if pid:
        listener.close()
        theirs.close()
        return Proxy(port, pid, mine)
    status = 1
    try:
        mine.close()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        spoiler = Spoiler(upstream, listener)
        threading.Thread(target=spoiler.accept, daemon=True).start()
        with contextlib.suppress(Gone):
            while True:
                theirs.sendall(json.dumps(spoiler.command(_line(theirs).decode())).encode() + b"\n")
        status = 0
    finally:
        # the campaign has ended, or this process is broken: nothing of the parent's may run here
        os._exit(status)
