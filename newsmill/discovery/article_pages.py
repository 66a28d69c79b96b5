"""The further pages of one article: which link of a page leads to the next page of the same article, or to all pages at once.

Two facts must agree: the URL is that of the first page with a page number, and a link says that it leads to the next page. A list and its
next pages are the matter of `html_listings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from urllib.parse import unquote, urlsplit

from newsmill.discovery.html_links import PageLinks, extract_links
from newsmill.discovery.html_listings import resolve_base
from newsmill.discovery.url_patterns import is_never_article
from newsmill.exceptions import UrlError
from newsmill.text import lazy_re as re
from newsmill.text import urls
from newsmill.text.charset import to_text

MAX_ARTICLE_PAGES = 20  # of one article; a longer series of numbers is a calendar, a thread or a trap
MAX_LABEL_CHARACTERS = 30  # of a link to another page; a headline is longer
_WORDS = "page|pagenum|pg|p|seite|s|pagina|strona|strana|sida|side|sivu"
_WHOLE_PATH = r"/(?:all|komplettansicht|single-?page|one-?page)/?"
_EXTENSION = re.compile(r"\.[a-z]\w{1,4}$", re.IGNORECASE)
# What follows the path of the first page. Doubtful are "-2" and "-part-2", by which sites tell two articles with one headline apart, and
# "/page/2", which WordPress gives to lists.
_NUMBER = re.compile(rf"(?:/|[_,]|[/_,;-](?:{_WORDS})[-_=,]?)(\d{{1,2}})/?", re.IGNORECASE)
_LAST_NUMBER = re.compile(rf"(?:{_NUMBER.pattern}|{_WHOLE_PATH})$", re.IGNORECASE)
_DOUBTFUL_NUMBER = re.compile(rf"(?:-|/(?:{_WORDS})/|[/_,;-](?:part|teil|partie|parte|deel)[-_=/,]?)(\d{{1,2}})/?", re.IGNORECASE)
_FIRST = re.compile(rf"[/_,;-](?:{_WORDS})[-_=/,]?1$", re.IGNORECASE)
_PARAMETER_NAMES = f"{_WORDS}|paged|page_?n[or]?|page_number|pageno"
_PARAMETER = re.compile(rf"(?:{_PARAMETER_NAMES})=(\d{{1,2}})", re.IGNORECASE)
_WHOLE = re.compile(_WHOLE_PATH, re.IGNORECASE)
_WHOLE_PARAMETER = re.compile(
    rf"(?:{_WORDS}|view|pagewanted)=(?:all|alle|komplett|single|full)|(?:single_?page|one_?page|view_?all)=(?:1|true|yes)", re.IGNORECASE
)
_DATE_FOLDER = re.compile(r"\d{1,4}")  # the last part of /2026/11: a number behind it is a day
_PAGE_WORD = "page|seite|página|pagina|strona|sida|side|sivu|第"
_NEXT_WORD = "next|continued?|weiter|nächste|suivante?|siguiente|seguinte|successiva|próxima|volgende|nästa|neste|næste|następna|далее|下一"
# The label of a link: the number, with a word for "page" or the number of all, or a word or sign for "next". "Next article" is another one.
_LABEL = re.compile(
    rf"\W*(?:(?:{_PAGE_WORD})?\W*(?P<number>\d{{1,2}})\s*(?:页|頁|ページ)?(?:\s*(?:/|of|von|de|sur|di|van)\s*\d{{1,2}})?"
    rf"|(?:zur )?(?:{_NEXT_WORD})(?:\s*(?:{_PAGE_WORD}|页|頁|reading|lesen))?|(?:{_PAGE_WORD}) (?:{_NEXT_WORD})|[>›»→]+)\W*",
    re.IGNORECASE,
)
_COMMENTS = re.compile(r"comment|kommentar|coment|reply|respond|disqus|forum", re.IGNORECASE)
# Where the number of a second page may be, in HTML: behind the last part of the URL's path, and in a relative link.
_NUMBER_BEHIND = re.compile(
    rb"""(?:\.[a-z]\w{1,4})?/?(?:\?[^"'<>\s]{0,80}?(?:[a-z]=2|\b(?:%s)=1)|[/_,;-]?(?:[a-z]{1,8}[-_=/,]?)?2)/?(?:\.[a-z]\w{1,4})?["'&#]"""
    % _PARAMETER_NAMES.encode(),
    re.IGNORECASE,
)
_MAX_HITS = 1_000  # of one beginning that are looked at


@dataclass(frozen=True, slots=True)
class NextPage:
    """The URLs that may bring the rest of an article, the best first. `is_sure`: they may be fetched; else they are only named."""

    urls: tuple[str, ...]
    is_sure: bool = True


def find_page_number(url: str, first: str) -> int | None:
    """The number of the page of an article that a URL names; None if it does not name one. `first`: the URL of its first page.

    From 2, or from 1 for a parameter: some sites count pages from zero, and their second page is `?page=1`.

    >>> find_page_number("https://paper.example/story/2", "https://paper.example/story/")
    2
    >>> find_page_number("https://paper.example/story-2", "https://paper.example/story")
    """
    rest = _find_rest(url, first)
    if rest is None:
        return None
    return _to_number(_PARAMETER.fullmatch(rest[1]), least=1) if rest[1] else _to_number(_NUMBER.fullmatch(rest[0]))


def list_first_pages(url: str) -> list[str]:
    """The URLs that the first page of an article may have of which `url` is a further page."""
    parts = urlsplit(url)
    found = _EXTENSION.search(parts.path)
    extension = found.group() if found else ""
    stem = _LAST_NUMBER.sub("", parts.path.removesuffix(extension))
    params = parts.query.split("&")
    kept = [param for param in params if not (_PARAMETER.fullmatch(param) or _WHOLE_PARAMETER.fullmatch(param))]
    paths = [parts.path] if len(kept) < len(params) else [stem, stem + extension] if stem != parts.path else []
    return [parts._replace(path=path, query="&".join(kept)).geturl() for path in dict.fromkeys(paths)]


def is_page_of(url: str, first: str) -> bool:
    """Whether a URL is that of a further page of an article, or of all its pages on one."""
    return find_page_number(url, first) is not None or _is_whole(url, first)


def find_next_page(page: PageLinks, url: str, first: str) -> NextPage | None:
    """The next page of an article whose first page is at `first`, from the links of its page at `url`; None if it is the last one."""
    is_first = urls.make_key(url) == urls.make_key(first)
    number = 0 if is_first else find_page_number(url, first)
    if number is None or number >= MAX_ARTICLE_PAGES or is_never_article(_remove_number(first)):
        return None
    numbered = list(_list_candidates(page, url, first))
    # Behind the first page comes `?page=1` or, where there is none, a page with the number 2.
    following = _find_numbered(numbered, first, (1, 2) if is_first else (number + 1,))
    if following is not None:
        whole = (target for target, _, label in numbered if is_first and _is_whole(target, first) and len(label) <= MAX_LABEL_CHARACTERS)
        return NextPage(tuple(dict.fromkeys((*list(whole)[:1], following))))
    declared = (target for target, is_declared, _ in numbered if is_declared and is_first)
    doubtful = next((target for target in declared if _find_doubtful_number(target, first) == 2), None)
    return None if doubtful is None else NextPage((doubtful,), is_sure=False)


def _find_numbered(candidates: Iterable[tuple[str, bool, str]], first: str, wanted: Sequence[int]) -> str | None:
    """The first link to a page with a wanted number, in the order of the numbers, that rel=next or its label confirms."""
    named: dict[int, str] = {}
    for target, is_declared, label in candidates:
        number = find_page_number(target, first)
        if number is not None and (is_declared or _is_label(label, number, target)):
            named.setdefault(number, target)
    return next((named[number] for number in wanted if number in named), None)


def find_next_page_of(html: bytes, url: str, first: str, content_type: str | None = None) -> NextPage | None:
    """The next page, from HTML. A page without a link that may lead to a second one is not parsed."""
    try:
        url, first = urls.normalize(url), urls.normalize(first)
    except UrlError:
        return None
    if url == first and not _may_have_second_page(html, url):
        return None
    return find_next_page(extract_links(to_text(html, content_type)[0]), url, first)


def _may_have_second_page(html: bytes, url: str) -> bool:
    """Whether a link to a second page may be in the HTML: a 2 behind the last part of the URL's path, or in a link that begins with "?"."""
    name = _split_first(url)[0].rpartition("/")[2]
    needles = {b'"?', *(spelling.encode() for spelling in (name, unquote(name)) if name)}
    return any(_NUMBER_BEHIND.match(html, at) for needle in needles for at in islice(_find_all(html, needle), _MAX_HITS))


def _find_all(html: bytes, needle: bytes) -> Iterator[int]:
    """The positions behind each occurrence, or of the "?" that ends it."""
    at = html.find(needle)
    while at >= 0:
        yield at + len(needle) - needle.endswith(b"?")
        at = html.find(needle, at + 1)


def _list_candidates(page: PageLinks, url: str, first: str) -> Iterator[tuple[str, bool, str]]:
    """The links to other pages of the article's URL: (URL, whether it is declared by rel=next, label)."""
    base = resolve_base(page, url)
    hrefs = [(link.get("href", ""), "next" in link.get("rel", "").lower().split(), "") for link in page.links]
    hrefs = [link for link in hrefs if link[1]] + [(anchor.href, "next" in anchor.rel, anchor.text) for anchor in page.anchors]
    for href, is_declared, label in hrefs:
        if _COMMENTS.search(href.partition("#")[2]) or _COMMENTS.search(label[:MAX_LABEL_CHARACTERS]):
            continue
        target = urls.find_normal(href.strip(), base)
        if target is not None and _find_rest(target, first) is not None:
            yield target, is_declared, label


def _is_label(label: str, number: int, target: str) -> bool:
    """Whether a label of a link means the page of this number in its URL. If a parameter counts from zero, the label is one more."""
    match = _LABEL.fullmatch(label) if len(label) <= MAX_LABEL_CHARACTERS else None
    if match is None or match["number"] is None:
        return match is not None
    wanted = {number, number + 1} - {1} if _PARAMETER.search(urlsplit(target).query) else {number}
    return int(match["number"]) in wanted


def _is_whole(url: str, first: str) -> bool:
    rest = _find_rest(url, first)
    return rest is not None and (_WHOLE.fullmatch(rest[0]) if not rest[1] else _WHOLE_PARAMETER.fullmatch(rest[1])) is not None


def _find_doubtful_number(url: str, first: str) -> int | None:
    rest = _find_rest(url, first)
    return None if rest is None or rest[1] else _to_number(_DOUBTFUL_NUMBER.fullmatch(rest[0]))


def _to_number(match: re.Match[str] | None, least: int = 2) -> int | None:
    number = 0 if match is None else int(match[1])
    return number if least <= number <= MAX_ARTICLE_PAGES else None


def _find_rest(url: str, first: str) -> tuple[str, str] | None:
    """What a URL adds to that of the first page: to its path, or one parameter. None: it adds nothing, or differs in more."""
    one, other = urlsplit(url), urlsplit(first)
    if one.netloc.removeprefix("www.") != other.netloc.removeprefix("www."):
        return None
    stem, extension, params = _split_first(first)
    added = [param for param in one.query.split("&") if param and param not in other.query.split("&")]
    if (
        len(added) != len([*filter(None, one.query.split("&"))]) - len(params)
        or not stem
        or _DATE_FOLDER.fullmatch(stem.rpartition("/")[2])
    ):
        return None
    if added:
        is_same = one.path.rstrip("/") in (other.path.rstrip("/"), stem + extension)
        return ("", added[0]) if is_same and len(added) == 1 else None
    rest = one.path[len(stem) :] if one.path.startswith(stem) else ""
    rest = rest.removeprefix(extension) if extension and rest.startswith(f"{extension}/") else rest.removesuffix(extension)
    return (rest, "") if rest.strip("/") else None


def _remove_number(first: str) -> str:
    """The URL of a first page without "page 1"."""
    stem, extension, params = _split_first(first)
    return urlsplit(first)._replace(path=stem + extension, query="&".join(params)).geturl()


def _split_first(first: str) -> tuple[str, str, list[str]]:
    """The path of a first page without extension and without "page 1", the extension, and the parameters without "page 1"."""
    parts = urlsplit(first)
    path = parts.path.rstrip("/")
    found = _EXTENSION.search(path)
    extension = found.group() if found else ""
    stem = _FIRST.sub("", path.removesuffix(extension))
    params = [param for param in parts.query.split("&") if param and not (_PARAMETER.fullmatch(param) and param.endswith("=1"))]
    return stem, extension, params
