"""The hub and the topic of a feed, from headers and from each format."""

from __future__ import annotations

import pytest

from newsmill.discovery.feeds import read_feed
from newsmill.discovery.hubs import Announcement, find_announcement, read_links

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
