"""A receiver of webhooks, and a server that nothing must reach: real sockets on loopback IP addresses."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Receiver:
    """What came in, and the statuses to answer with (200 when there are none left)."""

    url: str
    statuses: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def receiver(host: str = "127.0.0.2", port: int = 0) -> Iterator[Receiver]:
    """A web server that takes every POST."""
    held = Receiver("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            held.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            status = held.statuses.pop(0) if held.statuses else 200
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", held.url + "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer((host, port), Handler)
    held.url = f"http://{host}:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@dataclass
class Canary:
    """A server on a forbidden IP address; `connects` counts the connections it got nevertheless."""

    port: int
    connects: int = 0


@contextmanager
def canary(host: str = "127.0.0.1", port: int = 0) -> Iterator[Canary]:
    listener = socket.create_server((host, port))
    listener.settimeout(0.05)
    held = Canary(listener.getsockname()[1])
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            try:
                listener.accept()[0].close()
            except TimeoutError:
                continue
            held.connects += 1

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield held
    finally:
        done.set()
        thread.join(5)
        listener.close()
