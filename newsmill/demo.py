"""Serves the small newspaper over HTTP: for `newsmill demo`, and for the tests. It knows nothing of the rest of Newsmill.

`tests/newspaper/` is its one copy; the wheel carries it as `newsmill/newspaper/`.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import mimetypes
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

BASE_URL_PLACEHOLDER = "{{base}}"  # stands in the files wherever the server's own address must be spelled out
MIN_GZIP_BYTES = 500  # bytes; below, compression saves no packet (nginx's gzip_min_length is of that order)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the server saw it. `at` is time.monotonic() when it came, in seconds; `path` includes the query."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    at: float


@dataclass(frozen=True, slots=True)
class PathResponse:
    """What stands behind one path: a row of site.toml, or a file of that name."""

    status: int = 200
    file: Path | None = None
    content_type: str | None = None
    encoding: str = "utf-8"
    gzip: bool = False
    location: str | None = None


@dataclass(slots=True)
class Newspaper:
    """A running newspaper: its address, without a slash at the end, and every request it has answered."""

    url: str
    log: list[Request] = field(default_factory=list)


def newspaper_folder() -> Path:
    """Where the newspaper's files are: in the package when installed, in `tests/` of a checkout. Raises FileNotFoundError."""
    here = Path(__file__).resolve().parent
    for path in (here / "newspaper", here.parent / "tests" / "newspaper"):
        if (path / "site.toml").is_file():
            return path
    raise FileNotFoundError(f"the newspaper's files are missing from {here}: install Newsmill again")


@contextmanager
def serve(port: int = 0, host: str = "127.0.0.1", paper: Path | None = None) -> Iterator[Newspaper]:
    """Serves `paper` (default: the newspaper) until the block ends. Port 0 takes any free one."""
    root = paper or newspaper_folder()
    running = Newspaper("")
    handler = partial(_Handler, load_site(root), running.log)
    server = ThreadingHTTPServer((host, port), handler)
    server.daemon_threads = True  # a client that keeps its connection open must not keep the server
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
    """Everything that can be asked for. The files are listed once, so that no path leads anywhere else."""

    files: Mapping[str, Path]  # by their path from the root, e.g. "/de/stadt/index.html"
    answers: Mapping[str, PathResponse]

    def find(self, target: str) -> PathResponse:
        """The answer for a request target. A query nobody listed is ignored, as tracking parameters are on a real site."""
        path = unquote(urlsplit(target).path)
        known = self.answers.get(unquote(target)) or self.answers.get(path) or PathResponse()
        if known.file or known.location:
            return known
        # "/a/" is a/index.html, "/a/b" is a/b or a/b.html
        file = self.files.get(f"{path}index.html" if path.endswith("/") else path) or self.files.get(f"{path}.html")
        return replace(known, file=file) if file else PathResponse(status=404, file=self.files["/404.html"])


def load_site(root: Path) -> Site:
    """The files under root/site and the exceptions of root/site.toml."""
    files = {f"/{path.relative_to(root / 'site').as_posix()}": path for path in (root / "site").rglob("*") if path.is_file()}
    table = tomllib.loads((root / "site.toml").read_text("utf-8"))["paths"]
    return Site(
        files, {path: PathResponse(**{**row, "file": files[f"/{row['file']}"]} if "file" in row else row) for path, row in table.items()}
    )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "Aunebote"
    sys_version = ""
    timeout = 30  # seconds an idle connection may stay

    def __init__(self, site: Site, log: list[Request], *rest: object) -> None:
        self.site, self.requests = site, log
        super().__init__(*rest)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answers from the files, or with 304 when the client's copy is the same."""
        self.came = time.monotonic()
        answer = self.site.find(self.path)
        base = f"http://{self.headers.get('Host') or self.server.server_name}"  # type: ignore[attr-defined]
        if answer.location:
            self._send(answer.status, b"", {"Location": answer.location.replace(BASE_URL_PLACEHOLDER, base)})
            return
        assert answer.file is not None
        body = _encode(answer, base)
        tag = f'"{hashlib.blake2b(body, digest_size=8).hexdigest()}"'
        modified = formatdate(answer.file.stat().st_mtime, usegmt=True)
        headers = {"ETag": tag, "Last-Modified": modified, "Vary": "Accept-Encoding", "Cache-Control": "max-age=60"}
        if answer.status == 200 and self._unchanged(tag, modified):
            self._send(304, b"", headers)
            return
        headers["Content-Type"] = answer.content_type or _content_type(answer.file)
        if len(body) >= MIN_GZIP_BYTES and not answer.gzip and "gzip" in self.headers.get("Accept-Encoding", ""):
            body, headers["Content-Encoding"] = gzip.compress(body, mtime=0), "gzip"
        self._send(answer.status, body, headers)

    do_HEAD = do_GET  # noqa: N815 (the name http.server looks for)

    def do_POST(self) -> None:
        """The newsletter form leads nowhere here; the connection ends, since the body is left unread."""
        self.came = time.monotonic()
        self._send(405, b"", {"Connection": "close"})

    def _unchanged(self, tag: str, modified: str) -> bool:
        """If-None-Match wins over If-Modified-Since (RFC 9110, 13.2.2)."""
        known = self.headers.get("If-None-Match")
        return tag in known if known is not None else self.headers.get("If-Modified-Since") == modified

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.requests.append(Request(self.command, self.path, status, dict(self.headers.items()), self.came))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal: the log is a list that tests read."""


def _encode(answer: PathResponse, base: str) -> bytes:
    """The file as bytes on the wire: own address filled in, in the page's encoding; what that lacks is a character reference."""
    assert answer.file is not None
    if answer.file.suffix not in (".html", ".xml", ".json", ".txt", ".css"):
        return answer.file.read_bytes()
    body = answer.file.read_text("utf-8").replace(BASE_URL_PLACEHOLDER, base).encode(answer.encoding, "xmlcharrefreplace")
    return gzip.compress(body, mtime=0) if answer.gzip else body


def _content_type(file: Path) -> str:
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def main() -> None:
    """`python -m newsmill.demo [--host 0.0.0.0] [--port 8000]`: serves until interrupted, for containers and for looking at it."""
    parser = argparse.ArgumentParser(prog="python -m newsmill.demo", description="Serves Newsmill's small newspaper until interrupted.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    asked = parser.parse_args()
    with serve(asked.port, asked.host) as paper:
        print(f"the Aunebote is at {paper.url}/ (Ctrl-C ends it)", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
