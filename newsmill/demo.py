"""Serves the sample newspaper over HTTP, for `newsmill demo` and the tests. It imports nothing of Newsmill.

Its files are in `tests/newspaper/`; the wheel contains them as `newsmill/newspaper/`.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import mimetypes
import re
import threading
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

BASE_URL_PLACEHOLDER = "{{base}}"  # in the files, for the URL of the server
CRAWL_DELAY = re.compile(rb"^Crawl-delay:.*\n", re.MULTILINE)
MIN_GZIP_BYTES = 500  # below, compression saves no packet (nginx's gzip_min_length is similar)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the server received it. `at` is its time.monotonic(), in seconds; `path` includes the query."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    at: float


@dataclass(frozen=True, slots=True)
class PathResponse:
    """The response for one path: a row of site.toml, or a file of that name."""

    status: int = 200
    file: Path | None = None
    content_type: str | None = None
    encoding: str = "utf-8"
    gzip: bool = False
    location: str | None = None


@dataclass(slots=True)
class Newspaper:
    """A running newspaper: its URL, without a slash at the end, and every request it has answered."""

    url: str
    log: list[Request] = field(default_factory=list)


def newspaper_folder() -> Path:
    """The folder with the newspaper's files: in the package if installed, in `tests/` of a checkout. Raises FileNotFoundError."""
    here = Path(__file__).resolve().parent
    for path in (here / "newspaper", here.parent / "tests" / "newspaper"):
        if (path / "site.toml").is_file():
            return path
    raise FileNotFoundError(f"the newspaper's files are missing from {here}; install Newsmill again")


@contextmanager
def serve(port: int = 0, host: str = "127.0.0.1", paper: Path | None = None, *, with_crawl_delay: bool = True) -> Iterator[Newspaper]:
    """Serve the files of `paper` (default: the newspaper) until the block ends. Port 0 is any free port.

    Without `with_crawl_delay`, its robots.txt asks for no pause: a newspaper of this process may be read as fast as it can be sent.
    """
    root = paper or newspaper_folder()
    running = Newspaper("")
    handler = partial(_RequestHandler, load_site(root), running.log, with_crawl_delay)
    server = ThreadingHTTPServer((host, port), handler)
    server.daemon_threads = True  # an open connection of a client must not keep the server running
    running.url = f"http://{host}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True, slots=True)
class Site:
    """All that the server can send. The files are listed once, so that no path leads to any other file."""

    files: Mapping[str, Path]  # by their path from the root, e.g. "/de/stadt/index.html"
    responses: Mapping[str, PathResponse]

    def find(self, target: str) -> PathResponse:
        """The response for a request target. An unlisted query is ignored, like tracking parameters on a real site."""
        path = unquote(urlsplit(target).path)
        response = self.responses.get(unquote(target)) or self.responses.get(path) or PathResponse()
        if response.file or response.location:
            return response
        # "/a/" is a/index.html, "/a/b" is a/b or a/b.html
        file = self.files.get(f"{path}index.html" if path.endswith("/") else path) or self.files.get(f"{path}.html")
        return replace(response, file=file) if file else PathResponse(status=404, file=self.files["/404.html"])


def load_site(root: Path) -> Site:
    """The files under root/site and the exceptions of root/site.toml."""
    files = {f"/{path.relative_to(root / 'site').as_posix()}": path for path in (root / "site").rglob("*") if path.is_file()}
    table = tomllib.loads((root / "site.toml").read_text("utf-8"))["paths"]
    return Site(
        files, {path: PathResponse(**{**row, "file": files[f"/{row['file']}"]} if "file" in row else row) for path, row in table.items()}
    )


class _RequestHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "Aunebote"
    sys_version = ""
    disable_nagle_algorithm = True  # head and body are two packets, and the second one would wait 40 ms for the client
    timeout = 30  # seconds after which an idle connection is closed

    def __init__(self, site: Site, log: list[Request], with_crawl_delay: bool, *rest: object) -> None:
        self.site, self.requests, self.with_crawl_delay = site, log, with_crawl_delay
        super().__init__(*rest)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Send the file, or 304 if the client's copy is the same."""
        self.received_at = time.monotonic()
        response = self.site.find(self.path)
        base = f"http://{self.headers.get('Host') or self.server.server_name}"  # type: ignore[attr-defined]
        if response.location:
            self._send(response.status, b"", {"Location": response.location.replace(BASE_URL_PLACEHOLDER, base)})
            return
        assert response.file is not None
        body = _encode(response, base)
        if response.file.name == "robots.txt" and not self.with_crawl_delay:
            body = CRAWL_DELAY.sub(b"", body)
        tag = f'"{hashlib.blake2b(body, digest_size=8).hexdigest()}"'
        modified = formatdate(response.file.stat().st_mtime, usegmt=True)
        headers = {"ETag": tag, "Last-Modified": modified, "Vary": "Accept-Encoding", "Cache-Control": "max-age=60"}
        if response.status == 200 and self._is_unchanged(tag, modified):
            self._send(304, b"", headers)
            return
        headers["Content-Type"] = response.content_type or _content_type(response.file)
        if len(body) >= MIN_GZIP_BYTES and not response.gzip and "gzip" in self.headers.get("Accept-Encoding", ""):
            body, headers["Content-Encoding"] = gzip.compress(body, mtime=0), "gzip"
        self._send(response.status, body, headers)

    do_HEAD = do_GET  # noqa: N815 (the name http.server looks for)

    def do_POST(self) -> None:
        """Refuse the newsletter form. The connection ends, because the body is not read."""
        self.received_at = time.monotonic()
        self._send(405, b"", {"Connection": "close"})

    def _is_unchanged(self, tag: str, modified: str) -> bool:
        """If-None-Match wins over If-Modified-Since (RFC 9110, 13.2.2)."""
        known = self.headers.get("If-None-Match")
        return tag in known if known is not None else self.headers.get("If-Modified-Since") == modified

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.requests.append(Request(self.command, self.path, status, dict(self.headers.items()), self.received_at))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing to the terminal: tests read the list of requests."""


def _encode(response: PathResponse, base: str) -> bytes:
    """The file as bytes, with the server's URL and in the page's encoding; what that lacks is a character reference."""
    assert response.file is not None
    if response.file.suffix not in (".html", ".xml", ".json", ".txt", ".css"):
        return response.file.read_bytes()
    body = response.file.read_text("utf-8").replace(BASE_URL_PLACEHOLDER, base).encode(response.encoding, "xmlcharrefreplace")
    return gzip.compress(body, mtime=0) if response.gzip else body


def _content_type(file: Path) -> str:
    content_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return f"{content_type}; charset=utf-8" if content_type.startswith("text/") else content_type


def main() -> None:
    """`python -m newsmill.demo [--host 0.0.0.0] [--port 8000]`: serve until interrupted, for containers and browsers."""
    parser = argparse.ArgumentParser(prog="python -m newsmill.demo", description="Serves Newsmill's sample newspaper until interrupted.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    with serve(arguments.port, arguments.host) as paper:
        print(f"The newspaper is at {paper.url}/ (Ctrl-C ends it)", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
