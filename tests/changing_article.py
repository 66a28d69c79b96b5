"""A site changes an article twice; the crawler and a worker follow, and every interface shows both old texts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from command_result import Newsmill, make_runner
from page_client import read, text_of
from site_of_tests import open_door, served
from test_newspaper_crawl import environ, running, wait_until

import newsmill as package
from newsmill.storage import database
from newsmill.storage.documents import Documents
from newsmill.web.config import WebConfig

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
    requests: list[str] = field(default_factory=list)

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


def test_both_old_texts_come_back_through_every_interface(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, newsmill = tmp_path / "data", make_runner(capsys, monkeypatch)
    for name, value in environ(data).items():
        monkeypatch.setenv(name, value)
    with serve_article() as article:
        assert newsmill("submit", article.url).code == 0
        engine = database.connect(f"sqlite:///{data / 'newsmill.sqlite'}")
        stored = Documents(engine)
        with running(data):
            for number in range(len(VERSIONS)):
                article.number = number
                if number:
                    assert newsmill("submit", "--again", article.url).code == 0
                wait_until(lambda number=number: (found := stored.get(article.url)) is not None and found.revision == number + 1)  # type: ignore[misc]
        engine.dispose()
    with package.open(data) as corpus:
        listed = corpus.revisions(article.url)
        check_list([(one.revision, one.previous, one.changed, one.words_added, one.words_removed) for one in listed])
        contents = [corpus.revision(article.url, number) for number in (1, 2, 3)]
    for content, (title, changing) in zip(contents, VERSIONS, strict=True):
        assert content is not None and (content.title, content.text.split("\n\n")[3]) == (title, changing)
    check_commands(newsmill, article.url)
    door = open_door(data, WebConfig())
    with served(door) as url, package.open(url) as corpus:
        assert (corpus.revisions(article.url), [corpus.revision(article.url, number) for number in (1, 2, 3)]) == (listed, contents)
    document = corpus_id(contents)
    answer = door.stranger.get(f"/api/v1/documents/{document}/revisions", params={"limit": 2}).json()
    rest = door.stranger.get(f"/api/v1/documents/{document}/revisions", params={"cursor": answer["next"]}).json()
    assert [one["revision"] for one in (*answer["items"], *rest["items"])] == [3, 2, 1] and rest["next"] is None
    pages = [text_of(read(door.stranger, f"/documents/{document}/revisions?old={number}&new={number}")) for number in (1, 2)]
    assert all(changing in page for page, (_, changing) in zip(pages, VERSIONS, strict=False))
    difference = read(door.stranger, f"/documents/{document}/revisions?new=3")
    assert [text_of(one) for one in difference.xpath("//section//del")] == ["May", "and", "May"]
    assert [text_of(one) for one in difference.xpath("//section//ins")] == ["<b>June</b>", "&", "June"]
    door.close()


def check_list(rows: list[tuple[Any, ...]]) -> None:
    assert rows == [(3, 2, ("title", "text"), 1, 2), (2, 1, ("text",), 1, 1), (1, None, (), 0, 0)]


def check_commands(newsmill: Newsmill, url: str) -> None:
    lines = newsmill("revisions", url, "--json").lines
    check_list([(one["revision"], one["previous"], tuple(one["changed"]), one["words_added"], one["words_removed"]) for one in lines])
    assert "text +1 −1 (new fetch)" in newsmill("revisions", url).out
    for number, (title, changing) in enumerate(VERSIONS, 1):
        shown = newsmill("revisions", url, "--show", str(number)).out
        assert shown.startswith(f"{title}\n\n") and changing in shown
        assert newsmill("revisions", url, "--show", str(number), "--json").json["title"] == title
    assert "will cost [-four-]{+six+} million" in newsmill("revisions", url, "--changes", "2").out
    paragraphs = newsmill("revisions", url, "--changes", "3", "--json").json["paragraphs"]
    assert [one["kind"] for one in paragraphs].count("changed") == 1
    for option, number, words in (("--changes", "1", "the first that is kept"), ("--show", "9", "is not kept")):
        assert words in newsmill("revisions", url, option, number).err
    assert "exclude each other" in newsmill("revisions", url, "--show", "1", "--changes", "2").err
    assert "No document has the URL" in newsmill("revisions", "https://nowhere.example/").err


def corpus_id(contents: list[Any]) -> str:
    (document,) = {content.document_id for content in contents}
    return str(document)
