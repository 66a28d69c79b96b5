"""Other users of the machine, and readers who want all of the server: real connections, processes, browsers and files."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, sync_playwright
from services import eventually
from site_of_tests import stock

from newsmill.context import AppContext, build_context
from newsmill.model import Source
from newsmill.settings import load
from newsmill.storage import database
from newsmill.storage.frozen_stores import format_time
from newsmill.storage.tokens import Scope, TokenKind
from newsmill.web.config import WebConfig
from newsmill.web.serve import build_server, listen
from newsmill.web.server import create_app

NOBODY = 65534
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
Starter = Callable[[], int]


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[AppContext]:
    engine = database.connect(url)
    settings = load({"NEWSMILL_DATA": str(tmp_path / "data"), "DATABASE_URL": url})
    yield build_context(engine, str(tmp_path / "archive"), settings=settings)
    engine.dispose()


@pytest.fixture
def start(store: AppContext) -> Iterator[Starter]:
    """Starts a server over the store and returns its port."""
    with ExitStack() as running:
        yield lambda: running.enter_context(serving(store))


@contextmanager
def serving(store: AppContext) -> Iterator[int]:
    listener = listen(WebConfig(port=0))
    port = int(listener.getsockname()[1])
    server = build_server(create_app(store, WebConfig(port=port, rate=1_000_000)), shutdown_seconds=1)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join(60)
        listener.close()


def make_link(store: AppContext, port: int) -> str:
    key = store.tokens.add("link", Scope.ADMIN, now=store.now(), kind=TokenKind.LINK, life=timedelta(hours=1))
    return f"http://127.0.0.1:{port}/login?key={key}"


# ---- another user of the machine -------------------------------------------------------------------------------------------------


def delete_and_leave(port: int, names: list[str]) -> None:
    """As another user: send a request for each source and close the connection at once, so that its socket belongs to nobody."""
    if os.geteuid() == 0:
        os.setuid(NOBODY)
    for name in names:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(f"DELETE /api/v1/sources/{name} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())


def test_a_connection_that_its_client_left_has_no_rights(store: AppContext, start: Starter, caplog: pytest.LogCaptureFixture) -> None:
    names = [f"victim-{number}" for number in range(20)]
    for name in names:
        store.ledger.sources.put(Source(name, homepage=f"https://{name}.example/"), now=store.now())
    caplog.set_level(logging.INFO, "newsmill.web.request_guard")
    port = start()
    actor = multiprocessing.get_context("fork").Process(target=delete_and_leave, args=(port, names))
    actor.start()
    actor.join()
    assert eventually(lambda: len(statuses(caplog, "DELETE")) == len(names))
    assert set(statuses(caplog, "DELETE")) == {401}
    assert [source.name for source in store.ledger.sources.list_all()] == sorted(names)
    assert httpx.delete(f"http://127.0.0.1:{port}/api/v1/sources/{names[0]}").status_code == 401


def statuses(caplog: pytest.LogCaptureFixture, method: str) -> list[int]:
    return [int(found[1]) for line in caplog.messages if (found := re.match(rf"{method} \S+ (\d+) ", line))]


def test_nobody_reads_without_a_token(store: AppContext, start: Starter) -> None:
    (document,) = stock(SimpleNamespace(context=store))  # type: ignore[arg-type]
    base = f"http://127.0.0.1:{start()}"
    private = ("/", "/search?q=harbour", f"/documents/{document.id}", "/sources", "/ops", "/stories", "/searches", "/feeds/rss", "/metrics")
    api = ("documents", f"documents/{document.id}", "search?q=harbour", "search/export", "sources", "health", "stream", "webhooks")
    for path in (*private, *(f"/api/v1/{name}" for name in api)):
        assert httpx.get(base + path).status_code == 401, path
    for path in ("/api/v1/live", "/login", "/bot"):
        assert httpx.get(base + path).status_code == 200, path


@contextmanager
def newsmill_web(folder: Path, **variables: str) -> Iterator[str]:
    """A real `newsmill web` with an open umask; what it printed before it served."""
    command = [sys.executable, "-m", "newsmill.cli.main", "web", "--port", "0"]
    environ = os.environ | variables
    with subprocess.Popen(command, cwd=folder, env=environ, stderr=subprocess.PIPE, text=True, umask=0) as process:
        assert process.stderr is not None
        try:
            yield process.stderr.readline()
        finally:
            process.terminate()


def answer_to(line: str, token: str) -> int:
    """The status of a request with a token to the server that printed the line."""
    port = re.search(r"://[^/]*:(\d+)/", line)
    assert port is not None, line
    transport = httpx.HTTPTransport(retries=9)
    with httpx.Client(transport=transport) as client:
        return client.get(
            f"http://127.0.0.1:{port[1]}/api/v1/webhooks", headers={"authorization": f"Bearer {token}"}, timeout=60
        ).status_code


def test_only_the_servers_user_can_read_the_token_file(tmp_path: Path, url: str) -> None:
    file, elsewhere = tmp_path / "newsmill-data" / "web-token", tmp_path / "elsewhere"
    with newsmill_web(tmp_path, DATABASE_URL=url) as line:
        assert file.exists(), line
        token = file.read_text()
        assert answer_to(line, token) == 200
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file.parent, file)] == [0o700, 0o600]
    with newsmill_web(tmp_path, DATABASE_URL=url) as line:
        assert file.read_text() == token and answer_to(line, token) == 200, "it is the same at the next start"
    file.chmod(0o644)
    with newsmill_web(tmp_path, DATABASE_URL=url) as line:
        assert [answer_to(line, token), answer_to(line, file.read_text())] == [401, 200], "others may have read the first one"
    file.unlink()
    file.symlink_to(elsewhere)
    with newsmill_web(tmp_path, DATABASE_URL=url) as line:
        assert answer_to(line, file.read_text()) == 200
    assert not elsewhere.exists() and stat.S_IMODE(file.lstat().st_mode) == 0o600 and not file.is_symlink()


# ---- a server on another port ----------------------------------------------------------------------------------------------------


class CookieThief(BaseHTTPRequestHandler):
    """A server of another user: keeps the cookies that browsers send to it."""

    cookies: list[str]

    def do_GET(self) -> None:
        self.cookies.append(self.headers.get("cookie") or "")
        body = b"<!doctype html><title>Mine</title>"
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing to the terminal."""


@pytest.fixture
def thief() -> Iterator[tuple[int, list[str]]]:
    """The port, and the cookies it has received."""
    cookies: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Thief", (CookieThief,), {"cookies": cookies}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, cookies
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        launched.close()


def test_a_server_on_another_port_gets_no_session(
    store: AppContext, start: Starter, browser: Browser, thief: tuple[int, list[str]]
) -> None:
    port, (other_port, cookies) = start(), thief
    with closing(browser.new_context()) as window:
        page = window.new_page()
        page.goto(make_link(store, port) + "&next=/preferences")
        assert page.locator("form[action='/logout'] button").count(), "the link signs in"
        for name in ("127.0.0.1", "localhost", "newsmill.localhost"):
            page.goto(f"http://{name}:{other_port}/")
        assert len(cookies) >= 3
        for cookie in filter(None, cookies):
            for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
                answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/documents", headers={"cookie": cookie, "host": host})
                assert answer.status_code == 401, cookie


def test_a_session_is_valid_at_one_port_of_one_store(store: AppContext, start: Starter) -> None:
    port, other = start(), start()
    with httpx.Client() as client:
        answer = client.get(make_link(store, port))
        while answer.is_redirect and "set-cookie" not in answer.headers:
            named = httpx.URL(answer.headers["location"])
            answer = client.get(named.copy_with(host="127.0.0.1"), headers={"host": named.netloc.decode()})
        name, _, secret = answer.headers["set-cookie"].partition(";")[0].partition("=")
        host = answer.request.headers["host"]

        def ask(at: int, host: str) -> int:
            cookie = "; ".join(f"{one}={secret}" for one in (name, "nm_session", f"nm_session_{port}", f"nm_session_{other}"))
            headers = {"cookie": cookie, "host": host}
            return httpx.get(f"http://127.0.0.1:{at}/api/v1/documents", headers=headers).status_code

        assert ask(port, host) == 200
        hosts = (f"127.0.0.1:{other}", f"localhost:{other}", host.replace(str(port), str(other)))
        assert [ask(other, one) for one in hosts] == [401] * 3
        assert ask(port, f"127.0.0.1:{port}") == 401


def test_who_has_the_link_or_the_token_gets_in(store: AppContext, start: Starter, browser: Browser) -> None:
    """With a real browser: one click on the link, a second click, the token at the plain IP address, and a form."""
    port, source = start(), Source("paper", homepage="https://paper.example/")
    store.ledger.sources.put(source, now=store.now())
    token = store.tokens.add("ann", Scope.ADMIN, now=store.now())
    with closing(browser.new_context()) as window:
        page = window.new_page()
        page.goto(make_link(store, port) + "&next=/sources")
        used = page.url.replace("/sources", "/login?key=nm_used_link&next=/sources")
        page.goto(used)
        assert page.url.endswith("/sources") and ".localhost:" in page.url
        page.goto(f"{page.url}/paper")
        page.locator("form[action='/sources/paper/state'] button").first.click()
        assert page.locator("form[action='/logout'] button").count()
        assert store.ledger.sources.list_all()[0].enabled is not source.enabled
    with closing(browser.new_context()) as window:
        page = window.new_page()
        page.goto(f"http://127.0.0.1:{port}/login?next=/sources")
        page.fill("#token", token)
        page.locator("form[action='/login'] button").click()
        page.wait_for_url("**/sources")
        assert "ann" in page.locator(".account").inner_text()
        page.goto(f"http://127.0.0.1:{port}/login?key=nm_used_link")
        assert "newsmill token link" in page.locator("[role=alert]").inner_text()
        assert "web-token" in page.locator("[role=alert]").inner_text()


# ---- a reader who asks for ever new times ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_reader_of_many_past_times_does_not_block_others(store: AppContext, start: Starter) -> None:
    stock(SimpleNamespace(context=store), 3, ago=7200)  # type: ignore[arg-type]
    now = store.now()
    hostile, honest = (
        httpx.Client(headers={"authorization": f"Bearer {store.tokens.add(name, Scope.READ, now=now)}"}, timeout=60)
        for name in ("hostile", "honest")
    )
    base, stop = f"http://127.0.0.1:{start()}", threading.Event()

    def search(client: httpx.Client, at: datetime) -> httpx.Response:
        parameters: dict[str, Any] = {"q": "harbour", "as_of": format_time(at)}
        return client.get(f"{base}/api/v1/search", params=parameters)

    def flood(number: int) -> None:
        for second in range(3000):
            if stop.is_set():
                return
            search(hostile, now - timedelta(seconds=2 * second + number + 1, microseconds=1))

    actors = [threading.Thread(target=flood, args=(number,)) for number in range(2)]
    with hostile, honest:
        for actor in actors:
            actor.start()
        try:
            time.sleep(3)
            for hours in (1, 1.5):
                assert is_served(lambda hours=hours: search(honest, now - timedelta(hours=hours))), "in turn"
        finally:
            stop.set()
            for actor in actors:
                actor.join()


def is_served(ask: Callable[[], httpx.Response]) -> bool:
    """Whether one of five requests is answered, with the pauses that the server asks for."""
    for _ in range(5):
        answer = ask()
        if answer.status_code == 200:
            return True
        assert answer.status_code in (429, 503), answer.text
        time.sleep(float(answer.headers["retry-after"]))
    return False
