"""Serving: the event loop with its two listening sockets, until somebody ends the process or nobody has asked for long.

The second socket speaks TLS; both lead to the same application. The server certificate is looked at once a day, so that
a server that runs for months shows a renewed one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from .app import Activity, App
from .certificates import ensure_certificates, reload_certificate
from .protocol import BoundedProtocol
from .state import HOST, ServerError, read_state

DAY_SECONDS = 24 * 3600.0
HANDSHAKE_SECONDS = 15.0
LOG = logging.getLogger("deriva_ml_prefect.embedded")


@dataclass(frozen=True)
class Listeners:
    """Where requests come in."""

    plain: socket.socket
    encrypted: socket.socket
    context: ssl.SSLContext


class BothServer(uvicorn.Server):
    """uvicorn's server, which also takes connections from the socket that speaks TLS."""

    def __init__(self, config: uvicorn.Config, listeners: Listeners) -> None:
        super().__init__(config)
        self._listeners = listeners

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)

        def create_protocol() -> asyncio.Protocol:
            return BoundedProtocol(
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state, _loop=None
            )

        listening = await asyncio.get_running_loop().create_server(
            create_protocol,
            sock=self._listeners.encrypted,
            ssl=self._listeners.context,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            backlog=self.config.backlog,
        )
        self.servers.append(listening)


class Leaving:
    """Whether SIGTERM or SIGINT has asked the process to leave, from before it is ready to be found."""

    def __init__(self) -> None:
        self.is_asked = False
        self.server: uvicorn.Server | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: object) -> None:
        self.is_asked = True
        if self.server is not None:
            self.server.should_exit = True


async def run(
    app: App, listeners: Listeners, folder: Path, activity: Activity, idle_seconds: float, leaving: Leaving
) -> None:
    """Serve until SIGTERM or SIGINT, or until `idle_seconds` (0: never) have passed without a request."""
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    server = BothServer(config, listeners)
    # uvicorn handles the signals while it serves and raises them again afterwards, when we are leaving in order
    leaving.server = server
    server.should_exit = leaving.is_asked
    beside = [
        asyncio.create_task(_leave_when_idle(server, folder, activity, idle_seconds)),
        asyncio.create_task(_renew(listeners.context, folder)),
    ]
    try:
        await server.serve(sockets=[listeners.plain])
    finally:
        for task in beside:
            task.cancel()


def listen(asked: int | None, kept: int | None) -> socket.socket:
    """A listening loopback socket: on the port asked for, else the one kept, else any free one."""
    for port in [asked] if asked else [kept, 0] if kept else [0]:
        # the protocol is named because asyncio turns Nagle's delay off only on sockets that say they are TCP
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen(256)
        except OSError as error:
            listener.close()
            if asked:
                raise ServerError(
                    f"Port {port} cannot be used ({error.strerror}); choose another with --port."
                ) from error
            LOG.warning("port %s, used before, is taken: choosing another", port)
            continue
        return listener
    raise ServerError("No free loopback port was found.")


async def _leave_when_idle(server: uvicorn.Server, folder: Path, activity: Activity, idle_seconds: float) -> None:
    while idle_seconds > 0:
        rest = idle_seconds - activity.idle_seconds()
        if rest <= 0:
            state = read_state(folder)
            if state is not None and state.stays:  # `keep` has asked for it since
                return
            LOG.warning("no request for %.0f s: leaving", idle_seconds)
            server.should_exit = True
            return
        await asyncio.sleep(max(rest, 0.05))


async def _renew(context: ssl.SSLContext, folder: Path) -> None:
    while True:
        await asyncio.sleep(DAY_SECONDS)
        with contextlib.suppress(OSError):  # a full disk: tried again tomorrow, long before the certificate ends
            if await asyncio.to_thread(ensure_certificates, folder):
                reload_certificate(context, folder)
                LOG.warning("the certificate for HTTPS was renewed")
