"""A local server with an article that changes twice, for tests of its revisions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEPT = [f"The old bridge over the river was closed on Monday, and paragraph {n} says why in enough words to count." for n in range(5)]
VERSIONS = (
    ("Bridge closed until May", "The council expects that repairs of the bridge will cost four million euros and end in May."),
    ("Bridge closed until May", "The council expects that repairs of the bridge will cost six million euros and end in May."),
    ("Bridge closed until <b>June</b>", "The council expects that repairs of the bridge will cost six million euros & end in June."),
)


@dataclass
class Article:
    """An article of a local server."""

    url: str = ""
    number: int = 0

    def render(self) -> bytes:
        title, changing = (text.replace("&", "&amp;").replace("<", "&lt;") for text in VERSIONS[self.number])
        paragraphs = "".join(f"<p>{text}</p>" for text in (*KEPT[:3], changing, *KEPT[3:]))
        return (
            f"<html lang=en><head><title>{title}</title></head><body><article><h1>{title}</h1>{paragraphs}</article></body></html>".encode()
        )


@contextmanager
def serve_article() -> Iterator[Article]:
    article = Article()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = article.render() if self.path == "/2026/11/25/bridge-closed" else b""
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
    article.url = f"http://127.0.0.1:{server.server_address[1]}/2026/11/25/bridge-closed"
    try:
        yield article
    finally:
        server.shutdown()
        server.server_close()
