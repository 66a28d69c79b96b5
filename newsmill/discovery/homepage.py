"""A homepage's HTML → the feeds it names, its sections, and the articles linked from it; and where listings usually lie."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from newsmill import urls
from newsmill.discovery.html_links import Anchor, PageLinks
from newsmill.discovery.sections import MAX_PAGES, article_links, base_url, count_words, read_page, same_site
from newsmill.discovery.url_patterns import is_never_article
from newsmill.exceptions import UrlError
from newsmill.language_tags import parse_language_tag
from newsmill.model import Kind, Link, Listing

MAX_SECTIONS = 40  # a large site's menu; each costs one fetch an interval
MAX_FEEDS = 10

_FEED_TYPES = re.compile(
    r"application/(?:rss|atom|rdf|feed|x\.atom|x-rss)\+(?:xml|json)|application/json|text/(?:rss|atom)?\+?xml|application/xml", re.I
)
_FEED_ADDRESS = re.compile(
    r"(?:/feed|/rss|/atom|/rss2|/feeds?/[\w-]+|[/.-](?:rss|feed|atom|index)\.(?:xml|rdf|json|php)|\.(?:rss|atom|rdf))/?$", re.I
)
_COMMENTS = re.compile(r"comment|kommentar|comentario|commentaire|/oembed|wp-json", re.I)
_GUESSES = (
    ("/feed/", Kind.FEED),
    ("/rss.xml", Kind.FEED),
    ("/feed.xml", Kind.FEED),
    ("/rss", Kind.FEED),
    ("/atom.xml", Kind.FEED),
    ("/sitemap.xml", Kind.SITEMAP),
)


def read_homepage(html: bytes, url: str, content_type: str | None = None) -> Listing:
    """What a homepage at `url` (final, after redirects) leads to: feeds and sections as listings, articles as pages.

    Feeds are those its head names, or else those it links to. Raises ListingError when the page is no HTML.
    """
    page = read_page(html, content_type)
    links = same_site(page, url)
    feeds = find_feed_links(page, url)
    sections = [Link(address, Kind.SECTION, found_by="homepage", found_on=url) for address in find_section_urls(links)]
    return Listing(
        pages=tuple(article_links(links, url, "homepage"))[:MAX_PAGES],
        listings=(*feeds, *sections),
        language=parse_language_tag(page.language),
    )


def make_well_known_links(url: str) -> tuple[Link, ...]:
    """Where feeds and sitemaps lie on most sites that name none: worth one fetch each, once."""
    return tuple(Link(urls.normalize(path, url), kind, found_by="homepage", found_on=url) for path, kind in _GUESSES)


def find_feed_links(page: PageLinks, url: str) -> tuple[Link, ...]:
    """The feeds a page's head names (<link rel=alternate type=…>), without those of comments; else what its anchors link to."""
    named = [
        link
        for link in page.links
        if "alternate" in link.get("rel", "").lower().split() and _FEED_TYPES.fullmatch(link.get("type", "").strip())
    ]
    hrefs = [link.get("href", "") for link in named if not _COMMENTS.search(link.get("href", "") + link.get("title", ""))]
    hrefs = hrefs or [anchor.href for anchor in page.anchors if _FEED_ADDRESS.search(anchor.href.split("?")[0])]
    sitemaps = [link.get("href", "") for link in page.links if link.get("rel", "").lower() == "sitemap"]
    return (*_listings(hrefs, Kind.FEED, page, url), *_listings(sitemaps, Kind.SITEMAP, page, url))


def _listings(hrefs: Iterable[str], kind: Kind, page: PageLinks, url: str) -> tuple[Link, ...]:
    base = base_url(page, url)
    found: dict[str, Link] = {}
    for href in hrefs:
        try:
            address = urls.normalize(href, base)
        except UrlError:
            continue
        if href.strip():
            found.setdefault(address, Link(address, kind, found_by="homepage", found_on=url))
    return tuple(found.values())[:MAX_FEEDS]


def find_section_urls(links: Iterable[tuple[str, Anchor]]) -> list[str]:
    """The addresses of a site's sections: in its navigation, named by a word or three, one or two words deep."""
    found: dict[str, None] = {}
    for address, anchor in links:
        segments = [s for s in urlsplit(address).path.split("/") if s]
        if not anchor.places & {"nav", "header"} or not 1 <= len(segments) <= 2 or urlsplit(address).query:
            continue
        if 1 <= count_words(anchor.text) <= 4 and not is_never_article(address) and not any(c.isdigit() for c in segments[-1]):
            found.setdefault(address)
    return list(found)[:MAX_SECTIONS]
