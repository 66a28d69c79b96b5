"""Every other pure function with one shape repeated: what it costs grows no faster than N log N."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from growth.measure import MOST, TIMES, growth
from growth.page_shapes import SENTENCE, THAI, page, repeated

from newsmill.discovery.article_pages import find_next_page_of
from newsmill.discovery.feeds import read_feed
from newsmill.discovery.freshness import compute_fresh_seconds
from newsmill.discovery.homepages import read_homepage
from newsmill.discovery.html_listings import read_section
from newsmill.discovery.retry_after import parse_retry_after
from newsmill.discovery.robots import RobotsTxt
from newsmill.discovery.sitemaps import SitemapReader
from newsmill.exceptions import IncompleteListingError, UrlError
from newsmill.exports import csv_tables, json_lines, news_article, parquet, peer_formats
from newsmill.exports.markdown import render_markdown
from newsmill.extraction.article_parts import join_parts
from newsmill.extraction.decode import decode_body
from newsmill.extraction.normalise import count_words, fold, normalise, normalise_line
from newsmill.extraction.pipeline import read
from newsmill.model import Author, Block, BlockType, Document, ExtractionResult, Link, Markup, Outcome, OutcomeRecord, Page, TableCell
from newsmill.search import tokens as search_words
from newsmill.search.highlights import Highlighter
from newsmill.search.parsed_query import Terms
from newsmill.search.query import parse_query
from newsmill.similarity.near_duplicates import fingerprint, shingles, similarity
from newsmill.similarity.revision_comparison import compare_texts, compare_words, count_changed_words
from newsmill.sources.additions import SourceIndex, plan_addition
from newsmill.sources.source_lists import read_list
from newsmill.text import urls
from newsmill.text.charset import to_utf8
from newsmill.text.redaction import redact
from newsmill.web.pages.archived_page import add_stand_in_style, decode_page, disable_preconnects

BEGINNING = Terms(("a",), exact=True, prefix=True, runs=("a",))
MARKS = [chr(number) for number in range(0x300, 0x370)]  # of several classes, which a normal form sorts
NOW = datetime(2026, 11, 25, tzinfo=UTC)
URL = "https://paper.example/2026/11/25/the-bridge-stays-open-12345"


@dataclass(frozen=True, slots=True)
class Case:
    """`run(make(n))` for n up to `most`."""

    name: str
    most: int
    make: Callable[[int], Any]
    run: Callable[[Any], object]


def _sitemap(body: bytes, step: int = 1 << 16) -> list[Link]:
    reader = SitemapReader(URL, now=NOW)
    links = [link for at in range(0, len(body), step) for link in reader.feed(body[at : at + step])]
    with suppress(IncompleteListingError):
        links += reader.close()
    return links


def _url(text: str) -> None:
    for function in (urls.normalize, urls.make_key):
        try:
            function(text)
        except UrlError:
            continue
    redact(text)


def _rules(text: bytes) -> bool:
    rules = RobotsTxt.parse(text)
    return rules.can_fetch("https://paper.example/" + "a" * 100, "newsmill") and rules.crawl_delay("newsmill") is None


@cache
def _document() -> Document:
    document = read(Page(URL, URL, NOW, 200, (("Content-Type", "text/html; charset=utf-8"),), page("").encode())).document
    assert document is not None
    return document


def _export(document: Document) -> None:
    for shape in (peer_formats.as_zyte, peer_formats.as_newsplease, peer_formats.as_trafilatura, news_article.as_news_article):
        json_lines.encode_json_line(shape(document))
    csv_tables.write_csv(io.BytesIO(), [document])
    parquet.write_parquet(io.BytesIO(), [document])


def _show_archived(body: bytes) -> None:
    found = Page(URL, URL, NOW, 200, (("Content-Type", "text/html"),), body)
    add_stand_in_style(disable_preconnects(decode_page(found)))


def _table(text: str, cells: tuple[TableCell, ...] = ()) -> Document:
    return replace(_document(), blocks=(Block(BlockType.TABLE, text, markup=Markup(cells=cells)),))


def _make_parts(n: int) -> tuple[ExtractionResult, list[tuple[Page, ExtractionResult]]]:
    """The results of three pages of one article, with n paragraphs each, of which the first half is that of the page before."""
    results = []
    for number in (1, 2, 3):
        url = URL if number == 1 else f"{URL}/{number}"
        texts = (f"{at} {SENTENCE}" for at in range((number - 1) * n // 2, (number + 1) * n // 2))
        document = replace(_document(), url=url, canonical_url=None, blocks=tuple(Block(BlockType.PARAGRAPH, text) for text in texts))
        results.append((Page(url, url, NOW, 200, (), b""), ExtractionResult(OutcomeRecord(Outcome.STORED), document)))
    return results[0][1], results[1:]


def _feed(body: bytes) -> None:
    with suppress(IncompleteListingError):
        read_feed(body, URL, "application/xml", now=NOW)


def _add_sites(body: bytes) -> None:
    known = SourceIndex([])
    for site in read_list(body, "sites.csv"):
        addition = plan_addition(known, {"homepage": site.url}, urls.get_host(site.url), site.name)
        assert addition.source is not None
        known.add(addition.source)


def _paragraphs(n: int) -> list[str]:
    return [f"{i * 7919 % 10_007} {SENTENCE} {i}" for i in range(n)]


def _texts(name: str, most: int, piece: str) -> list[Case]:
    functions = {
        "normalise": normalise,
        "normalise_line": normalise_line,
        "fold": fold,
        "count_words": lambda text: count_words.__wrapped__(text),
        "fingerprint": fingerprint,
        "similarity": lambda text: similarity(shingles(text), shingles(text[5:])),
        "comparison": lambda text: compare_texts(text, text[5:]),
        "changed words": lambda text: count_changed_words(text, text[5:]),
        "words of the index": search_words.tokenize,
        "query": parse_query,
    }
    return [Case(f"{function}: {name}", most, lambda n: piece * n, run) for function, run in functions.items()]


def _bytes(name: str, most: int, run: Callable[[bytes], object], piece: str, before: str = "", after: str = "") -> Case:
    return Case(name, most, lambda n: (before + repeated(piece, n) + after).encode(), run)


_ITEM = "<item><title>Title %d</title><link>https://paper.example/2026/story-%d</link><pubDate>Wed, 25 Nov 2026 10:00 GMT</pubDate></item>"
_PLACE = "<url><loc>https://paper.example/2026/story-%d</loc><lastmod>2026-11-25</lastmod></url>"
_LINK = '<li><a href="/2026/11/25/story-number-%d">A headline of some length %d</a>'

CASES = (
    *_texts("sentences", 40_000, SENTENCE + " "),
    *_texts("lines", 100_000, "one line\n"),
    *_texts("blanks", 1_000_000, " \n"),
    *_texts("one word", 1_000_000, "a"),
    *_texts("Thai", 10_000, THAI),
    *_texts("accents", 500_000, "\u0301"),
    *_texts("mojibake", 50_000, "CafÃ© â€œx "),
    *_texts("joiners", 300_000, "\u200d\u200c"),
    *_texts("quotes", 300_000, '"-'),
    *_texts("operators", 100_000, "title:a OR "),
    _bytes("feed: items", 20_000, _feed, _ITEM, "<rss><channel>"),
    _bytes("feed: items after the limit", 60_000, _feed, "<item/>", "<rss><channel>"),
    _bytes("feed: categories", 50_000, _feed, "<category>tag %d</category>", "<rss><channel><item><link>/a</link>", "</item>"),
    _bytes("feed: authors", 50_000, _feed, "<author><name>Ada %d</name></author>", "<feed><entry><link href='/a'/>", "</entry>"),
    Case(
        "feed: authors that entries inherit",
        8_000,
        lambda n: (
            "<feed>" + "<author><name>Ada</name></author>" * n + "<entry><id>https://paper.example/a</id></entry>" * (n // 4)
        ).encode(),
        _feed,
    ),
    Case(
        "feed: JSON authors that items inherit",
        8_000,
        lambda n: json.dumps({"authors": [{"name": "Ada"}] * n, "items": [{"url": "/a"}] * (n // 4)}).encode(),
        _feed,
    ),
    Case(
        "feed: links below a long base",
        2_000,
        lambda n: (f"<feed xml:base='https://paper.example/{'a/' * n}'><entry>" + "<link href='b'/>" * n).encode(),
        _feed,
    ),
    _bytes("feed: links of one entry", 50_000, _feed, "<link href='/a%d'/>", "<feed><entry>", "</entry>"),
    _bytes("feed: nested", 20_000, _feed, "<div>", "<rss><channel><item><description>"),
    _bytes("feed: references", 200_000, _feed, "&amp;&#128512;", "<rss><channel><item><title>", "</title></item>"),
    _bytes("feed: ampersands", 500_000, _feed, "&", "<rss><channel><item><title>", "</title></item>"),
    Case(
        "feed: JSON",
        20_000,
        lambda n: json.dumps(
            {
                "version": "https://jsonfeed.org/version/1.1",
                "items": [{"id": str(i), "url": f"/{i}", "title": "x", "tags": ["a"]} for i in range(n)],
            }
        ).encode(),
        _feed,
    ),
    _bytes("sitemap: entries", 50_000, _sitemap, _PLACE, "<urlset>"),
    _bytes("sitemap: in chunks of a byte", 1_000, lambda body: _sitemap(body, 1), _PLACE, "<urlset>"),
    _bytes("sitemap: lines", 50_000, _sitemap, "https://paper.example/2026/story-%d\n"),
    _bytes("sitemap: one line", 1_000_000, _sitemap, "a", "https://paper.example/"),
    _bytes("sitemap: one loc", 1_000_000, _sitemap, "a", "<urlset><url><loc>https://paper.example/"),
    _bytes("sitemap: nested", 200_000, _sitemap, "<url>", "<urlset>"),
    _bytes("sitemap: unknown elements", 75_000, _sitemap, "<a>", "<urlset>"),
    _bytes("sitemap: entries without ends", 50_000, _sitemap, "<url><loc>", "<urlset>"),
    _bytes("sitemap: open tags", 250_000, _sitemap, "<a ", "<urlset>"),
    _bytes("sitemap: open quotes", 75_000, _sitemap, "<a b='", "<urlset>"),
    _bytes("sitemap: comments", 100_000, _sitemap, "<!---->", "<urlset>"),
    _bytes("sitemap: open comments", 125_000, _sitemap, "<!--", "<urlset>"),
    _bytes("sitemap: ends without starts", 100_000, _sitemap, "</b>", "<urlset><url>" + "<a>" * 64),
    _bytes("sitemap: open sections", 30_000, _sitemap, "<url><![CDATA[</url>", "<urlset>"),
    _bytes("sitemap: sections in sections", 30_000, _sitemap, "<url><![CDATA[<![CDATA[</url>", "<urlset>"),
    _bytes("sitemap: URLs of one entry", 25_000, _sitemap, "<loc>https://news.example/a</loc>", "<urlset><url>"),
    _bytes("sitemap: URLs outside entries", 25_000, _sitemap, "https://news.example/a-b-c-d ", "<urlset>"),
    _bytes("sitemap: ampersands", 1_000_000, _sitemap, "&", "<urlset><url><loc>"),
    *(
        _bytes(f"{name}: {shape}", most, run, piece)
        for name, run in (
            ("section", lambda body: read_section(b"<p>" + body, URL)),
            ("homepage", lambda body: read_homepage(b"<p>" + body, URL)),
        )
        for shape, most, piece in (
            ("links", 20_000, _LINK),
            ("one link", 50_000, '<a href="/a">A headline of some length</a>'),
            ("nested", 100_000, "<div>"),
            ("unclosed links", 50_000, '<a href="/%d">text '),
            ("feeds", 20_000, '<link rel="alternate" type="application/rss+xml" href="/%d">'),
            ("open tags", 200_000, "<a "),
            ("comments", 200_000, "<!--"),
            ("less-than signs", 500_000, "<"),
            ("quotes", 500_000, '<a href="'),
        )
    ),
    *(
        _bytes(
            f"further pages of an article: {name}", most, lambda body: find_next_page_of(body, URL, URL), piece, f'<a href="{URL}/2">2</a>'
        )
        for name, most, piece in (
            ("links", 20_000, f'<a href="{URL}/%d">%d</a>'),
            ("parameters", 20_000, '<a href="?a=%d&amp;page=%d">2</a>'),
            ("unclosed links", 50_000, '<a rel="next" href="?page=%d">'),
            ("one URL", 20_000, URL),
            ("queries", 300_000, '"?'),
        )
    ),
    Case("pages of one article", 8_000, _make_parts, lambda results: join_parts(*results)),
    _bytes("robots: rules", 20_000, _rules, "Disallow: /a%d\n", "User-agent: *\n"),
    _bytes("robots: rules with wildcards", 10_000, _rules, "Disallow: /*a*%d$\n", "User-agent: *\n"),
    _bytes("robots: groups", 10_000, _rules, "User-agent: bot%d\nDisallow: /\n"),
    _bytes("robots: names of one group", 20_000, _rules, "User-agent: newsmill%d\n", "", "Disallow: /\n"),
    _bytes("robots: unknown lines", 50_000, _rules, "what: ever %d\n"),
    _bytes("robots: one long line", 400_000, _rules, "a", "User-agent: *\nDisallow: /"),
    Case("max-age", 1_000_000, lambda n: [("Cache-Control", "max-age=" + "9" * n)], lambda headers: compute_fresh_seconds(headers, NOW)),
    Case("retry-after", 1_000_000, lambda n: "9" * n, lambda text: parse_retry_after(text, NOW)),
    *(
        Case(f"URL: {name}", 8_000 // len(piece), lambda n, piece=piece, before=before: before + piece * n, _url)
        for name, before, piece in (
            ("path", "https://paper.example/", "a/"),
            ("climbing", "https://paper.example/", "a/../"),
            ("slashes", "https://paper.example/", "/"),
            ("parameters", "https://paper.example/?", "a=b&"),
            ("escapes", "https://paper.example/", "%41"),
            ("labels", "https://", "a."),
            ("at signs", "https://", "a@"),
            ("amp", "https://paper.example/?", "amp;"),
            ("sessions", "https://paper.example/", ";jsessionid=1"),
        )
    ),
    *(
        Case(
            f"body: {label or 'undeclared'}",
            100_000,
            lambda n: "Новости дня, привет. ".encode("cp1251") * n,
            lambda body, label=label: to_utf8(decode_body(None, body), label and f"text/html; charset={label}"),
        )
        for label in (None, "windows-1251", "utf-8", "gb2312")
    ),
    Case("body: members of gzip", 10_000, lambda n: gzip.compress(b"a") * n, lambda body: decode_body("gzip", body)),
    *(
        Case(f"marks: {name}", 300_000, lambda n: "a" + "".join(MARKS[at * at % len(MARKS)] for at in range(n)), run)
        for name, run in (("line", normalise_line), ("block", normalise), ("search", search_words.tokenize))
    ),
    *(
        Case(
            f"comparison: {name}",
            most,
            lambda n, old=old, new=new: (repeated(old, n), repeated(new, n)),
            lambda texts: (compare_texts(*texts), count_changed_words(*texts)),
        )
        for name, most, old, new in (
            ("similar paragraphs", 12_000, "A bridge of %d arches\n\n", "The bridge of %d arches\n\n"),
            ("other paragraphs", 50_000, "old%d\n\n", "new%d\n\n"),
            ("short and long paragraphs", 50_000, "a\n\n", "b%d c "),
            ("changed words between kept ones", 20_000, "w%d a b a b ", "w%d b a a b b "),
            ("repeated words", 100_000, "a b ", "b a a "),
            ("repeated paragraphs", 50_000, "a b\n\n", "b a\n\na\n\n"),
        )
    ),
    *(
        Case(
            f"comparison: {name}",
            20_000,
            lambda n, change=change: ("\n\n".join(_paragraphs(n)), "\n\n".join(change(_paragraphs(n)))),
            lambda texts: (compare_texts(*texts), count_changed_words(*texts)),
        )
        for name, change in (
            ("shuffled paragraphs", sorted),
            ("a letter changed in each paragraph", lambda old: [text.replace("night", "light") for text in old]),
            (
                "interleaved paragraphs",
                lambda old: [text for pair in zip(old, _paragraphs(len(old)), strict=True) for text in (pair[0], f"new {pair[1][::-1]}")],
            ),
        )
    ),
    *(
        _bytes(f"archived page: {name}", 2_000_000 // len(piece), _show_archived, piece)
        for name, piece in (
            ("open heads", "<head "),
            ("open links", "<link "),
            ("open scripts", "<script\xe9"),
            ("less-than signs", "<"),
            ("shifts", "~{aa"),
        )
    ),
    Case("highlights: a word of many beginnings", 100_000, lambda n: "a" * n + "\u0901", Highlighter([BEGINNING]).mark),
    _bytes("sources: sites of a list", 9_000, _add_sites, "https://paper-%d.example/,paper-%d\n", "url,name\n"),
    Case(
        "comparison: reversed words", 50_000, lambda n: [f"w{i}" for i in range(n)], lambda w: compare_words(" ".join(w), " ".join(w[::-1]))
    ),
    Case("export: a long text", 20_000, lambda n: replace(_document(), text=SENTENCE * n), _export),
    Case(
        "export: cells of one column",
        200_000,
        lambda n: _table("a" * n, tuple(TableCell(at, at + 1, 0, min(at, 99)) for at in range(n))),
        render_markdown,
    ),
    Case("export: a table that only its text tells", 200_000, lambda n: _table(" | ".join("a" * n) + "\na" * n), render_markdown),
    Case(
        "export: marks in a heading",
        400_000,
        lambda n: replace(_document(), blocks=(Block(BlockType.HEADING, "#" * n + "a"),)),
        render_markdown,
    ),
    Case("export: blocks", 10_000, lambda n: replace(_document(), blocks=_document().blocks[:1] * n), _export),
    Case("export: authors", 10_000, lambda n: replace(_document(), authors=(Author("Ada"),) * n), _export),
    Case("export: tags", 10_000, lambda n: replace(_document(), tags=tuple(map(str, range(n)))), _export),
)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_function(case: Case) -> None:
    n, times = growth(case.run, case.make, case.most)
    assert times <= MOST, f"{TIMES * n:,} times take {times:.1f} times as long as {n:,} times"


@pytest.mark.slow
def test_quadratic_work_is_seen() -> None:
    _, times = growth(lambda text: [text.count(char) for char in text], lambda n: "a" * n, 10_000)
    assert times > MOST
