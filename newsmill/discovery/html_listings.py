"""The HTML of a section page or a homepage → links to articles, the next page, sections and feeds. Needs no knowledge of the site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import unescape
from urllib.parse import parse_qsl, urlsplit

from newsmill.discovery.responses import BodyKind, tell_body_kind
from newsmill.discovery.url_patterns import MIN_ARTICLE_SCORE, is_category, is_crawler_trap, is_never_article, score_article_url
from newsmill.exceptions import ListingError, UrlError
from newsmill.model import Hint, Kind, Link, Listing
from newsmill.text import lazy_re as re
from newsmill.text import urls
from newsmill.text.charset import to_text
from newsmill.text.language_tags import parse_language_tag

MAX_PAGES = 1_000  # links to articles on one page; a front page has 60 to 250

_MAX_NULS = 10  # in the first 1,024 characters; a picture has hundreds, a page a stray one
_NOT_ARTICLE_RELS = frozenset({"tag", "author", "search", "sponsored", "license", "help"})  # values of rel
# Thai, Lao, Tibetan, Burmese, Khmer, kana, Han: no blanks between words
_UNSPACED_SCRIPTS = re.compile(r"[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_PAGE_NUMBER = re.compile(r"/(?:(?:page|seite|pagina)[/-]?|p[/-])(\d{1,4})/?$", re.I)
_PAGE_PARAMS = frozenset({"page", "p", "pg", "paged", "seite", "pagina", "pageno", "page_number"})
_REFRESH = re.compile(r"""\s*[\d.]+\s*[;,\s]\s*(?:url\s*=\s*)?["']?([^"']+)""", re.I)
MAX_SECTIONS = 40  # a large site's menu; each costs one fetch per interval
MAX_FEEDS = 10
MAX_FRAMES = 4  # of a homepage; one is its menu, one its news

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


def read_section(html: bytes, url: str, content_type: str | None = None) -> Listing:
    """The links on a page at `url` (final, after redirects) that look like articles of the same site, in page order, each once.

    A next page of the list is a link of Kind.SECTION; the caller decides how far to follow. A doubtful link counts as an article: a false
    one costs a fetch, a missed one an article. Raises ListingError if the page is not HTML.
    """
    page = parse_page(html, content_type)
    links = find_same_site_links(page, url)
    following = find_next_page(links, url)
    return Listing(
        pages=tuple(find_article_links(links, url, "section"))[:MAX_PAGES],
        listings=() if following is None else (Link(following, Kind.SECTION, found_by="section", found_on=url),),
        language=parse_language_tag(page.language),
    )


def parse_page(html: bytes, content_type: str | None) -> PageLinks:
    """The page's links. Raises ListingError if the bytes are not HTML."""
    text, _ = to_text(html, content_type)
    if text[:1024].count("\0") > _MAX_NULS:
        raise ListingError("not HTML but a binary file")
    match tell_body_kind(html, content_type):
        case BodyKind.FEED:
            raise ListingError("not HTML but a feed")
        case BodyKind.SITEMAP:
            raise ListingError("not HTML but a sitemap")
        case BodyKind.OPML:
            raise ListingError("not HTML but a list of feeds (OPML)")
    if "<" not in text[:100_000]:
        raise ListingError("not HTML: it has no tag")
    return extract_links(text.replace("\0", "\ufffd"))  # as in browsers; Postgres accepts no NUL


def find_same_site_links(page: PageLinks, url: str) -> list[tuple[str, Anchor]]:
    """The anchors that lead to the same site, with their URLs in normal form; without the page itself and crawler traps."""
    base = resolve_base(page, url)
    site, own_key = urls.get_site(url), urls.make_key(url)
    links = []
    for anchor in page.anchors:
        try:
            link_url = urls.normalize(anchor.href, base)
        except UrlError:
            continue
        if urls.get_site(link_url) == site and not is_crawler_trap(link_url) and urls.make_key(link_url) != own_key:
            links.append((link_url, anchor))
    return links


def resolve_base(page: PageLinks, url: str) -> str:
    """The base of the page's relative links: its <base>, or its own URL without a usable one (WHATWG HTML 4.2.3)."""
    try:
        return urls.normalize(page.base, url) if page.base else url
    except UrlError:
        return url


def find_article_links(links: Iterable[tuple[str, Anchor]], url: str, found_by: str) -> Iterator[Link]:
    """One link for each URL that looks like an article's by its spelling and its anchors. The longest text is the hint of its title."""
    anchors_by_url: dict[str, list[Anchor]] = {}
    for link_url, anchor in links:
        anchors_by_url.setdefault(link_url, []).append(anchor)
    for link_url, anchors in anchors_by_url.items():
        if score_article_url(link_url) + score_anchors(anchors) >= MIN_ARTICLE_SCORE:
            title = max((anchor.text for anchor in anchors), key=len)
            hint = Hint(title=title if count_words(title) >= 3 else None)
            yield Link(link_url, Kind.PAGE, found_by=found_by, found_on=url, hint=hint)


def score_anchors(anchors: Sequence[Anchor]) -> int:
    """Points for an article from the anchors of one URL: their longest text and their landmarks.

    A link that is also in the navigation is a section, unless its URL looks like an article's.
    """
    if any(anchor.rel & _NOT_ARTICLE_RELS for anchor in anchors):
        return -9
    landmarks = set().union(*(anchor.landmarks for anchor in anchors))
    words = max(count_words(anchor.text) for anchor in anchors)
    points = 2 if words >= 5 else 1 if words == 4 else 0
    return points + ("heading" in landmarks) - 2 * bool(landmarks & {"nav", "footer"})


def count_words(text: str) -> int:
    """Words of a link's text; in scripts without blanks, three letters count as a word."""
    return len(text.split()) + len(_UNSPACED_SCRIPTS.findall(text)) // 3


def find_next_page(links: Iterable[tuple[str, Anchor]], url: str) -> str | None:
    """The next page of the same list: the link with rel=next, else the one with the next page number."""
    links = list(links)
    for link_url, anchor in links:
        if "next" in anchor.rel and (find_page_number(link_url) or score_article_url(link_url) < MIN_ARTICLE_SCORE):
            return link_url  # on article pages, rel=next is the next article
    next_number = (find_page_number(url) or 1) + 1
    path = urlsplit(url).path.rstrip("/")
    list_path = _PAGE_NUMBER.sub("", path)
    for link_url, _ in links:
        if find_page_number(link_url) == next_number and _PAGE_NUMBER.sub("", urlsplit(link_url).path.rstrip("/")) == list_path:
            return link_url
    return None


def find_page_number(url: str) -> int | None:
    """The page number in the URL of a list (/page/2, ?page=2), or None."""
    parts = urlsplit(url)
    if match := _PAGE_NUMBER.search(parts.path):
        return int(match[1])
    for name, value in parse_qsl(parts.query):
        if name.lower() in _PAGE_PARAMS and value.isascii() and value.isdigit() and len(value) < 5:
            return int(value)
    return None


# ---- homepages --------------------------------------------------------------------------------------------------------------------


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
        try:
            target = urls.normalize(href, base)
        except UrlError:
            continue
        if urls.get_site(target) == site and urls.make_key(target) != own_key:
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
        try:
            link_url = urls.normalize(href.strip().removeprefix("feed:"), base)  # "feed://paper.example/rss", a scheme of feed readers
        except UrlError:
            continue
        if href.strip():
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


# ---- the scan ------------------------------------------------------------------------------------------------------------------

# A linear scan of HTML for its links: no tree, no depth limit. libxml2 needs more than a minute for 100,000 attributes on one tag and stops
# at 256 levels, and the links behind are lost. `python -m pytest tests/growth` measures the linear time. Tags and attributes follow the
# HTML standard (WHATWG HTML 13.2.5).

MAX_LINKS = 5_000  # on one page; a front page has 200 to 600
_MAX_TEXT_CHARACTERS = 500  # of a link; a headline has 40 to 120
_MAX_DEPTH = 256  # open elements; deeper ones count as part of the one at this level

_MARKUP_START = re.compile(r"<(?:!--|(/?)([a-zA-Z][^\s/>]*+))")
# One attribute: a name and a value in double quotes, single quotes or none. All parts are possessive, so no character is tried twice,
# except behind an unclosed quote: once per kind of quote and page.
_NAME, _VALUE = r"[^\s/>=][^\s/>=]*+", r"""(?:"[^"]*+"|'[^']*+'|[^\s>"'][^\s>]*+|)"""
_ATTRIBUTES = re.compile(rf"((?:[\s/=]*+{_NAME}(?:\s*+=\s*+{_VALUE})?+)*+)[\s/=]*+>")
_ATTRIBUTE = re.compile(rf"[\s/=]*+({_NAME})(?:\s*+=\s*+({_VALUE}))?+")

_SKIPPED_ELEMENTS = frozenset(
    {"script", "style", "template", "textarea", "svg", "select", "xmp", "iframe", "title"}
)  # without links of the page
_END_TAGS = {name: re.compile(f"</{name}", re.I) for name in _SKIPPED_ELEMENTS}
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_CONTAINERS = frozenset({"nav", "header", "footer", "aside", "article", "main", "div", "section", "ul", "ol", "table"}) | _HEADINGS
_LANDMARKS = frozenset({"nav", "footer", "header", "aside", "article"})
# A class or id that makes a container a landmark: "main-nav", "footer__links", but not "has-menu" (a page with a menu).
_LANDMARK_CLASSES = re.compile(
    r"(?<![^\s\"])(?!(?:has|with|no|is|js)[-_])(?:[a-z0-9]++[-_]++){0,2}"
    r"(?:(?P<nav>nav|navbar|navigation|menu|breadcrumbs?|pagination|pager)|(?P<footer>footer|imprint))(?:[-_]++[a-z0-9]++){0,2}(?![^\s\"])"
)


@dataclass(slots=True)
class Anchor:
    """One <a href>: its text and the landmarks around it ("nav", "footer", "header", "aside", "article", "heading")."""

    href: str
    rel: frozenset[str]
    landmarks: set[str]
    text: str = ""


@dataclass(slots=True)
class PageLinks:
    """A page's anchors, <link> tags and frames in page order, its <base href>, its language and its <meta http-equiv="refresh">."""

    anchors: list[Anchor] = field(default_factory=list)
    links: list[dict[str, str]] = field(default_factory=list)  # attributes of each <link>
    base: str | None = None
    language: str | None = None
    refresh: str | None = None  # "0; url=/en/"
    frames: list[str] = field(default_factory=list)  # `src` of each <frame>


def extract_links(html: str) -> PageLinks:
    """The links of a page, in one pass and in time proportional to its length. Never raises."""
    scanner = _Scanner(html)
    scanner.scan()
    return scanner.page


class _Scanner:
    def __init__(self, html: str) -> None:
        self.html = html
        self.page = PageLinks()
        self.open: list[tuple[str, str]] = []  # (element, its landmark or "")
        self.counts: Counter[str] = Counter()  # of the names in `open`
        self.anchor: Anchor | None = None
        self.text: list[str] = []
        self.unclosed: set[str] = set()  # skipped elements without an end tag from here on

    def scan(self) -> None:
        at = 0
        while markup := _MARKUP_START.search(self.html, at):
            self._add_text(at, markup.start())
            if markup[2] is None:
                at = self.html.find("-->", markup.end()) + 3
                if at == 2:
                    break  # the comment never ends
                continue
            tag = _ATTRIBUTES.match(self.html, markup.end())
            if tag is None:
                break  # the tag never ends
            at = tag.end()
            name = markup[2].lower()
            if markup[1]:
                self._end(name)
            else:
                self._start(name, tag[1])
                if name in _SKIPPED_ELEMENTS and name not in self.unclosed:
                    at = self._find_end_tag(name, at)
            if len(self.page.anchors) >= MAX_LINKS:
                return
        else:
            self._add_text(at, len(self.html))
        self._close_anchor()

    def _add_text(self, start: int, end: int) -> None:
        if self.anchor is not None and len(self.text) < _MAX_TEXT_CHARACTERS:
            self.text.append(self.html[start : min(end, start + _MAX_TEXT_CHARACTERS)])

    def _find_end_tag(self, name: str, at: int) -> int:
        end = _END_TAGS[name].search(self.html, at)
        if end is None:
            self.unclosed.add(name)
        return end.start() if end else at

    def _start(self, name: str, attributes: str) -> None:
        if name == "a":
            self._open_anchor(read_attributes(attributes))
        elif name in _CONTAINERS:
            if name in _HEADINGS and self.anchor is not None:
                self.anchor.landmarks.add("heading")
            if len(self.open) < _MAX_DEPTH:
                self.open.append((name, _find_landmark(name, attributes)))
                self.counts[name] += 1
        elif name == "link" and len(self.page.links) < MAX_LINKS:
            self.page.links.append(read_attributes(attributes))
        elif name == "frame" and len(self.page.frames) < MAX_FRAMES:
            self.page.frames.append(read_attributes(attributes).get("src", ""))
        elif name == "base" and self.page.base is None:
            self.page.base = read_attributes(attributes).get("href")
        elif name == "meta" and self.page.refresh is None and "refresh" in attributes.lower():
            values = read_attributes(attributes)
            self.page.refresh = values.get("content") if values.get("http-equiv", "").lower() == "refresh" else None
        elif name == "html" and self.page.language is None:
            self.page.language = read_attributes(attributes).get("lang")

    def _end(self, name: str) -> None:
        if name == "a":
            self._close_anchor()
        elif self.counts[name]:  # an end tag without a start tag closes nothing
            closed = ""
            while closed != name:
                closed, _ = self.open.pop()
                self.counts[closed] -= 1

    def _open_anchor(self, attributes: dict[str, str]) -> None:
        self._close_anchor()
        href = attributes.get("href", "").strip()
        if href and not href.startswith("#"):
            rel = frozenset(attributes.get("rel", "").lower().split())
            label = attributes.get("aria-label") or attributes.get("title") or ""
            self.anchor = Anchor(href, rel, {landmark for _, landmark in self.open if landmark}, label)

    def _close_anchor(self) -> None:
        if self.anchor is not None:
            text = " ".join(unescape(" ".join(self.text)).split())
            self.anchor.text = (text or self.anchor.text)[:_MAX_TEXT_CHARACTERS]
            self.page.anchors.append(self.anchor)
        self.anchor, self.text = None, []


def read_attributes(attributes: str) -> dict[str, str]:
    """The attributes by lower-case name. Of two with one name, the first counts."""
    values: dict[str, str] = {}
    for name, value in _ATTRIBUTE.findall(attributes):
        values.setdefault(name.lower(), unescape(value[1:-1] if value[:1] in ("'", '"') else value))
    return values


def _find_landmark(name: str, attributes: str) -> str:
    """The landmark that an element is for its content, or ""."""
    if name in _HEADINGS:
        return "heading"
    if name in _LANDMARKS:
        return name
    if not attributes or name in ("main", "table"):
        return ""
    names = read_attributes(attributes)
    match = _LANDMARK_CLASSES.search(f"{names.get('class', '')} {names.get('id', '')} {names.get('role', '')}".lower()[:500])
    return (match.lastgroup or "") if match else ""
