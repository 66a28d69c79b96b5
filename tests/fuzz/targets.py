"""What is fuzzed: one function for each reader of bytes from outside. A function takes any bytes and raises what nobody declared.

The last byte of an input also chooses an option (a content type, an encoding), so that a plain file is a useful seed.
"""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TypeVar

from fuzz.target import Target
from newsmill.archive.captures import read_captures
from newsmill.discovery.feeds import read_feed
from newsmill.discovery.homepages import MAX_FEEDS, MAX_SECTIONS, read_homepage
from newsmill.discovery.html_listings import MAX_PAGES, read_section
from newsmill.discovery.retry_after import MAX_RETRY_AFTER_SECONDS, parse_retry_after
from newsmill.discovery.robots import MAX_CRAWL_DELAY_SECONDS, RobotsTxt
from newsmill.discovery.sitemap_entries import MAX_URLS
from newsmill.discovery.sitemaps import SitemapReader
from newsmill.discovery.xml_feeds import MAX_ENTRIES
from newsmill.exceptions import DecodeError, ListingError, UrlError
from newsmill.extraction.decode import MAX_BODY_BYTES, decode_body
from newsmill.extraction.metadata.fields import MAX_TAGS
from newsmill.extraction.normalise import count_words, normalise, normalise_line
from newsmill.extraction.pipeline import read
from newsmill.model import Link, Outcome, Page
from newsmill.sandbox.page_messages import RESULT_ADAPTER, to_json
from newsmill.search.parsed_query import Terms, positive_terms
from newsmill.search.query import parse_query
from newsmill.search.query_parser import MAX_ITEMS, MAX_PHRASE_WORDS
from newsmill.search.sqlite_backend import SqliteBackend
from newsmill.search.tokens import fold
from newsmill.similarity.near_duplicates import fingerprint
from newsmill.text import urls
from newsmill.text.charset import to_utf8

T = TypeVar("T")
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
URL = "https://paper.example/2026/11/25/council-votes-on-the-bridge-10431"
AGENT = "Newsmill/1.0 (+https://newsmill.example/bot)"
DECODED = 1 << 20  # bytes that a body may decompress to here
ENCODINGS = (None, "gzip", "deflate", "br", "zstd", "gzip, br", "identity")
TYPES = (
    None, "text/html", "text/html; charset=utf-8", "application/xml", "text/xml; charset=iso-8859-1", "application/feed+json",
    "text/html; charset=shift_jis", "text/html; charset=gb2312", "text/plain; charset=utf-16", "text/html; charset=nonsense",
)  # fmt: skip
BASES = (None, URL, "https://user:word@paper.example:8443/a/b/../c?d=e#f", "http://xn--zrich-kva.example/", "http://[::1]:80/x/")


def feed(data: bytes) -> None:
    try:
        listing = read_feed(data, URL, pick(data, TYPES), now=NOW)
    except ListingError:
        return
    assert len(listing.pages) <= MAX_ENTRIES
    check_links((*listing.pages, *listing.listings))


def sitemap(data: bytes) -> None:
    whole, warnings = _read_sitemap([data])
    assert len(whole) <= MAX_URLS
    check_links(whole)
    step = 1 + (data[-1] if data else 0)
    pieces, _ = _read_sitemap([data[at : at + step] for at in range(0, len(data), step)])
    assert pieces == whole, f"other links in chunks of {step} bytes ({warnings})"


def _read_sitemap(chunks: Iterable[bytes]) -> tuple[list[Link], tuple[str, ...]]:
    reader = SitemapReader(URL, now=NOW)
    try:
        return [*(link for chunk in chunks for link in reader.feed(chunk)), *reader.close()], tuple(reader.warnings)
    except ListingError:
        return [], ("refused",)


def section(data: bytes) -> None:
    kind = pick(data, TYPES)
    for read_links, most in ((read_section, 1), (read_homepage, MAX_FEEDS + MAX_SECTIONS + 1)):
        try:
            listing = read_links(data, URL, kind)
        except ListingError:
            continue
        assert len(listing.pages) <= MAX_PAGES and len(listing.listings) <= most
        check_links((*listing.pages, *listing.listings))


def robots(data: bytes) -> None:
    rules = RobotsTxt.parse(data)
    for agent in (AGENT, "*", ""):
        delay = rules.crawl_delay(agent)
        assert delay is None or 0 <= delay <= MAX_CRAWL_DELAY_SECONDS
        assert rules.can_fetch(URL, agent) == RobotsTxt.parse(data).can_fetch(URL, agent)
    assert all(isinstance(url, str) for url in rules.sitemaps)
    pause = parse_retry_after(text_of(data[:60]), NOW)
    assert pause is None or 0 <= pause <= MAX_RETRY_AFTER_SECONDS


def url(data: bytes) -> None:
    given = text_of(data)
    try:
        normal = urls.normalize(given, pick(data, BASES))
    except UrlError:
        return
    assert len(normal) <= urls.MAX_URL_CHARACTERS
    assert urls.normalize(normal) == normal, f"{normal!r} is not stable: {urls.normalize(normal)!r}"
    assert urls.make_key(normal) == urls.make_key(urls.normalize(normal))
    assert urls.get_host(normal) and urls.get_site(normal)
    assert "@" not in normal.split("/")[2]
    normal.encode("ascii")


def decode(data: bytes) -> None:
    """The body's compression, its characters, and the normal form of its text."""
    try:
        body = decode_body(pick(data, ENCODINGS), data, DECODED)
    except DecodeError as error:
        assert Outcome(error.outcome) in (Outcome.TOO_LARGE, Outcome.BAD_ENCODING, Outcome.DATA_LOSS)
        return
    assert len(body) <= DECODED <= MAX_BODY_BYTES
    text = to_utf8(body, pick(data, TYPES)).decode("utf-8")
    check_normal(text)
    check_normal(text_of(data))  # with lone surrogates


def check_normal(text: str) -> None:
    stored = normalise(text)
    assert normalise(stored) == stored, f"unstable: {stored[:200]!r}"
    line = normalise_line(text)
    assert normalise_line(line) == line and "\n" not in line, f"unstable line: {line[:200]!r}"
    assert 0 <= count_words(stored) <= len(stored)
    stored.encode("utf-8")
    fingerprint(stored)


def reader(data: bytes) -> None:
    page = Page(URL, URL, NOW, 200, (("Content-Type", pick(data, TYPES[:5]) or ""),), data)
    reading = read(page)
    assert RESULT_ADAPTER.validate_json(to_json(RESULT_ADAPTER, reading)).ending == reading.ending
    assert all(block.text or not block.kept for block in reading.blocks)
    document = reading.document
    assert (document is None) == (reading.ending.outcome is not Outcome.STORED)
    if document is None:
        assert reading.ending.detail
        return
    assert document.text, "stored without a text"
    for text in (document.text, *(block.text for block in document.blocks)):
        assert normalise(text) == text, f"not in normal form: {text[:200]!r}"
    for line in (document.title, document.description, document.section, *(author.name for author in document.authors), *document.tags):
        assert line is None or (line and normalise(line) == line), f"not in normal form: {line[:200]!r}"
    assert len(document.authors) <= 100 and len(document.tags) <= MAX_TAGS and 0 <= (document.confidence or 0) <= 1
    assert document.published_at is None or document.published_at <= NOW + timedelta(days=1)
    short = read(page, brief=True).document
    assert short is not None and (short.text, short.title) == (document.text, document.title)


def query(data: bytes) -> None:
    text = text_of(data)
    found = parse_query(text)
    assert fold(fold(text)) == fold(text), f"unstable: {fold(text)[:200]!r}"
    if found.node is None:
        return
    words = positive_terms(found.node)
    assert len(words) <= MAX_ITEMS and all(isinstance(item, Terms) and 0 < len(item.words) <= MAX_PHRASE_WORDS for item in words)
    again = parse_query(" ".join(f'"{" ".join(item.words)}"' for item in words if not item.prefix and not item.part))
    assert again.node is not None or again.matches_nothing or not any(not item.prefix and not item.part for item in words)
    _index().execute("SELECT count(*) FROM words WHERE words MATCH ?", (SqliteBackend().format_query(found.node),)).fetchone()


@cache
def _index() -> sqlite3.Connection:
    index = sqlite3.connect(":memory:")
    index.execute("CREATE VIRTUAL TABLE words USING fts5(title, lead, body, facets)")
    return index


def warc(data: bytes) -> None:
    for capture in read_captures(io.BytesIO(data)):
        assert 0 <= capture.offset <= len(data)
        assert (capture.page is None) == (capture.skipped is not None)


def pick(data: bytes, options: Sequence[T]) -> T:
    return options[data[-1] % len(options) if data else 0]


def text_of(data: bytes) -> str:
    """Any text, with lone surrogates where the bytes are not UTF-8."""
    return data.decode("utf-8", "surrogateescape")


def check_links(links: Iterable[Link]) -> None:
    for link in links:
        assert urls.normalize(link.url) == link.url, f"not in normal form: {link.url!r}"
        hint = link.hint
        for text in (hint.title, hint.language, *hint.authors, *hint.tags):
            assert text is None or (text and text.encode("utf-8"))
        for at in (hint.published_at, hint.modified_at):
            assert at is None or (at.utcoffset() is not None and at <= NOW + timedelta(days=1)), at


_TAGS = ("p", "div", "/div", "h1", "a href='/x'", "/a", "br", "td", "table", "li", "dt", "dd", "script", "/script", "b", "title")
_HTML = (
    *(f"<{tag}>".encode() for tag in _TAGS),
    *(b"&#11;", b"&#x1f600;", b"&amp;", b"<!--", b"-->", b" class='byline'", b" datetime='2026-11-25'", b" itemprop='author'", b"\xff\xfe"),
)
_XML = (
    b"<item>",
    b"</item>",
    b"<link>",
    b"<title>",
    b"<![CDATA[",
    b"]]>",
    b"&#55357;&#56832;",
    b"&#xD800;",
    b"<?xml version='1.0'?>",
    b"\0",
)
_MAP = (b"<url>", b"</url>", b"<loc>", b"</loc>", b"<lastmod>", b"<sitemap>", b"https://paper.example/a", b"\x1f\x8b\x08", b"&amp;")
_RULES = (
    b"User-agent: *\n",
    b"Disallow: /",
    b"Allow: ",
    b"*",
    b"$",
    b"Crawl-delay: 3",
    b"Sitemap: https://paper.example/s.xml",
    b"<!--",
    b"\r",
)
_URLS = (
    b"http://",
    b"https:",
    b"//",
    b"%2e%2e/",
    b"%25",
    b"?a=b&",
    b"&amp;amp;",
    b"xn--",
    b"[::1]",
    b"@",
    b"#",
    b"\\",
    b"utm_source=x",
    b"%e4",
)
_BYTES = (
    b"\x1f\x8b\x08\0",
    b"\x78\x9c",
    b"\x28\xb5\x2f\xfd",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"<meta charset=gbk>",
    "Ã©â€œ".encode(),
    b"\x1b$B",
)
_QUERY = (
    b" OR ",
    b" AND ",
    b'"',
    b"-",
    b"title:",
    b"after:2026-11",
    b"before:",
    b"lang:de",
    "東京".encode(),
    "\u0301".encode(),
    b"*",
    b"is_free:no",
)

_RECORDS = (
    b"WARC/1.0\r\n",
    b"\r\n\r\n",
    b"WARC-Type: response\r\n",
    b"WARC-Type: warcinfo\r\n",
    b"Content-Length: 9\r\n",
    b"Content-Length: 99999999999\r\n",
    b"WARC-Date: 2020-03-01T09:30:00Z\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"software: Newsmill ",
    b"\x1f\x8b\x08\0",
    b"\x28\xb5\x2f\xfd",
)

TARGETS = {
    "feed": Target(feed, 3, ("rss.xml", "en/atom.xml", "feed.json"), _XML),
    "sitemap": Target(sitemap, 3, ("sitemap*.xml",), _MAP),
    "section": Target(section, 3, ("index.html", "de/politik/index.html"), _HTML),
    "robots": Target(robots, 3, ("robots.txt",), _RULES),
    "url": Target(url, 1, (), _URLS, 2_000),
    "decode": Target(decode, 3, ("robots.txt", "uk/*/*.html"), _BYTES),
    "reader": Target(reader, 10, ("de/stadt/*.html", "en/*/*.html", "404.html", "suche.html"), _HTML, 40_000),
    "query": Target(query, 1, (), _QUERY, 4_000),
    "warc": Target(warc, 3, (), _RECORDS),
}
