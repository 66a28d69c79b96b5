"""A web server with images, and with everything that only calls itself an image."""

from __future__ import annotations

import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def png(width: int = 4, height: int = 3) -> bytes:
    """A grey image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress((b"\0" + b"\x99" * width) * height)) + chunk(b"IEND", b"")


PNG = png()
HUGE = PNG[:16] + struct.pack(">II", 60_000, 60_000) + PNG[24:]
BODIES: dict[str, tuple[str, bytes]] = {  # path → the type that the server states, and the body
    "/good": ("text/html", PNG),
    "/svg": ("image/png", b'<svg xmlns="http://www.w3.org/2000/svg"><script>hit()</script></svg>'),
    "/page": ("image/jpeg", b"<!doctype html><script>hit()</script>"),
    "/huge": ("image/png", HUGE),
    "/cut": ("image/png", PNG[:14]),
    "/empty": ("image/png", b""),
}


@dataclass
class ImageSite:
    """The server: its URL, the requests it got, and how many slow images it made at once."""

    url: str = ""
    paths: Counter[str] = field(default_factory=Counter)
    headers: list[dict[str, str]] = field(default_factory=list)
    running: int = 0
    most_running: int = 0


@contextmanager
def image_site(elsewhere: str = "") -> Iterator[ImageSite]:
    """Serve on 127.0.0.2. `elsewhere`: where /elsewhere redirects to."""
    site, lock = ImageSite(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with lock:
                site.paths[self.path] += 1
                site.headers.append({name.lower(): value for name, value in self.headers.items()})
            with suppress(OSError):
                self.answer()

        def answer(self) -> None:
            path = self.path.partition("?")[0]
            redirects = {"/moved": "/good", "/loop": "/loop", "/elsewhere": elsewhere, "/file": "file:///etc/passwd"}
            if path in redirects:
                self.send_response(302)
                self.send_header("Location", redirects[path])
                self.end_headers()
            elif path == "/endless":
                self.send_response(200)
                self.end_headers()
                self.wfile.write(PNG)
                while True:
                    self.wfile.write(bytes(1 << 20))
            elif path == "/gone":
                self.send_error(404)
            else:
                if path == "/slow":
                    self.wait()
                media_type, body = BODIES.get(path, ("image/png", PNG))
                self.send_response(200)
                self.send_header("Content-Type", media_type)
                self.send_header("Set-Cookie", "id=1")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def wait(self) -> None:
            """The count ends before the first byte of the answer: a client may send its next request before this thread runs again."""
            with lock:
                site.running += 1
                site.most_running = max(site.most_running, site.running)
            time.sleep(0.05)
            with lock:
                site.running -= 1

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.2", 0), Handler)
    site.url = f"http://127.0.0.2:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
