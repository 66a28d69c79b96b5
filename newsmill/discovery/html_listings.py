"""The HTML of a section page → links to articles and the next page. Needs no knowledge of the site."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import parse_qsl, urlsplit

from newsmill.discovery.body_kind import BodyKind, tell_body_kind
from newsmill.discovery.html_links import Anchor, PageLinks, extract_links
from newsmill.discovery.url_patterns import MIN_ARTICLE_SCORE, is_crawler_trap, score_article_url
from newsmill.exceptions import ListingError
from newsmill.model import Hint, Kind, Link, Listing
from newsmill.text import lazy_re as re
from newsmill.text import urls
from newsmill.text.charset import to_text
from newsmill.text.language_tags import parse_language_tag
from newsmill.text.sentences import Sentence

MAX_PAGES = 1_000  # links to articles on one page; a front page has 60 to 250

_MAX_NULS = 10  # in the first 1,024 characters; a picture has hundreds, a page a stray one
_NOT_ARTICLE_RELS = frozenset({"tag", "author", "search", "sponsored", "license", "help"})  # values of rel
# Thai, Lao, Tibetan, Burmese, Khmer, kana, Han: no blanks between words
_UNSPACED_SCRIPTS = re.compile(r"[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_PAGE_NUMBER = re.compile(r"/(?:(?:page|seite|pagina)[/-]?|p[/-])(\d{1,4})/?$", re.I)
_PAGE_PARAMS = frozenset({"page", "p", "pg", "paged", "seite", "pagina", "pageno", "page_number"})


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
        raise ListingError(Sentence("not HTML but a binary file"))
    match tell_body_kind(html, content_type):
        case BodyKind.FEED:
            raise ListingError(Sentence("not HTML but a feed"))
        case BodyKind.SITEMAP:
            raise ListingError(Sentence("not HTML but a sitemap"))
        case BodyKind.OPML:
            raise ListingError(Sentence("not HTML but a list of feeds (OPML)"))
    if "<" not in text[:100_000]:
        raise ListingError(Sentence("not HTML: it has no tag"))
    return extract_links(text.replace("\0", "\ufffd"))  # as in browsers; Postgres accepts no NUL


def find_same_site_links(page: PageLinks, url: str) -> list[tuple[str, Anchor]]:
    """The anchors that lead to the same site, with their URLs in normal form; without the page itself and crawler traps."""
    base = resolve_base(page, url)
    site, own_key = urls.get_site(url), urls.make_key(url)
    links = []
    for anchor in page.anchors:
        link_url = urls.find_normal(anchor.href, base)
        if link_url is None or urls.get_site(link_url) != site:
            continue
        if not is_crawler_trap(link_url) and urls.make_key(link_url) != own_key:
            links.append((link_url, anchor))
    return links


def resolve_base(page: PageLinks, url: str) -> str:
    """The base of the page's relative links: its <base>, or its own URL without a usable one (WHATWG HTML 4.2.3)."""
    return (urls.find_normal(page.base, url) if page.base else None) or url


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
    """Points for an article from the anchors of one URL: their longest text and their landmarks. A link in the navigation is a section."""
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
