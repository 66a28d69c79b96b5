"""What spiders yield becomes pages, links and articles; what cannot be read stays empty."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from scrapy import Field, Item, Request
from scrapy.http import HtmlResponse

import newsmill
from newsmill.exceptions import ExtractionError, UrlError
from newsmill.extraction.pipeline import read
from newsmill.intake.scrapy_items import find_unreadable_dates, make_article_item, make_link, make_page
from newsmill.model import ArticleItem, Hint
from newsmill.scrapy import LinkItem, PageItem, extract, link, page

URL = "https://paper.example/a"
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
BASE = {"url": URL, "title": "Bridge", "text": "It is closed."}


class NoTime(datetime):
    """As pandas.NaT: a datetime that is none."""

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]

    def isoformat(self, *_: object) -> str:
        return "NaT"

    __str__ = isoformat


@dataclass
class Named:
    name: str


class PaperItem(Item):
    url = Field()
    headline = Field()
    articleBody = Field()  # noqa: N815 - the name of schema.org
    authors = Field()


def test_the_page_of_a_response_has_no_cookies_and_no_credentials() -> None:
    request = Request(
        URL, headers={"Cookie": "session=1", "Authorization": "Basic x", "Accept": "text/html"}, meta={"redirect_urls": [f"{URL}/old"]}
    )
    headers = {"Content-Type": "text/html", "Set-Cookie": ["session=1", "b=2"], "X-Many": ["1", "2"]}
    made = make_page(page(HtmlResponse(URL, 203, headers, b"<p>", request=request), source="paper"), fetched_at=NOW)
    assert (made.url, made.requested_url, made.redirects, made.status, made.source) == (URL, f"{URL}/old", (f"{URL}/old",), 203, "paper")
    assert made.headers == (("Content-Type", "text/html"), ("X-Many", "1"), ("X-Many", "2"))
    assert made.request_headers == (("Accept", "text/html"),)
    assert made.body == b"<p>"


def test_a_response_without_a_request_has_a_page() -> None:
    made = make_page(page(HtmlResponse(URL, body=b"<p>")), fetched_at=NOW, source="other")
    assert (made.requested_url, made.source, made.request_headers) == (URL, "other", ())


def test_hints_of_pages_and_links() -> None:
    hint = Hint(title="T\ud800".replace("\ud800", "?"), authors=("Ann",), published_at=datetime(2026, 11, 25, 8, tzinfo=UTC), language="en")
    assert link(URL, title="T\ud800", authors=["Ann"], published="2026-11-25T09:00:00+01:00", language="en").hint == hint
    assert page(HtmlResponse(URL), published="2026-11-25T08:00:00").hint.published_at == hint.published_at
    with pytest.raises(UrlError):
        make_link(link("mailto:a@b.example"), found_by="spider")
    assert make_link(link(f"{URL}#top"), source="paper", found_by="spider").url == URL


@pytest.mark.parametrize(
    "published",
    [
        "Wed, 25 Nov 2026 09:00:00 +0100",
        "Wed, 25 Nov 2026 08:00:00 GMT",
        "25 Nov 2026 03:00 EST",
        "2026-11-25T08:00:00.123Z",
        "2026-11-25 08:00:00",
        "1795593600",
        1795593600,
        1795593600.0,
        1795593600.25,
        "1795593600.5",
        Decimal("1795593600.5"),
        1795593600000,
        datetime(2026, 11, 25, 8),  # noqa: DTZ001 - read as UTC
        time.gmtime(1795593600),
    ],
)
def test_a_date_is_read_as_feeds_write_it(published: Any) -> None:
    expected = datetime(2026, 11, 25, 8, tzinfo=UTC)
    made = link(URL, published=published)
    assert (made.hint.published_at, find_unreadable_dates(made)) == (expected, ())
    assert page(HtmlResponse(URL), published=published).hint.published_at == expected
    article = make_article_item({**BASE, "datePublished": published})
    assert article is not None and article.published_at in (expected, expected.replace(tzinfo=None))
    assert find_unreadable_dates({**BASE, "datePublished": published}) == ()


@pytest.mark.parametrize(
    "published", [date(2026, 11, 25), "2026-11-25", "25.11.2026", "Wed, 25 Nov 2026", "2026-329", "2026-11-25T00:00:00Z"]
)
def test_a_day_stays_a_day(published: Any) -> None:
    expected: Any = datetime(2026, 11, 25, tzinfo=UTC) if "T" in str(published) else date(2026, 11, 25)
    assert link(URL, published=published).hint.published == page(HtmlResponse(URL), published=published).hint.published == expected
    article = make_article_item({**BASE, "published": published})
    assert article is not None and article.published_at == expected
    text = "The council closed the old bridge on Tuesday, because its engineers had found cracks in all of its stone pillars."
    html = f"<html><head><title>Bridge</title></head><body><article><h1>Bridge</h1><p>{text}</p><p>Its {text.lower()}</p></article>"
    made = make_page(page(HtmlResponse(URL, body=html.encode()), published=published), fetched_at=NOW)
    document = read(made).document
    precision = "second" if "T" in str(published) else "day"
    assert document is not None and (document.published_day, document.published_precision) == ("2026-11-25", precision)


@pytest.mark.parametrize(
    "published",
    ["2026", "2026-11", "yesterday", "11/12/2026", "2026-02-30", True, b"2026", ["2026-11-25"], "\ud800", 7, float("nan"), NoTime(1, 1, 1)],
)
def test_an_unreadable_date_stays_empty_and_is_named(published: Any) -> None:
    item = {**BASE, "published": published, "dateModified": published}
    for made in (link(URL, published=published, title="T"), page(HtmlResponse(URL), published=published, title="T")):
        assert made.hint == Hint(title="T")
        assert find_unreadable_dates(made) == (str(published).replace("\ud800", "?"),)
    assert make_article_item(item) == ArticleItem(URL, "Bridge", "It is closed.")
    assert find_unreadable_dates(item) == (str(published).replace("\ud800", "?"),) * 2


@pytest.mark.parametrize("item", [link(URL), link(URL, published=" "), PageItem(HtmlResponse(URL)), {**BASE, "published": ""}, {}, None, 5])
def test_an_absent_date_is_not_unreadable(item: Any) -> None:
    assert find_unreadable_dates(item) == ()


def test_a_value_without_a_truth_value_is_read() -> None:
    class Array(list[str]):  # as of numpy
        def __bool__(self) -> bool:
            raise ValueError("the truth value is ambiguous")

    article = make_article_item({**BASE, "authors": Array(["Ann", "Bo"])})
    assert article is not None and article.authors == ("Ann", "Bo")


def test_one_author_may_be_a_string() -> None:
    assert link(URL, authors="Ann Lee").hint.authors == ("Ann Lee",)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: page(URL), "response"),
        (lambda: PageItem(response=None), "response"),
        (lambda: page(HtmlResponse(URL), source=5), "source"),
        (lambda: link(HtmlResponse(URL)), "url"),
        (lambda: LinkItem(URL, source=["paper"]), "source"),
        (lambda: link(URL, title=5), "title"),
        (lambda: link(URL, authors=[None]), "authors"),
        (lambda: link(URL, language=b"en"), "language"),
    ],
)
def test_a_wrong_value_is_an_error_of_the_callback_and_costs_no_other_page(make: Callable[[], Any], name: str) -> None:
    with pytest.raises(TypeError, match=f"^{name}=.*: expected (Response|str), not "):
        make()


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (BASE, {}),
        (
            PaperItem(url=URL, headline="Bridge", articleBody="It is closed.", authors=[Named("Ann"), {"name": "Bo"}]),
            {"authors": ("Ann", "Bo")},
        ),
        (
            {**BASE, "author": "Ann", "tags": ["x", None, 3], "mainImage": {"url": "/i.jpg"}},
            {"authors": ("Ann",), "tags": ("x",), "image": "/i.jpg"},
        ),
        ({**BASE, "published": "2026-11-25", "modified_at": "yesterday"}, {"published_at": date(2026, 11, 25)}),
        ({**BASE, "datePublished": NOW, "language": 7, "description": ["x"]}, {"published_at": NOW}),
    ],
)
def test_items_with_a_url_a_title_and_a_text_are_articles(item: Any, expected: dict[str, Any]) -> None:
    assert make_article_item(item) == ArticleItem(URL, "Bridge", "It is closed.", **expected)


@pytest.mark.parametrize("item", [{}, {**BASE, "text": ""}, {**BASE, "title": None}, {**BASE, "url": 1}, object(), "text", None])
def test_other_items_are_not(item: Any) -> None:
    assert make_article_item(item) is None


def test_extract_reads_a_response_as_newsmill_reads_its_page() -> None:
    sentence = "Мост через реку закрыт с понедельника, и этот абзац объясняет причину достаточно подробно."
    html = f"<title>Мост закрыт</title><article><h1>Мост закрыт</h1>{f'<p>{sentence}</p>' * 5}".encode("windows-1251")
    response = HtmlResponse(URL, headers={"Content-Type": "text/html; charset=windows-1251"}, body=html)
    assert extract(response).text == newsmill.extract(html, url=URL, content_type="text/html; charset=windows-1251").text
    assert sentence in extract(response).text
    with pytest.raises(ExtractionError):
        extract(HtmlResponse(URL, body=b"<p>"))
