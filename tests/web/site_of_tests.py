"""The application for tests, with clients that call it as a program, a browser or an anonymous user does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache, cached_property
from pathlib import Path
from types import SimpleNamespace

from fastapi import APIRouter, FastAPI
from rows import Mill, document_of, good, saved
from starlette.testclient import TestClient

from newsmill.context import AppContext, build_context
from newsmill.model import Document, Link, Page, Source
from newsmill.settings import Settings
from newsmill.storage import database
from newsmill.storage.ledger import Trace
from newsmill.storage.tokens import LOCAL_PREFIX, Scope, TokenKind
from newsmill.web.config import WebConfig
from newsmill.web.serve import build_server, listen
from newsmill.web.server import create_app

HOST = "127.0.0.1:8470"
BASE = f"http://{HOST}"
COOKIE = "nm_session_8470"
FOLLOWED = Source(name="paper", homepage="https://home.example/")  # on a host of its own, so that no test leases it by accident


@dataclass
class RunningApp:
    """The application over a store, with its background threads."""

    context: AppContext
    app: FastAPI
    stranger: TestClient  # of this machine, without a token

    @cached_property
    def reader_token(self) -> str:
        """It may read, with the marks and saved searches of the person who runs the server."""
        return self.context.tokens.add("reader", Scope.READ, now=self.context.now(), id_prefix=LOCAL_PREFIX)

    @cached_property
    def reader(self) -> TestClient:
        """A client with `reader_token`."""
        client = self.client(authorization=f"Bearer {self.reader_token}")
        client.portal = self.stranger.portal  # one event loop for all its requests
        return client

    def client(self, **headers: str) -> TestClient:
        return TestClient(self.app, base_url=BASE, headers=headers, raise_server_exceptions=False, follow_redirects=False)

    def program(self, scope: str = "read") -> TestClient:
        """A client with a token."""
        token = self.context.tokens.add(f"{scope} program", Scope(scope), now=self.context.now())
        return self.client(authorization=f"Bearer {token}")

    def browser(self, scope: str = "admin") -> TestClient:
        """A client with a session."""
        now, life = self.context.now(), timedelta(hours=1)
        secret = self.context.tokens.add("browser", Scope(scope), now=now, kind=TokenKind.SESSION, life=life, audience=HOST)
        client = self.client()
        client.cookies.set(COOKIE, secret)
        return client

    def close(self) -> None:
        self.stranger.__exit__(None, None, None)
        self.context.engine.dispose()


@cache
def shared_router() -> APIRouter:
    """The routes of all applications, which hold no state: FastAPI resolves those of each new application again, in 0.2 s of CPU."""
    return create_app(SimpleNamespace()).router


def open_door(folder: Path, config: WebConfig, settings: Settings | None = None) -> RunningApp:
    """The application over the store in `folder`."""
    engine = database.connect(f"sqlite:///{folder / 'newsmill.sqlite'}")
    context = build_context(engine, str(folder / "archive"), settings=settings)
    app = create_app(context, config)
    app.router = shared_router()
    stranger = TestClient(app, base_url=BASE, raise_server_exceptions=False, follow_redirects=False)
    stranger.__enter__()
    return RunningApp(context, app, stranger)


# ---- content of the store ------------------------------------------------------------------------------------------------------

PARAGRAPH = "The old bridge over the river was closed on Monday, and paragraph {n} says why in enough words to count as one."
PAGE = (
    "<html lang='en'><head><title>Bridge closed</title></head><body><nav><a href='/'>Home</a></nav><article><h1>Bridge closed</h1>"
    + "".join(f"<p>{PARAGRAPH.format(n=n)}</p>" for n in range(6))
    + "</article><footer>All rights reserved</footer></body></html>"
)


def stock(web: RunningApp, count: int = 1, *, ago: float = 60, text: str = "Words about a harbour.", **fields: object) -> list[Document]:
    """Documents that pass all states of the ledger, stored `ago` seconds before now, a millisecond apart."""
    mill = Mill(web.context.ledger, now=web.context.now() - timedelta(seconds=ago))
    mill.ledger.sources.put(FOLLOWED, now=mill.now)
    number = web.context.documents.count()
    claims = mill.fetch(*(Link(f"https://paper.example/{number + n}", source="paper", found_by="feed") for n in range(count)))
    made = []
    for n, claim in enumerate(claims):
        document = document_of(claim.url, text=text, **{"title": f"Harbour {number + n}", "language": "en", **fields})
        mill.now += timedelta(milliseconds=1)
        mill.store(good(claim, document))
        made.append(document)
    return made


def archive(web: RunningApp, url: str = "https://paper.example/bridge") -> Trace:
    """A page in the archive that a worker has processed; its trace."""
    context, now = web.context, web.context.now() - timedelta(seconds=60)
    mill = Mill(context.ledger, now=now)
    mill.ledger.sources.put(FOLLOWED, now=now)
    mill.ledger.links.add([Link(url, source="paper")], now=now)
    (row,) = mill.lease()
    page = Page(url, url, now, 200, (("Content-Type", "text/html; charset=utf-8"),), PAGE.encode())
    segment = context.archive.write([page], now=now)
    mill.ledger.url_leases.save_segment(segment, [saved(row, segment.offsets[0])], now=now)
    (claim,) = mill.claim(segment.id)
    mill.store(good(claim, replace(document_of(url), archive_ref=f"{segment.id}@{segment.offsets[0]}")))
    found = context.ledger.traces.get(url)
    assert found is not None
    return found


def quarantine(web: RunningApp, url: str = "https://paper.example/poison") -> None:
    """A page that crashed its process three times."""
    mill = Mill(web.context.ledger, now=web.context.now() - timedelta(hours=2))
    (claim,) = mill.fetch(Link(url))
    for _ in range(2):
        mill.ledger.claims.report_crash(claim, "read", "signal 11 (SIGSEGV)", now=mill.now)
        mill.now += timedelta(minutes=30)
        claim = mill.take_aside()
    mill.ledger.claims.report_crash(claim, "read", "signal 11 (SIGSEGV)", now=mill.now)


@contextmanager
def served(web: RunningApp) -> Iterator[str]:
    """The application on a real port, for endless responses, which a test client cannot read. Yields its URL."""
    server = build_server(web.app, shutdown_seconds=1)
    socket = listen(WebConfig(port=0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        socket.close()
