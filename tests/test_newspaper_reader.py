"""Every article of the newspaper has exactly its expected text; no other page becomes a document."""

from __future__ import annotations

import tomllib
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from newspaper_site.article import CREDITS, NEWSPAPER, Article, read_articles, read_paragraphs
from newspaper_site.layouts import article_page

from newsmill import demo
from newsmill.extraction.pipeline import read
from newsmill.model import ExtractionResult, Outcome, Page

ARTICLES = read_articles()
OTHERS = tomllib.loads((NEWSPAPER / "expected.toml").read_text("utf-8"))["other"]
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def paper() -> Iterator[demo.Newspaper]:
    with demo.serve() as running:
        yield running


def fetch(paper: demo.Newspaper, path: str) -> Page:
    """The page as a crawler would archive it, redirects followed."""
    with urllib.request.urlopen(paper.url + path) as response:
        headers = tuple(response.headers.items())
        return Page(paper.url + path, response.url, NOW, response.status, headers, response.read())


def page_of(html: str) -> Page:
    url = "http://paper.example/de/politik/nato-russland-rat-gespraeche-ukraine-10431"
    body = html.replace(demo.BASE_URL_PLACEHOLDER, "http://paper.example").encode()
    return Page(url, url, NOW, 200, (("Content-Type", "text/html; charset=utf-8"),), body)


def paragraphs(reading: ExtractionResult) -> tuple[str, ...]:
    assert reading.document is not None, reading.ending
    return tuple(reading.document.text.split("\n\n"))


@pytest.mark.parametrize("article", ARTICLES, ids=lambda a: a.slug)
def test_article(paper: demo.Newspaper, article: Article) -> None:
    reading = read(fetch(paper, article.url))
    assert paragraphs(reading) == read_paragraphs(article.slug)
    document = reading.document
    assert document is not None
    assert reading.ending.outcome is Outcome.STORED
    assert document.title == article.title
    assert tuple(a.name for a in document.authors) == article.authors
    assert document.language == article.language
    assert document.canonical_url == paper.url + article.url
    assert document.description == (article.description or None)
    assert set(document.tags) == (set(article.tags) if article.layout == "modern" else set(document.tags))


@pytest.mark.parametrize("article", ARTICLES, ids=lambda a: a.slug)
def test_date(paper: demo.Newspaper, article: Article) -> None:
    document = read(fetch(paper, article.url)).document
    assert document is not None
    assert document.published_at is not None
    if "T" in article.published:
        assert document.published_at == article.when
        assert document.published_precision in ("second", "minute")
    else:
        assert document.published_at.date().isoformat() == article.published
        assert document.published_precision == "day"


@pytest.mark.parametrize("layout", ["modern", "micro", "classic"])
@pytest.mark.parametrize("credit", CREDITS)
def test_seed_article_without_its_credit_in_every_markup(credit: str, layout: str) -> None:
    seed = next(a for a in ARTICLES if a.slug == "nato-russland-rat")
    for source in ("site-40", "site-41"):
        page = page_of(article_page(replace(seed, credit=credit, layout=layout, source=source), ARTICLES[:3]))
        assert paragraphs(read(page)) == read_paragraphs(seed.slug)


@pytest.mark.parametrize("row", [r for r in OTHERS if r["outcome"] in ("not_article", "soft_404")], ids=lambda r: r["url"])
def test_pages_that_are_not_articles(paper: demo.Newspaper, row: dict[str, str]) -> None:
    reading = read(fetch(paper, row["url"]))
    assert reading.document is None
    assert reading.ending.outcome == row["outcome"]
    assert reading.ending.detail


@pytest.mark.parametrize("row", [r for r in OTHERS if r["outcome"] == "duplicate"], ids=lambda r: r["url"])
def test_copies_have_the_articles_identity_and_text(paper: demo.Newspaper, row: dict[str, str]) -> None:
    original = next(a for a in ARTICLES if a.slug == row["target"])
    copy, article = read(fetch(paper, row["url"])), read(fetch(paper, original.url))
    assert copy.document is not None
    assert article.document is not None
    assert copy.document.id == article.document.id
    assert paragraphs(copy) == read_paragraphs(original.slug)
