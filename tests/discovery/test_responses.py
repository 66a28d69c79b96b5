"""Freshness by the rules of RFC 9111; the hub and the topic of a feed, from headers and each format; Retry-After; kinds of bodies."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsmill.discovery.body_kind import BodyKind, tell_body_kind
from newsmill.discovery.feeds import read_feed
from newsmill.discovery.freshness import MAX_FRESH_SECONDS, compute_fresh_seconds, parse_http_date
from newsmill.discovery.hubs import Announcement, find_announcement, read_links
from newsmill.discovery.retry_after import parse_retry_after

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SOON, PAST = "Wed, 25 Nov 2026 12:05:00 GMT", "Wed, 25 Nov 2026 11:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        ([("Cache-Control", "public")], None),
        ([("Cache-Control", "Public, Max-Age=60")], 60),
        ([("Cache-Control", "public"), ("cache-control", 'max-age="60"')], 60),
        ([("Cache-Control", "max-age=60, max-age=5")], 60),
        ([("Cache-Control", "max-age=60"), ("Expires", PAST)], 60),
        ([("Cache-Control", "max-age=60"), ("Age", "25")], 35),
        ([("Cache-Control", "max-age=60"), ("Age", "25, 50")], 35),
        ([("Cache-Control", "max-age=60"), ("Age", "90")], 0),
        ([("Cache-Control", "max-age=60"), ("Age", "-90")], 60),
        ([("Cache-Control", "max-age=60, no-cache")], 0),
        ([("Cache-Control", "no-store"), ("Expires", SOON)], 0),
        ([("Cache-Control", "max-age=-60")], 0),
        ([("Cache-Control", "max-age=NaN")], 0),
        ([("Cache-Control", "max-age=1e9")], 0),
        ([("Cache-Control", "max-age=\u0663\u0663")], 0),
        ([("Cache-Control", "max-age=" + "9" * 5000)], MAX_FRESH_SECONDS),
        ([("Cache-Control", "max-age=" + "0" * 5000 + "7")], 7),
        ([("Expires", SOON)], 300),
        ([("Expires", SOON), ("Date", "Wed, 25 Nov 2026 12:04:00 GMT")], 60),
        ([("Expires", SOON), ("Date", "today")], 300),
        ([("Expires", SOON), ("Age", "100")], 200),
        ([("Expires", PAST)], 0),
        ([("Expires", "0")], 0),
        ([("Expires", "9" * 5000)], 0),
        ([("Expires", "Mon, 01 Jan 99999999999 00:00:00 GMT")], 0),
        ([("Expires", "Mon, 01 Jan 0001 00:00:00 +2359")], 0),
    ],
)
def test_freshness(headers: list[tuple[str, str]], seconds: float | None) -> None:
    assert compute_fresh_seconds(headers, NOW) == seconds


header_values = st.text() | st.sampled_from([SOON, PAST]) | st.floats().map(lambda number: f"max-age={number}") | st.integers().map(str)


@given(st.lists(st.tuples(st.sampled_from(["Cache-Control", "Expires", "Age", "Date"]), header_values), max_size=4))
def test_freshness_is_none_or_within_68_years(headers: list[tuple[str, str]]) -> None:
    seconds = compute_fresh_seconds(headers, NOW)
    assert seconds is None or 0 <= seconds <= MAX_FRESH_SECONDS


@given(st.datetimes(datetime(1971, 1, 1), datetime(9998, 1, 1)))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_a_date_is_read_as_written(at: datetime) -> None:
    assert parse_http_date(f"{at:%a, %d %b} {at.year:04} {at:%H:%M:%S} GMT") == at.replace(tzinfo=UTC, microsecond=0)


def test_a_date_of_an_unknown_zone_is_in_utc() -> None:
    assert parse_http_date("Wed, 25 Nov 2026 12:05:00 -0000") == NOW + timedelta(minutes=5)


# ---- hubs -----------------------------------------------------------------------------------------------------------------------


URL = "https://paper.example/feed"
HUB, SELF = "https://hub.example/?a=1&b", "https://Paper.example/feed?x"
ATOM = 'xmlns:atom="http://www.w3.org/2005/Atom"'


@pytest.mark.parametrize(
    "body",
    [
        f'<rss {ATOM}><channel><atom:link rel="hub" href="{HUB.replace("&", "&amp;")}"/><atom:link rel="SELF" href="{SELF}"/>'
        '<item><link>https://paper.example/1</link><atom:link rel="hub" href="https://evil.example/"/></item></channel></rss>',
        f'<rss><channel><atom:link rel="hub" href="{HUB.replace("&", "&amp;")}"/><atom:link rel="self" href="{SELF}"/></channel></rss>',
        '<feed xmlns="http://www.w3.org/2005/Atom"><entry><link rel="hub" href="https://evil.example/"/></entry>'
        f'<link rel="hub" href="{HUB.replace("&", "&amp;")}"/><link rel="hub" href="https://second.example/"/>'
        f'<link rel="alternate self" href="{SELF}"/></feed>',
        f'{{"items": [], "feed_url": "{SELF}", "hubs": [1, {{"type": "rssCloud", "url": "x"}}, {{"type": "WebSub", "url": "{HUB}"}}]}}',
    ],
)
def test_each_format_announces_hub_and_topic_as_written(body: str) -> None:
    assert find_announcement(URL, [], read_feed(body.encode(), URL)) == Announcement(HUB, SELF)


def test_headers_come_first_and_urls_are_resolved() -> None:
    body = b'<feed xmlns="http://www.w3.org/2005/Atom"><link rel="hub" href="https://other.example/"/><link rel="self" href="/s"/></feed>'
    feed = read_feed(body, URL)
    assert find_announcement(URL, ['</hub>; rel="hub"'], feed) == Announcement("https://paper.example/hub", "https://paper.example/s")
    assert find_announcement(URL, ["<https://h.example/>;rel=hub"]) == Announcement("https://h.example/", URL)
    for unusable in ("ftp://h.example/", "http://[", "x" * 9000):
        assert find_announcement(URL, [f"<{unusable}>; rel=hub"]) is None


@pytest.mark.parametrize(
    ("header", "links"),
    [
        ('<a>; rel="x Y", <b>; title="a, <c>; rel=hub"; rel=self', [(["x", "y"], "a"), (["self"], "b")]),
        ("<a>; rel=hub; rel=self,,<b>", [(["hub"], "a"), ([], "b")]),
        ('<a>; rel="hub', [(["hub"], "a")]),
        ("no link; rel=hub", []),
        ("<a", []),
        ("<a>," * 2000, [([], "a")] * 2000),
    ],
)
def test_the_link_header(header: str, links: list[tuple[list[str], str]]) -> None:
    assert list(read_links(header)) == links


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("1e12", 3600),
        ("99999999999999999999", 3600),
        ("Wed, 25 Nov 2026 12:01:00 GMT", 60),
        ("Wed, 25 Nov 2026 11:00:00 GMT", 0),
        ("Wed, 25 Nov 2099 11:00:00 GMT", 3600),
        ("Wed, 25 Nov 2026 12:01:00 -0000", 60),
        ("-5", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("Wed, 99 Nov 2026 12:01:00 GMT", None),
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2027 99999999999:00:00 GMT", None),
    ],
)
def test_retry_after(value, seconds):
    assert parse_retry_after(value, NOW) == seconds


@given(
    st.text() | st.from_regex(r"\w{3}, \d{1,3} \w{3} \d{1,12} \d{1,12}:\d\d:\d\d .{0,6}") | st.floats().map(str) | st.integers().map(str)
)
def test_retry_after_is_none_or_within_an_hour(value):
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= 3600


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_retry_after_keeps_any_date(at):
    seconds = parse_retry_after(f"{at:%a, %d %b %Y %H:%M:%S} GMT", NOW)
    wanted = (at.replace(tzinfo=UTC, microsecond=0) - NOW) / timedelta(seconds=1)
    assert seconds == min(max(wanted, 0), 3600)


# ---- the kind of a body

URLSET = b'<?xml version="1.0"?>\n<?xml-stylesheet href="x.xsl"?><!-- made - by -- hand -->\n<urlset xmlns="x">'


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<rss version='2.0'>", BodyKind.FEED),
        (b'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "b">]><rss>', BodyKind.FEED),
        (b'<rdf:RDF xmlns="x">', BodyKind.FEED),
        (b'<atom:feed xmlns:atom="x">', BodyKind.FEED),
        ("<?xml version='1.0'?><feed>".encode("utf-16"), BodyKind.FEED),
        (b'{"version": "https://jsonfeed.org/version/1.1", "items": []}', BodyKind.FEED),
        (b'{"error": 404}', BodyKind.OTHER),
        (URLSET, BodyKind.SITEMAP),
        (gzip.compress(URLSET), BodyKind.SITEMAP),
        (b"https://a.example/1\r\nhttps://a.example/2\r\n", BodyKind.SITEMAP),
        (b"<?xml version='1.0'?><opml>", BodyKind.OPML),
        (b"<!DOCTYPE html>\n<html>", BodyKind.HTML),
        (b"<?xml version='1.0'?><html xmlns='x'>", BodyKind.HTML),
        (b"  text <p>of a page", BodyKind.HTML),
        (b"<svg>", BodyKind.HTML),
        (b"<?xml version='1.0'?><svg>", BodyKind.OTHER),
        (b"\x1f\x8bbroken", BodyKind.OTHER),
        (b"", BodyKind.OTHER),
        (b"<!--" + b"-" * 100_000, BodyKind.HTML),
        (b"body { color: red }", BodyKind.OTHER),
    ],
)
def test_kinds(body: bytes, kind: BodyKind) -> None:
    assert tell_body_kind(body) is kind
