"""`newsmill.open` over HTTP: tokens, refusals, servers that ask for a pause or are not Newsmill, and streams that break."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from rows import FULL, HOST
from site_of_tests import open_door, served
from test_open import DOCUMENTS, fill

import newsmill
from newsmill import mcp_server
from newsmill.client import api_connection
from newsmill.exceptions import AuthenticationError, ConfigError, ServiceError
from newsmill.exports.json_lines import encode_json_line
from newsmill.storage.tokens import Scope
from newsmill.web.config import WebConfig


def test_a_token_opens_what_is_closed(tmp_path: Path) -> None:
    fill(f"sqlite:///{tmp_path / 'newsmill.sqlite'}", *DOCUMENTS)
    door = open_door(tmp_path, WebConfig())
    token = door.context.tokens.add("reader", Scope.READ, now=door.context.now())
    with served(door) as url:
        with pytest.raises(AuthenticationError, match=r"401: this needs a token.*token="):
            list(newsmill.open(url).documents())
        with pytest.raises(ServiceError, match="401"):
            next(newsmill.open(url).stream())
        corpus = newsmill.open(f"{url}/api/v1/", token=token)
        assert len(list(corpus.documents())) == 3
        assert sorted(corpus.frame("harbour")["title"]) == ["The harbour opens", "The harbour shuts"]
        assert token not in repr(corpus)
        tools = mcp_server.Tools(corpus)
        new = tools.what_is_new(since="2026-01-01", limit=2)
        assert len(new.documents) == 2
        assert len(tools.what_is_new(since=new.cursor).documents) == 1
        assert tools.read(new.documents[0].id).text == FULL.text
    door.close()
    with pytest.raises(ConfigError, match="`newsmill token add` has printed"):
        newsmill.open("https://news.example", token="nm_a\r\nX-Evil: 1")


class Odd(BaseHTTPRequestHandler):
    """Answers from a list, one a request: (status, headers, body). The requested paths are kept."""

    def do_GET(self) -> None:
        server: Any = self.server
        server.requests.append(self.path)
        status, headers, body = server.answers.pop(0)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def odd(*answers: tuple[int, dict[str, str], bytes]) -> Iterator[tuple[str, list[str]]]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    server.answers, server.requests = list(answers), []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", server.requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


NOTHING = json.dumps({"items": [], "next": None}).encode()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(api_connection.time, "sleep", slept.append)
    return slept


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((200, {}, b"<html>a proxy's page"), "the response is not JSON"),
        ((200, {}, json.dumps({"items": [{"id": 1}], "next": None}).encode()), "the response cannot be read"),
        ((302, {"Location": "https://evil.example/"}, b""), "it redirects to 'https://evil.example/'"),
        ((403, {}, json.dumps({"detail": "this needs the scope read"}).encode()), "403: this needs the scope read"),
        ((500, {}, b"\xff"), "500: Internal Server Error"),
        ((200, {}, b"[1, 2]"), "the response cannot be read"),
        ((429, {"Retry-After": "86400"}, b""), "429"),
    ],
)
def test_answers_that_are_none(answer: Any, sentence: str, slept: list[float]) -> None:
    with odd(answer) as (url, requests), pytest.raises(ServiceError, match=sentence):
        list(newsmill.open(url, token="secret").documents())
    assert len(requests) == 1
    assert slept == []


def test_a_server_that_puts_us_off(slept: list[float]) -> None:
    with odd((429, {"Retry-After": "7"}, b""), (503, {}, b""), (200, {}, NOTHING)) as (url, requests):
        assert list(newsmill.open(url).documents()) == []
    assert slept == [7.0, 2.0]
    assert len(requests) == 3


def test_an_answer_without_end(slept: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_connection, "MAX_RESPONSE_BYTES", 1000)
    with odd((200, {}, b"x" * 5000)) as (url, _), pytest.raises(ServiceError, match="larger than"):
        list(newsmill.open(url).documents())


def test_nobody_there(slept: list[float]) -> None:
    with odd() as (url, _):
        pass
    for ask in (lambda corpus: list(corpus.documents()), lambda corpus: next(corpus.stream())):
        with pytest.raises(ServiceError, match="check that a Newsmill server runs there"):
            ask(newsmill.open(url))


def test_a_stream_goes_on_where_it_broke(slept: list[float]) -> None:
    def events(*names: str) -> tuple[int, dict[str, str], bytes]:
        found = [(name, replace(FULL, id=name * 32, url=f"https://{HOST}/{name}")) for name in names]
        body = b"".join(b"event: document\nid: c%s\ndata: %s\n" % (name.encode(), encode_json_line(document)) for name, document in found)
        return 200, {"Content-Type": "text/event-stream"}, b"retry: 3000\nid: c0\n: from here on\n\n" + body + b": still here\n\n"

    with odd(events("a"), (503, {}, b""), events("b", "c")) as (url, requests):
        changes = list(islice(newsmill.open(url).stream(), 3))
    assert [(change.document.id[0], change.cursor) for change in changes] == [("a", "ca"), ("b", "cb"), ("c", "cc")]
    assert requests == ["/api/v1/stream?full=true", "/api/v1/stream?full=true&cursor=ca", "/api/v1/stream?full=true&cursor=ca"]
