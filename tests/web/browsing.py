"""Chromium and the application, served over HTTP on a free port. A canary server stands for every other host."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from playwright.sync_api import Browser, BrowserContext, sync_playwright
from sample_store import SEARCH_ID

from newsmill.context import AppContext
from newsmill.storage.tokens import Scope, TokenKind
from newsmill.web.config import WebConfig
from newsmill.web.serve import build_server
from newsmill.web.server import create_app

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-lcd-text"),
]


@dataclass
class Site:
    """The running application. `session` opens everything."""

    url: str
    session: str


@contextmanager
def serve_site(context: AppContext) -> Iterator[Site]:
    """The application in a thread of this process."""
    listener = socket.create_server(("127.0.0.1", 0))
    host = f"127.0.0.1:{listener.getsockname()[1]}"
    server = build_server(create_app(context, WebConfig(rate=1_000_000, url=f"http://{host}")))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    now, life = context.now(), timedelta(hours=1)
    session = context.tokens.add("browser", Scope.ADMIN, now=now, kind=TokenKind.SESSION, life=life, audience=host)
    thread.start()
    try:
        yield Site(f"http://{host}", session)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@dataclass
class Canary:
    """A server to which all other host names resolve. Chromium itself contacts its vendor there; pages must contact nobody."""

    port: int
    heard: list[bytes] = field(default_factory=list)

    def of_pages(self) -> list[bytes]:
        """The requests of pages: all hosts they name end in ".example". The first message of TLS contains the name."""
        return [requests for requests in self.heard if b".example" in requests]


@contextmanager
def canary() -> Iterator[Canary]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        canary_server = Canary(listener.getsockname()[1])
        threading.Thread(target=_listen, args=(listener, canary_server), daemon=True).start()
        yield canary_server
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _listen(listener: socket.socket, canary_server: Canary) -> None:
    with contextlib.suppress(OSError):  # closed
        while True:
            caller, _ = listener.accept()
            with caller, contextlib.suppress(OSError):
                caller.settimeout(1)
                canary_server.heard.append(caller.recv(8000))


@contextmanager
def chromium(canary_server: Canary) -> Iterator[Browser]:
    """Debian's Chromium. All host names except 127.0.0.1 resolve to the canary server."""
    with sync_playwright() as playwright:
        rule = f"--host-resolver-rules=MAP * 127.0.0.1:{canary_server.port}, EXCLUDE 127.0.0.1"
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, rule])
        yield browser
        browser.close()


def window(
    browser: Browser, site: Site, width: int, scheme: str, *, script: bool = True, language: str = "en", zone: str = "UTC"
) -> BrowserContext:
    """A window of that width, signed in."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=script,
        locale=language,
        timezone_id=zone,
    )
    name = f"nm_session_{site.url.rpartition(':')[2]}"
    context.add_cookies([{"name": name, "value": site.session, "url": site.url}])
    return context


def page_urls(ids: dict[str, str]) -> dict[str, str]:
    """The URLs of the pages, by name."""
    one = {
        "home": "/",
        "search": "/search",
        "results": "/search?q=ferry",
        "filters": "/search?q=source%3Ahafenkurier+lang%3Ade+council",
        "nothing-found": "/search?q=nosuchword",
        "saved-searches": "/searches",
        "saved-search": f"/searches/{SEARCH_ID}",
        "comparison": "/explore?q=ferry&q=library&q=source%3Ahafenkurier&measure=share",
        "preferences": "/preferences",
        "sources": "/sources",
        "source": "/sources/aunebote",
        "source-with-rules": "/sources/valley-gazette",
        "operations": "/ops",
        "reextraction": "/ops/reextraction",
        "url": "/ops/url?url=https%3A%2F%2Fgazette.example%2Fwrong%2F1",
        "lost": "/no/such/page",
        "login": "/login",
        "stories": "/stories?order=biggest",
        "story": "/stories/1",
        "bot": "/bot",
        "host-owner": f"/bot/hosts/{'x' * 43}/www.example.org",
    }
    return (
        one
        | {f"document-{name}": f"/documents/{document_id}" for name, document_id in ids.items()}
        | {
            "explain": f"/documents/{ids['paper']}/explain",
            "explain-hostile": f"/documents/{ids['hostile']}/explain",
            "revisions": f"/documents/{ids['hostile']}/revisions",
            "revision-hostile": f"/documents/{ids['hostile']}/revisions?new=2",
            "revision-text": f"/documents/{ids['very-long']}/revisions?old=1&new=1",
            "revision-single": f"/documents/{ids['paper']}/revisions",
            "updates": f"/documents/{ids['live']}/updates",
            "archived": f"/documents/{ids['paper']}/page",
            "archived-hostile": f"/documents/{ids['hostile']}/page",
        }
    )


TITLES = {
    "paper": "Russland und die NATO",
    "long-title": "A title that goes on",
    "long-word": "One word",
    "arabic": "افتتاح",
    "hebrew": "הספרייה",
    "hostile": "Hostile",
    "parts": "Everything a text can hold",
    "very-long": "The whole report",
    "live": "Fähre fährt auch im Winter",
}
