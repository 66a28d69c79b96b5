"""The HTML of a homepage → links to articles, sections and feeds. Needs no knowledge of the site."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from newsmill.discovery.html_links import Anchor, PageLinks
from newsmill.discovery.html_listings import MAX_PAGES, count_words, find_article_links, find_same_site_links, parse_page, resolve_base
from newsmill.discovery.url_patterns import is_category, is_never_article, score_article_url
from newsmill.model import Kind, Link, Listing
from newsmill.text import lazy_re as re
from newsmill.text import urls
from newsmill.text.language_tags import parse_language_tag

_REFRESH = re.compile(r"""\s*[\d.]+\s*[;,\s]\s*(?:url\s*=\s*)?["']?([^"']+)""", re.I)
MAX_SECTIONS = 40  # a large site's menu; each costs one fetch per interval
MAX_FEEDS = 10

_FEED_TYPES = re.compile(
    r"application/(?:rss|atom|rdf|feed|x\.atom|x-rss)\+(?:xml|json)|application/json|text/(?:rss|atom)?\+?xml|application/xml", re.I
)
_FEED_PATH = re.compile(  # also /rss/news.xml, /rss2.xml and /news_rss.xml
    r"(?:/feed|/rss|/atom|/rss2|/feeds?/[\w-]+|[/.-](?:rss|feed|atom|index)\.(?:xml|rdf|json|php)|\.(?:rss|atom|rdf)"
    r"|/(?:rss|feeds?|atom)(?:/[\w-]+){1,3}\.xml|[/._-]rss[\w.-]{0,40}\.xml)/?$",
    re.I,
)
_FEED_PARAMETER = re.compile(
    r"(?:^|&)(?:feed=(?:rss2?|atom)|(?:type|format)=(?:rss|atom))(?=&|$)", re.I
)  # WordPress without permalinks, Joomla
# Feeds of comments, and the same page for programs: JSON of WordPress, also without permalinks, and of Drupal.
_NOT_NEWS_FEED = re.compile(r"comment|kommentar|comentario|commentaire|/oembed|wp-json|[?&]rest_route=|[?&]_format=", re.I)
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

    Feeds are those of its head (autodiscovery), else those it links to. A page without articles that only redirects (a static site in
    several languages), or that consists of frames, gives the pages that it redirects to or shows, of Kind.HOMEPAGE. Raises ListingError if
    the page is not HTML.
    """
    page = parse_page(html, content_type)
    links = find_same_site_links(page, url)
    feeds = find_feed_links(page, url)
    sections = [
        Link(link_url, Kind.SECTION, found_by="homepage", found_on=url) for link_url in find_section_urls(links, with_categories=not feeds)
    ]
    pages = tuple(find_article_links(links, url, "homepage"))[:MAX_PAGES]
    targets = () if pages else find_targets(page, url)
    redirects = tuple(Link(target, Kind.HOMEPAGE, found_by="homepage", found_on=url) for target in targets)
    return Listing(
        pages=pages,
        listings=(*feeds, *sections, *redirects),
        language=parse_language_tag(page.language),
    )


def find_targets(page: PageLinks, url: str) -> tuple[str, ...]:
    """The pages of the same site that a page leads to by <meta http-equiv="refresh"> (WHATWG HTML 4.2.5.3), or shows in its frames."""
    match = _REFRESH.match(page.refresh or "")
    base, site, own_key = resolve_base(page, url), urls.get_site(url), urls.make_key(url)
    targets: dict[str, None] = {}
    for href in (match[1],) if match else page.frames:
        target = urls.find_normal(href, base)
        if target is not None and urls.get_site(target) == site and urls.make_key(target) != own_key:
            targets.setdefault(target)
    return tuple(targets)


def make_well_known_links(url: str, *, is_whole_host: bool = True) -> tuple[Link, ...]:
    """Links to the well-known paths of feeds and sitemaps, for a site that names none. Each is worth one fetch.

    They are at the root of the host, or below the page, if its site is only the part of the host that begins there.
    """
    base = url if is_whole_host or "." in url.rpartition("/")[2] or url.endswith("/") else f"{url}/"
    links = ((path if is_whole_host else path[1:], kind) for path, kind in _WELL_KNOWN_PATHS)
    return tuple(Link(urls.normalize(path, base), kind, found_by="homepage", found_on=url) for path, kind in links)


def find_feed_links(page: PageLinks, url: str) -> tuple[Link, ...]:
    """Feed autodiscovery: <link rel=alternate type=…> without feeds of comments, else anchors that look like feeds; and sitemaps."""
    named = [
        link
        for link in page.links
        if "alternate" in link.get("rel", "").lower().split() and _FEED_TYPES.fullmatch(link.get("type", "").strip())
    ]
    hrefs = [link.get("href", "") for link in named if not _NOT_NEWS_FEED.search(link.get("href", "") + link.get("title", ""))]
    hrefs = hrefs or [anchor.href for anchor in page.anchors if is_feed_url(anchor.href)]
    sitemaps = [link.get("href", "") for link in page.links if link.get("rel", "").lower() == "sitemap"]
    return (*_make_listing_links(hrefs, Kind.FEED, page, url), *_make_listing_links(sitemaps, Kind.SITEMAP, page, url))


def is_feed_url(href: str) -> bool:
    """Whether the target of a link looks like a feed, and not like one of comments.

    >>> is_feed_url("/rss/politics.xml"), is_feed_url("/?feed=rss2"), is_feed_url("/comments/feed/")
    (True, True, False)
    """
    path, _, query = href.partition("?")
    is_feed = _FEED_PATH.search(path) is not None or _FEED_PARAMETER.search(query) is not None
    return is_feed and _NOT_NEWS_FEED.search(href) is None


def _make_listing_links(hrefs: Iterable[str], kind: Kind, page: PageLinks, url: str) -> tuple[Link, ...]:
    base = resolve_base(page, url)
    unique: dict[str, Link] = {}
    for href in hrefs:
        link_url = urls.find_normal(href.strip().removeprefix("feed:"), base)  # "feed://paper.example/rss", a scheme of feed readers
        if href.strip() and link_url is not None:
            unique.setdefault(link_url, Link(link_url, kind, found_by="homepage", found_on=url))
    return tuple(unique.values())[:MAX_FEEDS]


def find_section_urls(links: Iterable[tuple[str, Anchor]], *, with_categories: bool = False) -> list[str]:
    """The URLs of a site's sections: links in its navigation with 1 to 4 words and 1 or 2 path segments.

    `with_categories`: also "/category/local/", which shows what a feed of the site shows too, if it has one.
    """
    unique: dict[str, None] = {}
    for link_url, anchor in links:
        segments = [s for s in urlsplit(link_url).path.split("/") if s]
        # the header of an article has its headline, and no menu
        is_in_menu = "nav" in anchor.landmarks or ("header" in anchor.landmarks and "article" not in anchor.landmarks)
        # an aside has the recent articles; the name of a section has fewer than three words
        is_in_menu = is_in_menu and not ("aside" in anchor.landmarks and score_article_url(link_url) > 0)
        if not is_in_menu or not 1 <= len(segments) <= 2 or urlsplit(link_url).query:
            continue
        is_list = is_never_article(link_url) and not (with_categories and is_category(link_url))
        if 1 <= count_words(anchor.text) <= 4 and not is_list and not any(c.isdigit() for c in segments[-1]):
            unique.setdefault(link_url)
    return list(unique)[:MAX_SECTIONS]
