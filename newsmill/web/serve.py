"""The web process: uvicorn runs the application until SIGTERM or Ctrl-C."""

from __future__ import annotations

import errno
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvicorn
from starlette.types import ASGIApp

from newsmill.context import AppContext, make_heartbeat
from newsmill.exceptions import NewsmillError, ServiceError
from newsmill.health.outage_log import OutageLog
from newsmill.storage.processes import BEAT_INTERVAL
from newsmill.web.config import WebConfig
from newsmill.web.header_timeout import TimedProtocol
from newsmill.web.server import create_app

MAX_CONNECTIONS = 500  # at once; more get 503
SHUTDOWN_SECONDS = 5  # that running responses have to end; a change stream never ends on its own

log = logging.getLogger(__name__)


def run(context: AppContext, config: WebConfig, listener: socket.socket) -> int:
    """Serve on the socket of `listen` until a signal; the exit code."""
    server = build_server(create_app(context, config))

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn raises the signal again at its end, and the default handler would kill the process then.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    threading.Thread(target=load_language_data, args=(context,), name="language-data", daemon=True).start()
    with sending_heartbeats(context):
        server.run(sockets=[listener])
    return 0


def load_language_data(context: AppContext) -> None:
    """Load what the first search needs. A search page has a tenth of a second, so the first one would have neither counts nor chart."""
    with suppress(ServiceError):  # a database that cannot be read is named by the pages
        context.search.load_language_data()


def listen(config: WebConfig) -> socket.socket:
    """The socket to serve on; port 0 lets the system choose. Raises NewsmillError when the host or port is not available."""
    try:
        family, kind, protocol, _, socket_address = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise listen_error(config, error) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(socket_address)
        listener.listen(256)
    except OSError as error:
        listener.close()
        raise listen_error(config, error) from None
    return listener


def listen_error(config: WebConfig, error: OSError) -> NewsmillError:
    reason = f"the web server cannot listen on {config.host}:{config.port} ({error.strerror})"
    if error.errno in (errno.EADDRINUSE, errno.EACCES):  # EACCES: a port below 1024
        port = max(config.port + 1, 8470)
        return NewsmillError(f"{reason}: set another port, such as NEWSMILL_WEB={config.host}:{port}")
    return NewsmillError(f"{reason}: set an IP address of this machine, such as NEWSMILL_WEB=127.0.0.1:{config.port or 8470}")


def build_server(app: ASGIApp, shutdown_seconds: int = SHUTDOWN_SECONDS) -> uvicorn.Server:
    """The configured server."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=TimedProtocol,
            access_log=False,  # RequestGuardMiddleware logs requests without the query, which holds the secret of a sign-in link
            log_config=None,
            server_header=False,
            proxy_headers=False,  # a client could forge them
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=shutdown_seconds,
            ws="none",
        )
    )


@contextmanager
def sending_heartbeats(context: AppContext) -> Iterator[None]:
    """Send heartbeats from a thread. It continues when the database is not available."""
    heartbeat, stop = make_heartbeat(context, "web"), threading.Event()
    outage = OutageLog(log, "the database answers again")

    def beat() -> None:
        while True:
            try:
                heartbeat.beat(context.now())
                outage.report_success()
            except ServiceError as error:
                outage.report_failure(error)
            if stop.wait(BEAT_INTERVAL.total_seconds()):
                return

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(5)
        with suppress(ServiceError):
            heartbeat.stop()
