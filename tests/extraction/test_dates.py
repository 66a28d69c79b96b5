"""Stamps, and which of them to believe. Never in the future, never from the prose when data say it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsmill.extraction.html import parse_html
from newsmill.extraction.metadata.dates import find_modified, find_published
from newsmill.extraction.metadata.structured_data import read_structured_data
from newsmill.extraction.metadata.timestamps import MAX_AHEAD, Timestamp, find_url_day, parse_timestamp
from newsmill.extraction.pipeline import read
from newsmill.model import Page

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LATEST = NOW + MAX_AHEAD


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("stamp", "instant", "day", "precision"),
    [
        ("2026-11-24T10:30:00Z", "2026-11-24T10:30:00", "2026-11-24", "second"),
        ("2026-11-24T00:30:00+02:00", "2026-11-23T22:30:00", "2026-11-24", "second"),
        ("2026-11-24T00:30:00+0200", "2026-11-23T22:30:00", "2026-11-24", "second"),
        ("2026-11-24T20:30:00-05:00", "2026-11-25T01:30:00", "2026-11-24", "second"),
        ("2026-11-24T10:30+01:00", "2026-11-24T09:30:00", "2026-11-24", "minute"),
        ("2026-11-24 10:30:15.123456", "2026-11-24T10:30:15", "2026-11-24", "second"),
        ("2026-11-24", "2026-11-24T00:00:00", "2026-11-24", "day"),
        ("2026/11/24", "2026-11-24T00:00:00", "2026-11-24", "day"),
        ("20261124", "2026-11-24T00:00:00", "2026-11-24", "day"),
        ("20261124T103000Z", "2026-11-24T10:30:00", "2026-11-24", "second"),
        ("Tue, 24 Nov 2026 10:30:00 GMT", "2026-11-24T10:30:00", "2026-11-24", "second"),
        ("Tue, 24 Nov 2026 10:30:00 +0100", "2026-11-24T09:30:00", "2026-11-24", "second"),
        ("Tue Nov 24 10:30:00 EST 2026", "2026-11-24T15:30:00", "2026-11-24", "second"),
        ("Tue Nov  3 10:30:00 2026", "2026-11-03T10:30:00", "2026-11-03", "second"),
        ("Tue Nov 24 2026 10:30:00 GMT+0100 (Central European Standard Time)", "2026-11-24T09:30:00", "2026-11-24", "second"),
        ("1795516200", "2026-11-24T10:30:00", "2026-11-24", "second"),
        (1795516200000, "2026-11-24T10:30:00", "2026-11-24", "second"),
    ],
)
def test_stamps(stamp: object, instant: str, day: str, precision: str) -> None:
    found = parse_timestamp(stamp, "json-ld", LATEST)
    assert found is not None
    assert (found.at, found.day, found.precision) == (at(instant), day, precision)


@pytest.mark.parametrize(
    "stamp",
    [
        "",
        "yesterday",
        "2 hours ago",
        "0000-00-00",
        "0000-00-00T00:00:00Z",
        "2026-02-30",
        "2026-13-01",
        "9999-12-31",
        "10000-01-01",
        "1970-01-01",
        "2027-11-24",
        "2026-11-27T00:00:00Z",
        "2026-11-24T10:30:00+99:00",
        "24.11.2026",
        None,
        True,
        {},
        [],
        "2026-11-24T25:00:00",
        "x" * 10_000,
        float("nan"),
        float("inf"),
        -5,
        "99999999999999999999",
    ],
)
def test_no_stamp(stamp: object) -> None:
    assert parse_timestamp(stamp, "json-ld", LATEST) is None


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=60)
    | st.integers()
    | st.floats()
    | st.datetimes().map(str)
    | st.dates().map(str)
    | st.none()
    | st.lists(st.text(max_size=10))
)
def test_any_value_gives_none_or_a_plausible_utc_moment(value: object) -> None:
    found = parse_timestamp(value, "meta", LATEST)
    if found is not None:
        assert found.at.tzinfo is UTC
        assert found.at <= LATEST
        assert abs((datetime.fromisoformat(found.day).replace(tzinfo=UTC) - found.at).total_seconds()) < 2 * 86_400


@pytest.mark.parametrize(
    ("url", "day"),
    [
        ("https://a.example/2026/11/24/x", "2026-11-24"),
        ("https://a.example/20261124/x", "2026-11-24"),
        ("https://a.example/news/2026-11-24-x", "2026-11-24"),
        ("https://a.example/news/x-2026_11_24.html", "2026-11-24"),
        ("https://a.example/news/x-20261124", None),  # as likely the number of an article
        ("https://a.example/2026/11/x", None),
        ("https://a.example/2026/13/40/x", None),
        ("https://a.example/blog/2026/7/5/x", "2026-07-05"),
        ("https://a.example/2026/13/1/x", None),
        ("https://a.example/2026/7/51/x", None),
        ("", None),
    ],
)
def test_the_day_in_an_address(url: str, day: str | None) -> None:
    found = find_url_day(url, LATEST)
    assert (found and found.day) == day


def published(head: str, body: str = "", url: str = "", hint: datetime | None = None) -> Timestamp | None:
    tree = parse_html(f"<html><head>{head}</head><body>{body}<p>Some text of the page.</p></body></html>").tree
    assert tree is not None
    return find_published(read_structured_data(tree, url), url, NOW, hint)


def json_ld(stamp: str, changed: str = "") -> str:
    fields = f'"@type":"NewsArticle","headline":"x","datePublished":"{stamp}","dateModified":"{changed}"'
    return f'<script type="application/ld+json">{{{fields}}}</script>'


def meta(stamp: str) -> str:
    return f'<meta property="article:published_time" content="{stamp}">'


@pytest.mark.parametrize(
    ("head", "body", "url", "instant", "day", "source"),
    [
        (json_ld("2026-11-24T10:30:00+01:00") + meta("2026-11-24"), "", "", "2026-11-24T09:30:00", "2026-11-24", "json-ld"),
        (json_ld("2026-11-24T10:30:00Z"), "", "", "2026-11-24T10:30:00", "2026-11-24", "json-ld"),
        (meta("2026-11-24T10:30:00Z"), "", "", "2026-11-24T10:30:00", "2026-11-24", "meta"),
        (json_ld("2026-11-24") + meta("2026-11-24T10:30:00Z"), "", "", "2026-11-24T10:30:00", "2026-11-24", "meta"),
        (
            "",
            '<time itemprop="datePublished" datetime="2026-11-24T10:30:00+01:00">x</time>',
            "",
            "2026-11-24T09:30:00",
            "2026-11-24",
            "dom",
        ),
        ("", "", "https://a.example/2026/11/24/x", "2026-11-24T00:00:00", "2026-11-24", "url"),
        # a stamp in UTC, and the day that the page shows its readers beside it; its own day comes first
        (
            json_ld("2026-11-23T23:15:0Z") + meta("2026-11-23T23:15:0Z"),
            '<p itemprop="datePublished">24 Novembre 2026</p>',
            "",
            "2026-11-23T23:15:00",
            "2026-11-24",
            "json-ld",
        ),
        (meta("2026-11-24T02:15:00Z"), "<time>24.11.2026</time><time>23.11.2026</time>", "", "2026-11-24T02:15:00", "2026-11-24", "meta"),
        (meta("2026-11-24T15:15:00Z"), "<time>23.11.2026</time>", "", "2026-11-24T15:15:00", "2026-11-24", "meta"),
        # the same instant in UTC and with the site's offset: the site's day
        (
            json_ld("2026-11-24T02:11:03Z"),
            '<time datetime="2026-11-23T21:11:03-05:00">23 November</time>',
            "",
            "2026-11-24T02:11:03",
            "2026-11-23",
            "json-ld",
        ),
        (json_ld("2026-11-24T02:11:03Z"), "", "https://a.example/2026/11/23/x", "2026-11-24T02:11:03", "2026-11-23", "json-ld"),
        # not another article's day
        (
            json_ld("2026-11-24T12:11:03Z"),
            '<time datetime="2026-10-01T10:00:00+01:00">1 October</time>',
            "",
            "2026-11-24T12:11:03",
            "2026-11-24",
            "json-ld",
        ),
        # nothing in the future
        (json_ld("2027-05-01T10:00:00Z") + meta("2026-11-24T10:30:00Z"), "", "", "2026-11-24T10:30:00", "2026-11-24", "meta"),
    ],
)
def test_which_stamp(head: str, body: str, url: str, instant: str, day: str, source: str) -> None:
    found = published(head, body, url)
    assert found is not None
    assert (found.at, found.day, found.source) == (at(instant), day, source)


HEADLINE = "<h1>The ferry keeps running</h1>"


@pytest.mark.parametrize(
    ("head", "body", "url", "day", "source"),
    [
        # the headline's date where nothing is stated, and against a <meta> that is uncertain
        ("", HEADLINE + "<p>Port Bay, 20 November 2026</p>", "", "2026-11-20", "dom"),
        ('<meta name="date" content="2026-11-24">', HEADLINE + "<p>20 November 2026</p>", "", "2026-11-20", "dom"),
        # but with the time of the stamp that it confirms
        ('<meta name="date" content="2026-11-20T10:30:00+01:00">', HEADLINE + "<p>20 November 2026</p>", "", "2026-11-20", "meta"),
        (json_ld("2026-11-20T10:00:00+01:00") + meta("2026-11-24"), HEADLINE + "<p>20/11/2026</p>", "", "2026-11-20", "json-ld"),
        # what is stated for the publication counts more, and so does the URL where the headline is silent
        (json_ld("2026-11-24T10:30:00+01:00"), HEADLINE + "<p>20 November 2026</p>", "", "2026-11-24", "json-ld"),
        ('<meta name="date" content="2026-11-24">', HEADLINE, "https://a.example/2026/11/20/x", "2026-11-20", "url"),
        # two readings: the one that another source confirms, else none
        ('<meta name="date" content="2026-04-03">', HEADLINE + "<p>04/03/2026</p>", "", "2026-04-03", "meta"),
        ("", HEADLINE + "<p>04/03/2026</p>", "", None, None),
        # no day from a copyright line, from prose, or from what is called a last change
        ("", HEADLINE + '<p><time itemprop="dateModified" datetime="2026-11-20">20 November 2026</time></p>', "", None, None),
        ("", HEADLINE + '<p><time itemprop="dateModified" datetime="2026-11-22">20 November 2026</time></p>', "", "2026-11-20", "dom"),
        (
            '<script type="application/ld+json">{"@type":"NewsArticle","dateModified":"2026-11-20"}</script>',
            HEADLINE + "<p>Some text of the page.</p>" * 9 + '<time datetime="2026-11-20">20.11.2026</time>',
            "",
            None,
            None,
        ),
        (
            "",
            HEADLINE + "<p>The council met on 20 November 2026, and decided about the ferry, the bridge and the old harbour as well.</p>",
            "",
            None,
            None,
        ),
        ("", "<footer>© 2026 Port News</footer>", "", None, None),
        ("", HEADLINE + '<p class="date">Updated 20 November 2026</p>', "", None, None),
        ('<meta property="article:modified_time" content="2026-11-20T10:00:00Z">', HEADLINE, "", None, None),
    ],
)
def test_the_date_beside_the_headline(head: str, body: str, url: str, day: str | None, source: str | None) -> None:
    found = published(f"<title>The ferry keeps running</title>{head}", body, url)
    assert (found and found.day, found and found.source) == (day, source)


def test_months_are_read_in_the_language_of_the_text_where_the_page_declares_none() -> None:
    text = "<p>Kaupunginvaltuusto päätti tiistaina pitkän keskustelun jälkeen, että lautta kulkee satamaan koko talven ajan.</p>" * 3
    html = f"<html><head><title>Lautta kulkee</title></head><body><h1>Lautta kulkee</h1><p>15. joulukuuta 2025</p>{text}</body></html>"
    page = Page("https://a.example/x", "https://a.example/x", NOW, 200, (("Content-Type", "text/html"),), html.encode())
    document = read(page).document
    assert document is not None and (document.language, document.published_day) == ("fi", "2025-12-15")


def test_the_listing_counts_more_than_a_guess_and_less_than_the_page() -> None:
    guess = '<div class="date">20 November 2026</div>'
    listed = published("<title>x</title>", guess, hint=NOW - timedelta(days=1))
    assert listed is not None and (listed.day, listed.source) == ("2026-11-24", "feed")
    stated = published('<meta name="date" content="2026-11-23">', guess, hint=NOW - timedelta(days=1))
    assert stated is not None and stated.day == "2026-11-23"


@pytest.mark.parametrize(
    "markup",
    [
        '<meta name="dc.created" content="{t}">',
        '<meta name="dcterms.created" content="{t}">',
        '<meta name="date" content="{t}">',
        '<span itemprop="datePublished" content="{t}">x</span>',
    ],
)
def test_the_time_of_the_request_is_no_date(markup: str) -> None:
    requested = markup.replace("{t}", "2026-11-25T12:00:03Z")
    assert published("<title>x</title>", requested) is None
    assert published(f"<title>x</title>{requested}") is None
    shown = published("<title>The ferry keeps running</title>", f"<h1>The ferry keeps running</h1><p>3 March 2026</p>{requested}")
    assert shown is not None
    assert shown.day == "2026-03-03"
    assert published("<title>x</title>", markup.replace("{t}", "2026-11-25T11:00:00Z")) is not None


def test_an_article_may_be_fetched_in_the_second_of_its_publication() -> None:
    found = published('<meta property="article:published_time" content="2026-11-25T12:00:00Z">')
    assert found is not None
    assert found.at == NOW


def test_the_listing_and_nothing() -> None:
    assert published("", hint=NOW - timedelta(days=1)) == Timestamp(NOW - timedelta(days=1), "2026-11-24", "feed", "second", "utc")
    past_midnight = datetime.fromisoformat("2026-11-24T00:20:00+01:00")  # the offset of the feed tells the day of its readers
    assert published("", hint=past_midnight) == Timestamp(past_midnight, "2026-11-24", "feed", "second", "local")
    midnight = datetime.fromisoformat("2026-11-24T00:00:00+01:00")
    assert published("", hint=midnight) == Timestamp(at("2026-11-24"), "2026-11-24", "feed", "day", "local")
    stated = published('<meta name="date" content="2026-11-23T23:20:00Z">', hint=past_midnight)
    assert stated is not None and (stated.day, stated.source) == ("2026-11-24", "meta")
    assert published("") is None
    assert published(json_ld("2031-01-01T00:00:00Z")) is None


def test_modified_is_never_before_published() -> None:
    tree = parse_html(f"<html><head>{json_ld('2026-11-24T10:30:00Z', '2026-11-20T00:00:00Z')}</head><body></body></html>").tree
    assert tree is not None
    page = read_structured_data(tree)
    first = find_published(page, "", NOW)
    assert find_modified(page, first, NOW) is None
    assert find_modified(page, None, NOW) is not None


NAME = st.sampled_from(["itemprop", "ITEMPROP", "itemProp", "data-itemprop", "property", "content"])
EQUALS = st.sampled_from(["=", " = ", "=\n", "= ", ""])
VALUE = st.sampled_from(
    ["datePublished", '"datePublished"', "'dateModified datePublished'", '"datepublished"', '"x datePublished y"', '"name"']
)
TAG = st.builds(
    "<{}{} {}{}{}>".format, st.sampled_from(["p", "meta", "time", "script"]), st.sampled_from(["", " class=a"]), NAME, EQUALS, VALUE
)


@given(st.lists(st.one_of(TAG, st.sampled_from(["words", '{"datePublished": 1}', "</script>", "<!-- -->"])), max_size=6).map("".join))
def test_a_date_in_microdata_is_found_whether_the_page_s_bytes_are_asked_first_or_not(html: str) -> None:
    tree = parse_html(html).tree
    if tree is not None:
        assert read_structured_data(tree, None, html.encode()).marks.dates == read_structured_data(tree).marks.dates


OWN = "https://a.example/2026/ferry"
DAY = "20 November 2026"
SELF = f'<a href="{OWN}"><time datetime="2026-11-20T10:30:15+01:00">{DAY}</time></a>'
PROSE = "<p>The council met in the harbour, and the ferry keeps running for another winter, as the mayor promised last week.</p>" * 12
OTHER_TIME = '<time datetime="2026-11-18T08:00:00Z">18 November 2026</time>'
TEASER = f'<li><h3><a href="https://a.example/2026/bridge">The bridge stays closed</a></h3><div>{OTHER_TIME}</div></li>'


@pytest.mark.parametrize(
    ("below_headline", "below_text", "instant"),
    [
        # the <time> of the line that readers take for the date
        (f'<p>By Jane Doe, <time datetime="2026-11-20T10:30:15+01:00">{DAY}</time></p>', "", "2026-11-20T09:30:15"),
        (
            f'<p><time datetime="2026-11-20T18:00:00Z">18:00</time> <time datetime="2026-11-20T10:30:00Z">{DAY}</time></p>',
            "",
            "2026-11-20T10:30:00",
        ),
        # a date in UTC, shown in the time zone of the site
        ('<p><time datetime="2026-11-20T23:30:00Z">21 November 2026</time></p>', "", "2026-11-20T23:30:00"),
        # without datetime, only the day is known
        (f"<p><time>{DAY}</time></p>", "", "2026-11-20T00:00:00"),
        # below the text
        ("", f'<p>Published <time datetime="2026-11-20T10:30:00Z">{DAY}</time></p>', "2026-11-20T10:30:00"),
        ("", f'<div><h4><a href="/author/jane" class="author">Jane Doe</a></h4><p class="date">{DAY}</p></div>', "2026-11-20T00:00:00"),
        # a link to the page itself, wherever it is
        ("", f"<div>{SELF}</div>", "2026-11-20T09:30:15"),
        ("", f'<time datetime="2026-11-20T09:30:15Z"><a href="{OWN}/">20 November</a></time>', "2026-11-20T09:30:15"),
        ("", f"<ul>{TEASER}<li><h3><a href='{OWN}'>The ferry keeps running</a></h3>{SELF}</li></ul>", "2026-11-20T09:30:15"),
        # dates of other articles and of comments
        ("", f"<ul>{TEASER}{TEASER}</ul>", None),
        ("", f"<ul>{TEASER}</ul>", None),
        ("", f'<ol class="comment-list"><li><p>Jane</p>{OTHER_TIME}</li></ol>', None),
        ("", f'<div id="comments"><a href="{OWN}#comment-5">{OTHER_TIME}</a></div>', None),
    ],
)
def test_a_time_on_the_page_is_that_of_its_article(below_headline: str, below_text: str, instant: str | None) -> None:
    for body in ("", "comments-open"):  # a box around the headline is not one of comments
        page = f'<div class="{body}">{HEADLINE}{below_headline}{PROSE}{below_text}</div>'
        found = published("<title>The ferry keeps running</title>", page, OWN)
        assert (found and found.at) == (instant and at(instant))
