"""Stamps, and which of them to believe. Never in the future, never from the prose when data say it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsmill.read.dates import find_modified, find_published
from newsmill.read.parse import parse
from newsmill.read.stamps import TOLERANCE, Moment, read_moment, url_day
from newsmill.read.structured import read_structured

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LATEST = NOW + TOLERANCE


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
        ("1795516200", "2026-11-24T10:30:00", "2026-11-24", "second"),
        (1795516200000, "2026-11-24T10:30:00", "2026-11-24", "second"),
    ],
)
def test_stamps(stamp: object, instant: str, day: str, precision: str) -> None:
    found = read_moment(stamp, "json-ld", LATEST)
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
    assert read_moment(stamp, "json-ld", LATEST) is None


@settings(max_examples=500, deadline=None)
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
    found = read_moment(value, "meta", LATEST)
    if found is not None:
        assert found.at.tzinfo is UTC
        assert found.at <= LATEST
        assert abs((datetime.fromisoformat(found.day).replace(tzinfo=UTC) - found.at).total_seconds()) < 2 * 86_400


@pytest.mark.parametrize(
    ("url", "day"),
    [
        ("https://a.example/2026/11/24/x", "2026-11-24"),
        ("https://a.example/20261124/x", "2026-11-24"),
        ("https://a.example/2026/11/x", None),
        ("https://a.example/2026/13/40/x", None),
        ("", None),
    ],
)
def test_the_day_in_an_address(url: str, day: str | None) -> None:
    found = url_day(url, LATEST)
    assert (found and found.day) == day


def published(head: str, body: str = "", url: str = "", hint: datetime | None = None) -> Moment | None:
    tree = parse(f"<html><head>{head}</head><body>{body}<p>Some text of the page.</p></body></html>").tree
    assert tree is not None
    return find_published(read_structured(tree, url), url, NOW, hint)


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
        ("", "", "https://a.example/2026/11/24/x", "2026-11-24T00:00:00", "2026-11-24", "dom"),
        # a stamp in UTC, and the day that the page shows its readers beside it, in whatever language
        (
            json_ld("2026-11-23T23:15:0Z") + meta("2026-11-23T23:15:0Z"),
            '<p itemprop="datePublished">24 Novembre 2026</p>',
            "",
            "2026-11-23T23:15:00",
            "2026-11-24",
            "json-ld",
        ),
        (
            meta("2026-11-24T02:15:00Z"),
            "<time>23 de noviembre de 2026, 21:15</time>",
            "",
            "2026-11-24T02:15:00",
            "2026-11-23",
            "meta",
        ),
        # shown as well: the stamp's own day; no neighbour; a day that was nowhere on earth
        (meta("2026-11-24T02:15:00Z"), "<time>24.11.2026</time><time>23.11.2026</time>", "", "2026-11-24T02:15:00", "2026-11-24", "meta"),
        (meta("2026-11-24T02:15:00Z"), "<time>12.11.2026</time>", "", "2026-11-24T02:15:00", "2026-11-24", "meta"),
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


def test_the_listing_and_nothing() -> None:
    assert published("", hint=NOW - timedelta(days=1)) == Moment(NOW - timedelta(days=1), "2026-11-24", "feed", "second", "utc")
    assert published("") is None
    assert published(json_ld("2031-01-01T00:00:00Z")) is None


def test_modified_is_never_before_published() -> None:
    tree = parse(f"<html><head>{json_ld('2026-11-24T10:30:00Z', '2026-11-20T00:00:00Z')}</head><body></body></html>").tree
    assert tree is not None
    page = read_structured(tree)
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
    tree = parse(html).tree
    if tree is not None:
        assert read_structured(tree, None, html.encode()).marks.dates == read_structured(tree).marks.dates
