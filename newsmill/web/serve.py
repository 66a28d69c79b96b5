"""How long a connection may take to say what it wants. uvicorn limits neither the first request's head nor a head that drips in."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from newsmill.context import AppContext
from newsmill.exceptions import NewsmillError, ServiceError
from newsmill.storage.processes import BEAT_INTERVAL, Heartbeat
from newsmill.storage.tokens import Tokens
from newsmill.web.app import create_app
from newsmill.web.config import WebConfig

MAX_HEADER_SECONDS = 10.0  # from the connection, or from the first byte of a later request, to the empty line; a browser takes none


class TimedProtocol(H11Protocol):
    """uvicorn's protocol; it closes a connection whose request's head does not come to its end in time."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._waiting = self.loop.call_later(MAX_HEADER_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:  # the head is here; of the body shield.Metered takes care
            self._wait_no_more()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(MAX_HEADER_SECONDS, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def _wait_no_more(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


# Runs the application under uvicorn until SIGTERM or Ctrl-C.

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 500  # open at once; more are answered 503
SHUTDOWN_SECONDS = 5  # seconds that answers under way have to end; a change stream never ends by itself


def listen(config: WebConfig) -> socket.socket:
    """The socket to serve on; port 0 lets the system choose. Raises NewsmillError when the address or port cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
        door = socket.socket(family, kind, protocol)
    except OSError as error:
        raise listen_error(config, error) from None
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(address)
        door.listen(256)
    except OSError as error:
        door.close()
        raise listen_error(config, error) from None
    return door


def listen_error(config: WebConfig, error: OSError) -> NewsmillError:
    """The sentence for a place that cannot be had."""
    where = f"{config.host}:{config.port}"
    return NewsmillError(f"{where} cannot be listened on ({error.strerror}): choose another one with NEWSMILL_WEB or --port")


def require_token(tokens: Tokens, config: WebConfig, now: datetime) -> None:
    """Raises NewsmillError when others could reach us and nobody has a token."""
    if config.is_exposed and not tokens.has_program_token(now=now):
        raise NewsmillError(
            f"others than this machine could reach {config.url or config.host}, and there is no token yet: "
            "make one with `newsmill token add NAME --scope admin`"
        )


def build_server(app: ASGIApp, goodbye: int = SHUTDOWN_SECONDS) -> uvicorn.Server:
    """The server that `run` runs; `goodbye` in seconds."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=TimedProtocol,
            access_log=False,  # shield.py writes one without queries: a sign-in link carries its secret there
            log_config=None,
            server_header=False,
            proxy_headers=False,  # nobody may say where they come from
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=goodbye,
            ws="none",
        )
    )


def run(context: AppContext, config: WebConfig, door: socket.socket) -> int:
    """Serve on a socket of `listen` until told to stop; the exit code. Raises NewsmillError as `check` does."""
    require_token(context.tokens, config, context.now())
    server = build_server(create_app(context, config))

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn puts its own handlers in the place of these, and raises the signal once more when it is done: the default would kill us then.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    with sending_heartbeats(context):
        server.run(sockets=[door])
    return 0


@contextmanager
def sending_heartbeats(context: AppContext) -> Iterator[None]:
    """Show that we live, from a thread of our own; the database being away is no reason to stop."""
    heartbeat, stop = Heartbeat(context.engine, role="web"), threading.Event()

    def beat() -> None:
        while True:
            try:
                heartbeat.beat(context.now())
            except ServiceError as error:
                log.warning("%s", error)
            if stop.wait(BEAT_INTERVAL.total_seconds()):
                return

    thread = threading.Thread(target=beat, name="heart", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(5)
        with suppress(ServiceError):
            heartbeat.stop()
