"""A homepage's HTML → feeds (autodiscovery), sections and articles; and the well-known paths of feeds and sitemaps."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from newsmill import urls
from newsmill.discovery.html_links import Anchor, PageLinks
from newsmill.discovery.sections import MAX_PAGES, count_words, find_article_links, find_same_site_links, parse_page, resolve_base
from newsmill.discovery.url_patterns import is_never_article
from newsmill.exceptions import UrlError
from newsmill.language_tags import parse_language_tag
from newsmill.model import Kind, Link, Listing

MAX_SECTIONS = 40  # a large site's menu; each costs one fetch per interval
MAX_FEEDS = 10

_FEED_TYPES = re.compile(
    r"application/(?:rss|atom|rdf|feed|x\.atom|x-rss)\+(?:xml|json)|application/json|text/(?:rss|atom)?\+?xml|application/xml", re.I
)
_FEED_URL = re.compile(
    r"(?:/feed|/rss|/atom|/rss2|/feeds?/[\w-]+|[/.-](?:rss|feed|atom|index)\.(?:xml|rdf|json|php)|\.(?:rss|atom|rdf))/?$", re.I
)
_NOT_NEWS_FEED = re.compile(r"comment|kommentar|comentario|commentaire|/oembed|wp-json", re.I)
_WELL_KNOWN_PATHS = (
    ("/feed/", Kind.FEED),
    ("/rss.xml", Kind.FEED),
    ("/feed.xml", Kind.FEED),
    ("/rss", Kind.FEED),
    ("/atom.xml", Kind.FEED),
    ("/sitemap.xml", Kind.SITEMAP),
)


def read_homepage(html: bytes, url: str, content_type: str | None = None) -> Listing:
    """The links of a homepage at `url` (final, after redirects): feeds and sections as listings, articles as pages.

    Feeds are those of its head (autodiscovery), else those it links to. Raises ListingError if the page is not HTML.
    """
    page = parse_page(html, content_type)
    links = find_same_site_links(page, url)
    feeds = find_feed_links(page, url)
    sections = [Link(link_url, Kind.SECTION, found_by="homepage", found_on=url) for link_url in find_section_urls(links)]
    return Listing(
        pages=tuple(find_article_links(links, url, "homepage"))[:MAX_PAGES],
        listings=(*feeds, *sections),
        language=parse_language_tag(page.language),
    )


def make_well_known_links(url: str) -> tuple[Link, ...]:
    """Links to the well-known paths of feeds and sitemaps, for a site that names none. Each is worth one fetch."""
    return tuple(Link(urls.normalize(path, url), kind, found_by="homepage", found_on=url) for path, kind in _WELL_KNOWN_PATHS)


def find_feed_links(page: PageLinks, url: str) -> tuple[Link, ...]:
    """Feed autodiscovery: <link rel=alternate type=…> without feeds of comments, else anchors that look like feeds; and sitemaps."""
    named = [
        link
        for link in page.links
        if "alternate" in link.get("rel", "").lower().split() and _FEED_TYPES.fullmatch(link.get("type", "").strip())
    ]
    hrefs = [link.get("href", "") for link in named if not _NOT_NEWS_FEED.search(link.get("href", "") + link.get("title", ""))]
    hrefs = hrefs or [anchor.href for anchor in page.anchors if _FEED_URL.search(anchor.href.split("?")[0])]
    sitemaps = [link.get("href", "") for link in page.links if link.get("rel", "").lower() == "sitemap"]
    return (*_make_listing_links(hrefs, Kind.FEED, page, url), *_make_listing_links(sitemaps, Kind.SITEMAP, page, url))


def _make_listing_links(hrefs: Iterable[str], kind: Kind, page: PageLinks, url: str) -> tuple[Link, ...]:
    base = resolve_base(page, url)
    unique: dict[str, Link] = {}
    for href in hrefs:
        try:
            link_url = urls.normalize(href, base)
        except UrlError:
            continue
        if href.strip():
            unique.setdefault(link_url, Link(link_url, kind, found_by="homepage", found_on=url))
    return tuple(unique.values())[:MAX_FEEDS]


def find_section_urls(links: Iterable[tuple[str, Anchor]]) -> list[str]:
    """The URLs of a site's sections: links in its navigation with 1 to 4 words and 1 or 2 path segments."""
    unique: dict[str, None] = {}
    for link_url, anchor in links:
        segments = [s for s in urlsplit(link_url).path.split("/") if s]
        if not anchor.landmarks & {"nav", "header"} or not 1 <= len(segments) <= 2 or urlsplit(link_url).query:
            continue
        if 1 <= count_words(anchor.text) <= 4 and not is_never_article(link_url) and not any(c.isdigit() for c in segments[-1]):
            unique.setdefault(link_url)
    return list(unique)[:MAX_SECTIONS]
