"""A section page's HTML → the links on it that look like articles, and its next page. Works on sites never seen before."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import parse_qsl, urlsplit

from newsmill import urls
from newsmill.charset import to_text
from newsmill.discovery.html_links import Anchor, PageLinks, extract_links
from newsmill.discovery.url_patterns import MIN_ARTICLE_SCORE, is_crawler_trap, score_article_url
from newsmill.exceptions import ListingError, UrlError
from newsmill.language_tags import parse_language_tag
from newsmill.model import Hint, Kind, Link, Listing

MAX_PAGES = 1_000  # links of one listing; a front page has 60 to 250 articles

_MAX_NULS = 10  # in the first 1,024 characters; a picture has hundreds, a page a stray one
_NO_ARTICLE = frozenset({"tag", "author", "search", "sponsored", "license", "help"})  # values of rel
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")  # Thai, kana, Han: no blanks between words
_PAGE_NUMBER = re.compile(r"/(?:page|seite|pagina|p)[/-](\d{1,4})/?$", re.I)
_PAGE_PARAMS = frozenset({"page", "p", "pg", "paged", "seite", "pagina", "pageno", "page_number"})


def read_section(html: bytes, url: str, content_type: str | None = None) -> Listing:
    """The links on a page at `url` (final, after redirects) that look like articles of the same site, in page order, each once.

    The next page of the list, if there is one, comes as Kind.SECTION: how far to follow is the caller's choice. False links cost one
    polite fetch each and missed ones an article, so a doubtful link counts as one. Raises ListingError when the page is no HTML.
    """
    page = read_page(html, content_type)
    links = same_site(page, url)
    following = next_page(links, url)
    return Listing(
        pages=tuple(article_links(links, url, "section"))[:MAX_PAGES],
        listings=() if following is None else (Link(following, Kind.SECTION, found_by="section", found_on=url),),
        language=parse_language_tag(page.language),
    )


def read_page(html: bytes, content_type: str | None) -> PageLinks:
    """The page's links. Raises ListingError when the bytes are no HTML."""
    text, _ = to_text(html, content_type)
    if text[:1024].count("\0") > _MAX_NULS:
        raise ListingError("is no HTML but a binary file")
    if "<" not in text[:100_000]:
        raise ListingError("is no HTML: there is no tag in it")
    return extract_links(text.replace("\0", "\ufffd"))  # as browsers do; a database takes no NUL


def same_site(page: PageLinks, url: str) -> list[tuple[str, Anchor]]:
    """The anchors that lead to the same site, with their URLs in normal form; the page itself and traps are left out."""
    base = base_url(page, url)
    site, itself = urls.get_site(url), urls.make_key(url)
    found = []
    for anchor in page.anchors:
        try:
            address = urls.normalize(anchor.href, base)
        except UrlError:
            continue
        if urls.get_site(address) == site and not is_crawler_trap(address) and urls.make_key(address) != itself:
            found.append((address, anchor))
    return found


def base_url(page: PageLinks, url: str) -> str:
    """What the page's links are relative to: its <base>, or its own URL where that is none (WHATWG HTML 4.2.3)."""
    try:
        return urls.normalize(page.base, url) if page.base else url
    except UrlError:
        return url


def article_links(links: Iterable[tuple[str, Anchor]], url: str, found_by: str) -> Iterator[Link]:
    """One link for each address that looks like an article's by its best anchor; the longest text is a hint of its title."""
    anchors: dict[str, list[Anchor]] = {}
    for address, anchor in links:
        anchors.setdefault(address, []).append(anchor)
    for address, found in anchors.items():
        if score_article_url(address) + anchor_points(found) >= MIN_ARTICLE_SCORE:
            title = max((anchor.text for anchor in found), key=len)
            hint = Hint(title=title if count_words(title) >= 3 else None)
            yield Link(address, Kind.PAGE, found_by=found_by, found_on=url, hint=hint)


def anchor_points(anchors: Sequence[Anchor]) -> int:
    """Points for and against an article from the links that lead to one address: their longest text and where they stand.

    What stands in the navigation too is a section, unless its address says otherwise.
    """
    if any(anchor.rel & _NO_ARTICLE for anchor in anchors):
        return -9
    places = set().union(*(anchor.places for anchor in anchors))
    words = max(count_words(anchor.text) for anchor in anchors)
    points = 2 if words >= 5 else 1 if words == 4 else 0
    return points + ("heading" in places) - 2 * bool(places & {"nav", "footer"})


def count_words(text: str) -> int:
    """Words of a link's text; scripts without blanks count three letters as a word."""
    return len(text.split()) + len(_UNSPACED.findall(text)) // 3


def next_page(links: Iterable[tuple[str, Anchor]], url: str) -> str | None:
    """The next page of the same list: what rel=next names, else the link to this page's number and one."""
    links = list(links)
    for address, anchor in links:
        if "next" in anchor.rel and (page_number(address) or score_article_url(address) < MIN_ARTICLE_SCORE):
            return address  # on article pages, rel=next is the next article
    wanted = (page_number(url) or 1) + 1
    path = urlsplit(url).path.rstrip("/")
    trunk = _PAGE_NUMBER.sub("", path)
    for address, _ in links:
        if page_number(address) == wanted and _PAGE_NUMBER.sub("", urlsplit(address).path.rstrip("/")) == trunk:
            return address
    return None


def page_number(url: str) -> int | None:
    """The number of a list's page by its address (/page/2, ?page=2), or None."""
    parts = urlsplit(url)
    if match := _PAGE_NUMBER.search(parts.path):
        return int(match[1])
    for name, value in parse_qsl(parts.query):
        if name.lower() in _PAGE_PARAMS and value.isascii() and value.isdigit() and len(value) < 5:
            return int(value)
    return None
