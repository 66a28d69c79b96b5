"""`newsmill extract` with files, folders, URLs and HTML on standard input, in every output format."""

from __future__ import annotations

import csv
import errno
import gzip
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from command_result import Newsmill
from warc_records import record

from newsmill import demo as newspaper

PAGE = (
    "<html lang='en'><head><title>Bridge closed</title></head><body><article><h1>Bridge closed</h1>"
    + "".join(f"<p>The old bridge over the river was closed on Monday, and paragraph {n} says why in enough words.</p>" for n in range(6))
    + "</article></body></html>"
)
EMPTY = "<html><body></body></html>"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.html").write_text(PAGE)
    (tmp_path / "empty.html").write_text(EMPTY)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "page.htm.gz").write_bytes(gzip.compress(PAGE.encode()))
    (tmp_path / "more" / "notes.txt").write_text("no page")
    return tmp_path


def feed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_files_and_folders(newsmill: Newsmill) -> None:
    done = newsmill("extract", "page.html", "empty.html", "more")
    assert done.code == 0
    assert [(record["id"], record["outcome"]) for record in done.lines] == [
        ("page.html", "stored"),
        ("empty.html", "no_text"),
        ("more/page.htm.gz", "stored"),
    ]
    one = newsmill("extract", "page.html", "--url", "https://paper.example/bridge", "--language", "de").lines[0]
    assert (one["url"], one["title"]) == ("https://paper.example/bridge", "Bridge closed")


def test_a_file_is_read_by_its_bytes_whatever_its_name_says(newsmill: Newsmill, folder: Path) -> None:
    (folder / "plain.html.gz").write_bytes(PAGE.encode())
    (folder / "packed.html").write_bytes(gzip.compress(PAGE.encode()))
    (folder / "list.txt").write_text("page.html\nmore/page.htm.gz\n")
    done = newsmill("extract", "plain.html.gz", "packed.html", "list.txt")
    assert [(record["outcome"], record["detail"]) for record in done.lines] == [
        ("stored", None),
        ("stored", None),
        ("not_html", "no markup is in the body"),
    ]


def test_the_pages_of_a_warc_file(newsmill: Newsmill, folder: Path) -> None:
    first, second = (record(f"https://paper.example/{name}", PAGE.encode()) for name in "ab")
    image = record("https://paper.example/c.png", b"\x89PNG\r\n", content_type="image/png")
    damaged = gzip.compress(second)[:-20]
    (folder / "crawl.warc.gz").write_bytes(b"".join(map(gzip.compress, (first, image))) + damaged + gzip.compress(second))
    for options in ([], ["--learn"]):
        done = newsmill("extract", "crawl.warc.gz", "page.html", *options)
        assert [(line["id"].partition("@")[0], line["url"], line["outcome"]) for line in done.lines] == [
            ("crawl.warc.gz", "https://paper.example/a", "stored"),
            ("crawl.warc.gz", "https://paper.example/b", "stored"),
            ("page.html", None, "stored"),
        ]
        assert done.lines[0]["fetched_at"].startswith("2020-03-01T09:30:00")
        assert (done.code, "crawl.warc.gz, offset" in done.err) == (1, True), "a damaged record is no success"
    text = newsmill("extract", "crawl.warc.gz", "--format", "text")
    assert text.out.startswith("==> crawl.warc.gz@0 <==\n")
    (folder / "old.arc.gz").write_bytes(b"")
    assert "old.arc.gz is an ARC file, the format before WARC; convert it" in newsmill("extract", "old.arc.gz").err
    for arguments in (["missing.warc.gz"], ["crawl.warc.gz", "--url", "https://paper.example/a"]):
        assert newsmill("extract", *arguments).code == 2


def test_a_page_as_the_api_takes_it(newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch) -> None:
    page, item = (
        {"url": "https://paper.example/a", "html": PAGE},
        {"url": "https://paper.example/b", "title": "B", "text": "The bridge is closed."},
    )
    lines: list[dict[str, Any]] = [{"page": page}, {"item": item}, {"page": {"url": 1}}, {"page": page, "item": item}]
    feed(monkeypatch, "\n".join(map(json.dumps, lines)).encode())
    assert [line["outcome"] for line in newsmill("extract").lines] == ["stored", "stored", "bad_input", "bad_input"]


def test_what_cannot_be_read_is_named(newsmill: Newsmill, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = os.scandir

    def refuse(path: Any) -> Any:  # the tests may run as root, whom no permission stops
        if str(path).endswith("secret"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scan(path)

    (folder / "more" / "secret").mkdir()
    (folder / "more" / "cut.html.gz").write_bytes(gzip.compress(PAGE.encode())[:40])
    (folder / "more" / "loop").symlink_to("..")
    monkeypatch.setattr("os.scandir", refuse)
    done = newsmill("extract", "more", "--format", "text")
    assert (done.code, "==> more/page.htm.gz <==" in done.out) == (0, True)
    assert [line.partition(":")[0] for line in done.err.splitlines()] == ["more/cut.html.gz", "more/secret"]
    assert "line " not in done.err


def test_a_file_name_that_is_not_utf_8(newsmill: Newsmill, folder: Path) -> None:
    (folder / "odd").mkdir()
    for name in (b"a\xff.html", b"b.html"):
        (folder / "odd" / os.fsdecode(name)).write_text(PAGE)
    (record, _) = newsmill("extract", "odd").lines
    assert record["id"] == "odd/a\udcff.html"
    rows = list(csv.DictReader(io.StringIO(newsmill("extract", "odd", "--format", "csv").out)))
    assert [(row["id"], row["title"]) for row in rows] == [("odd/a\\udcff.html", "Bridge closed"), ("odd/b.html", "Bridge closed")]
    assert newsmill("extract", "odd", "--format", "text").out.startswith("==> odd/a\\udcff.html <==\n")
    assert 'id: "odd/a\\udcff.html"' in newsmill("extract", "odd", "--format", "markdown").out


def test_html_on_standard_input_is_one_page(newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch) -> None:
    marked = [start + PAGE.encode() for start in (b"\n\xef\xbb\xbf", b"\xef\xbb\xbf\n", b"\xef\xbb\xbf \r\n\n")]
    for data in (PAGE.encode(), *marked, gzip.compress(PAGE.encode()), PAGE.replace("><", ">\n<").encode()):
        feed(monkeypatch, data)
        done = newsmill("extract")
        assert [(record["id"], record["outcome"]) for record in done.lines] == [("-", "stored")]
    feed(monkeypatch, PAGE.encode())
    assert newsmill("extract", "-", "page.html", "--format", "text").out.count("paragraph 0") == 2


def test_an_empty_standard_input_is_named(newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch) -> None:
    for data in (b"", b"\n"):
        feed(monkeypatch, data)
        done = newsmill("extract")
        assert (done.code, done.out, done.err) == (0, "", "standard input is empty; nothing was extracted\n")


def test_json_lines_after_a_byte_order_mark(newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch) -> None:
    for start in (b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"):
        feed(monkeypatch, start + b'{"id": 1, "path": "page.html"}\n{"id": 2, "path": "empty.html"}\n')
        assert [(record["id"], record["outcome"]) for record in newsmill("extract").lines] == [(1, "stored"), (2, "no_text")]


def test_input_that_is_neither_is_refused_once(newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, b"one\ntwo\nthree\n")
    done = newsmill("extract")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "neither HTML nor JSON lines" in done.err
    Path("pages.jsonl").write_text('{"path": "page.html"}\n')
    assert newsmill("extract", "pages.jsonl").err.endswith("newsmill extract < pages.jsonl\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.html"], "missing.html: no such file, folder or URL"),
        (["<p>" + "a page " * 1000], "a page a: no such file, folder or URL"),
        (["ftp://a.example/page"], "ftp://a.example/page: not an http or https URL"),
        (["-", "-"], "- is standard input, which can be read once; give it once"),
        (["page.html", "--format", "pdf"], "--format: expected json, markdown, text, csv, parquet, not 'pdf'"),
        (["page.html", "empty.html", "--url", "https://a.example/"], "--url is the URL of one page"),
    ],
)
def test_wrong_use_exits_with_2(newsmill: Newsmill, arguments: list[str], sentence: str) -> None:
    done = newsmill("extract", *arguments)
    assert (done.code, done.out) == (2, "")
    assert sentence in done.err


def test_a_folder_without_pages_is_refused(newsmill: Newsmill, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    done = newsmill("extract", "none")
    assert (done.code, "none: has no page" in done.err) == (2, True)
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "a.html").write_text("<p>Nothing")
    (tmp_path / "empty.warc").touch()
    done = newsmill("extract", "none", "some", "empty.warc")
    assert (done.code, len(done.lines)) == (1, 1) and "none: has no page" in done.err
    assert "empty.warc, offset 0: the file has no WARC record" in done.err


def test_other_formats(newsmill: Newsmill) -> None:
    assert newsmill("extract", "page.html", "--format", "text").out.startswith("The old bridge")
    text = newsmill("extract", "page.html", "empty.html", "--format", "text")
    assert (text.code, text.out.startswith("==> page.html <==\nThe old bridge")) == (0, True)
    assert text.err.startswith("empty.html: no article: no text")
    markdown = newsmill("extract", "page.html", "--format", "markdown").out
    assert markdown.startswith("---\n") and 'title: "Bridge closed"' in markdown
    rows = list(csv.DictReader(io.StringIO(newsmill("extract", "page.html", "more", "--format", "csv").out)))
    assert [(row["id"], row["title"]) for row in rows] == [("page.html", "Bridge closed"), ("more/page.htm.gz", "Bridge closed")]
    assert newsmill("extract", "empty.html", "--format", "text").code == 1


def test_urls_are_fetched_as_the_crawler_does(newsmill: Newsmill, monkeypatch: pytest.MonkeyPatch) -> None:
    with newspaper.serve() as paper:
        refused = newsmill("extract", f"{paper.url}/")
        assert (refused.code, refused.lines[0]["outcome"]) == (1, "ssrf_blocked")
        monkeypatch.setenv("NEWSMILL_ALLOW_NETS", "127.0.0.1/32")
        home, gone = newsmill("extract", f"{paper.url}/", f"{paper.url}/gone-for-good").lines
        assert (home["url"], gone["outcome"], gone["detail"]) == (f"{paper.url}/", "gone", "HTTP 404")
        assert [request.path for request in paper.log][:2] == ["/robots.txt", "/"]
