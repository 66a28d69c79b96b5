"""The headline, chosen from the titles of the page without the name of the site, and the names of the site. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from newsmill.exceptions import UrlError
from newsmill.extraction.metadata.json_ld import get_types, read_text, unescape_html
from newsmill.extraction.metadata.marked_elements import MAX_TITLE_CHARACTERS
from newsmill.extraction.metadata.structured_data import Heading, StructuredData
from newsmill.extraction.normalise import fold, normalise_line
from newsmill.model import Block, BlockType
from newsmill.text import lazy_re as re
from newsmill.text import urls
from newsmill.text.text_cache import cache_short_texts

# " - ", " | ", " :: ", " » " and full-width and Korean variants. A hyphen or colon needs white space around it, a bar does not.
# Chinese, Japanese and Korean titles need no white space; they also have the name of the site in brackets at either end.
_EAST_ASIAN = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3"
_SEPARATOR = re.compile(
    r"\s+[-–—―－:·•★~/«»‹›<>〉|]+\s+|\s*[|｜¦ㅣ│丨]+\s*|\s*_+\s*(?=\w)|\s*::\s*|\s+[»›]\s*|：|】\s*(?=.)|\s*[【（](?=[^【】（）]*[】）]$)"
    rf"|(?<=[{_EAST_ASIAN}！？”」』）])[-—―／]+|[-—―／]+(?=[{_EAST_ASIAN}])"
)
_WORD = re.compile(r"\w+")
_PUBLISHER_TYPES = frozenset({"WebSite", "Organization", "NewsMediaOrganization", "Corporation"})
_NEWS_TYPES = frozenset({"NewsArticle", "ReportageNewsArticle", "AnalysisNewsArticle", "OpinionNewsArticle"})
MIN_COMMON_SHARE = 0.2  # share of common words from which a heading matches the other titles; below it, it belongs to the site or a box
MIN_PART_WORDS = 5  # words of a heading that is half of <title> or more; shorter ones are names of the site or of a box
TitleAndSource = tuple[str, str]  # text, provenance
LAYER = "rules"


def find_title(page: StructuredData, url: str, hint: str | None = None) -> TitleAndSource | None:
    """Return the title and its provenance (json-ld, meta, dom, feed), or None.

    The visible <h1> has priority if other sources agree with it; an <h1> in a breadcrumb trail or a logo, or with the name of the site,
    does not count.
    If no <h1> qualifies, the order is: an <h2> that another source confirms, JSON-LD, og:title, <title>, the title of the listing.
    A title that is only the host's name is the last choice; any <h2> is preferred to it.
    """
    site_names = find_site_names(page, url)
    if (below := _find_below_name(page, site_names)) is not None:
        return below, "dom"
    titles, hosts = _find_declared(page, site_names), frozenset(map(join_letters, _names_in_url(url)))
    declared = [one for one in titles if join_letters(one[0]) not in hosts]
    headings = [
        Heading(remove_site_name(h.text, site_names), h.level, h.is_navigation)
        for h in page.headings
        if not _is_site_name(h.text, site_names)
    ]
    headline = _find_headline(headings, declared)
    if headline is not None:
        return _choose_headline(headline, declared, is_news=not _NEWS_TYPES.isdisjoint(get_types(page.article or {})))
    confirmed = next((h.text for h in headings if h.level == 2 and any(_is_same_title(h.text, text) for text, _ in declared)), None)
    if confirmed is not None:
        return confirmed, "dom"
    if declared:
        return _choose_declared(headings, declared)
    first = next((h.text for h in headings if h.level == 1 or (titles and h.level == 2)), None)
    return (first, "dom") if first else (normalise_line(hint), "feed") if hint else titles[0] if titles else None


def _find_below_name(page: StructuredData, names: frozenset[str]) -> str | None:
    """Return the <h2> with the headline below an <h1> with the name of the site, where <title> is "headline - name".

    `names` are those of the site that are known otherwise; an <h2> with one of them is not a headline.
    """
    title, headings = page.title or "", [(heading.level, join_letters(heading.text)) for heading in page.headings]
    for found in _SEPARATOR.finditer(title):
        headline, name = (2, join_letters(title[: found.start()])), (1, join_letters(title[found.end() :]))
        if headline[1] not in names and {headline, name} <= {*headings} and headings.index(name) < headings.index(headline):
            return page.headings[headings.index(headline)].text
    return None


def _find_declared(page: StructuredData, names: frozenset[str]) -> list[TitleAndSource]:
    """Return the titles of JSON-LD, og:title, twitter:title and <title>, in this order, without the name of the site."""
    raw = (
        (read_text((page.article or {}).get("headline")), "json-ld"),
        (page.first("og:title"), "meta"),
        (page.first("twitter:title", "dc.title", "title", "headline"), "meta"),
        (page.title, "dom"),
    )
    cleaned = [
        (remove_site_name(normalise_line(unescape_html(text[:MAX_TITLE_CHARACTERS])), names), source) for text, source in raw if text
    ]
    return [(text, source) for text, source in cleaned if text]


def _find_headline(headings: list[Heading], declared: list[TitleAndSource]) -> str | None:
    """Return the <h1> most similar to the other titles. JSON-LD and og:title count before <title>, which often has the motto of a site."""
    reliable_titles = [text for text, _ in declared[:2]]
    best, score = None, 0.0
    for heading in headings:
        if heading.level != 1 or heading.is_navigation:
            continue
        same = 2.0 if any(_is_same_title(heading.text, text) for text in reliable_titles) else 0.0
        nearest = same or max((_measure_overlap(heading.text, text) for text, _ in declared), default=1.0)
        if nearest > score:
            best, score = heading.text, nearest
    if score < MIN_COMMON_SHARE and len(declared) == 1 and declared[0][1] == "dom":
        only = {heading.text for heading in headings if heading.level == 1 and not heading.is_navigation}
        return only.pop() if len(only) == 1 else None  # <title> is the only source, and it names the site as often as the page
    return best if score >= MIN_COMMON_SHARE else None


def _choose_headline(headline: str, declared: list[TitleAndSource], *, is_news: bool) -> TitleAndSource:
    """Return the <h1>, or its part after a kicker ("Minority in Syria - Druze demand a share") if another source has only this part."""
    for text, source in declared[:2]:
        if not _is_same_title(headline, text) and _is_tail(text, headline):
            return text, source
    by_source = {source: text for text, source in reversed(declared)}
    meta_title = by_source.get("meta")
    if is_news and meta_title and not _is_same_title(headline, meta_title) and _is_same_title(meta_title, by_source.get("json-ld", "")):
        return meta_title, "meta"  # og:title and JSON-LD agree and differ from the <h1>, which on news sites is then the teaser
    return headline, "dom"


def _choose_declared(headings: list[Heading], declared: list[TitleAndSource]) -> TitleAndSource:
    """Choose a declared title. If a breadcrumb trail repeats the title of JSON-LD, it is for search engines, and readers see og:title."""
    by_source = {source: text for text, source in reversed(declared)}
    json_ld, meta = by_source.get("json-ld"), by_source.get("meta")
    if json_ld and meta and any(h.is_navigation and _is_same_title(h.text, json_ld) for h in headings):
        return meta, "meta"
    if not json_ld and not meta:
        part = next((h.text for h in headings if h.level == 2 and _is_part(h.text, declared[0][0])), None)
        return (part, "dom") if part else declared[0]
    return declared[0]


def find_site_names(page: StructuredData, url: str) -> frozenset[str]:
    """Return all names of the site in the page and its URL, as joined letters."""
    named = [
        page.first(name)
        for name in ("og:site_name", "application-name", "apple-mobile-web-app-title", "al:ios:app_name", "dc.publisher", "publisher")
    ]
    named.append(read_text((page.article or {}).get("publisher")))
    named.append((page.first("twitter:site") or "").lstrip("@"))
    named += [
        read_text(node.get(key)) for node in page.nodes if _PUBLISHER_TYPES & set(get_types(node)) for key in ("name", "alternateName")
    ]
    return frozenset(letters for name in (*named, *_names_in_url(url)) if name and (letters := join_letters(name)))


def _names_in_url(url: str) -> Iterator[str]:
    try:
        site = urls.get_site(url).removeprefix("www.") if url else ""
    except UrlError:
        return
    yield from (site, site.split(".")[0])


def remove_site_name(title: str, names: Iterable[str]) -> str:
    """Remove parts at either end of the title that name the site; a title that is only the name remains."""
    for _ in range(3):
        breaks = list(_SEPARATOR.finditer(title))
        if not breaks:
            break
        first, last = breaks[0], breaks[-1]
        if title[: last.start()].strip() and _is_site_name(title[last.end() :], names):
            # "headline_section_site": a Chinese headline has no underscore
            title = (title.partition("_")[0] if "_" in last.group() else title[: last.start()]).strip()
        elif title[first.end() :].strip() and _is_site_name(title[: first.start()], names):
            title = title[first.end() :].strip()
        else:
            break
    return title


def _is_site_name(part: str, names: Iterable[str]) -> bool:
    """True for the name of the site in any spelling, alone or with a word or two ("BBC News" for "BBC")."""
    letters = join_letters(part)
    if not letters:
        return True
    short = len(part.split()) <= 5 and len(letters) >= 4
    return any(letters == name or (short and len(name) >= 4 and _begins_or_ends(letters, name)) for name in names)


def _begins_or_ends(left: str, right: str) -> bool:
    short, long = sorted((left, right), key=len)
    return long.startswith(short) or long.endswith(short)


def split_title_words(text: str) -> list[str]:
    """Return the case-folded words without quotes and dashes, which two spellings of one headline share."""
    return _WORD.findall(fold(text).casefold())


def join_letters(text: str) -> str:
    """Return the words as one string, which all spellings of the name of a site share."""
    return "".join(_split_title_cached(text))


@cache_short_texts(MAX_TITLE_CHARACTERS)  # each page compares its title a dozen times, and names of sites and authors recur on many pages
def _split_title_cached(text: str) -> tuple[str, ...]:
    """Return the words of a title or a name."""
    return tuple(split_title_words(text))


def _is_same_title(left: str, right: str) -> bool:
    return _split_title_cached(left) == _split_title_cached(right) != ()


def _measure_overlap(left: str, right: str) -> float:
    """Return the share of common words in the shorter of two titles."""
    a, b = set(_split_title_cached(left)), set(_split_title_cached(right))
    return len(a & b) / max(1, min(len(a), len(b)))


def _is_tail(tail: str, whole: str) -> bool:
    """True if `whole` ends with `tail` and `tail` has at least two fifths of its length."""
    short, long = " ".join(_split_title_cached(tail)), " ".join(_split_title_cached(whole))
    return len(short) >= 0.4 * len(long) and long.endswith(f" {short}")


def _is_part(part: str, title: str) -> bool:
    """True if a heading is a part of <title> between separators, or most of it at either end, as in "The Review: A big rocket"."""
    if len(part) >= 8 and any(_is_same_title(part, piece) for piece in _SEPARATOR.split(title)):
        return True
    words, whole = _split_title_cached(part), _split_title_cached(title)
    return len(words) >= MIN_PART_WORDS and len(whole) <= 2 * len(words) and words in (whole[: len(words)], whole[-len(words) :])


def remove_headline(blocks: Sequence[Block], title: str | None) -> tuple[Block, ...]:
    """Return the blocks, with a heading above the text that has the words of the title marked as removed.

    On some sites the headline has the position of the subheadings, which a site profile knows as text.
    """
    kept = [index for index, block in enumerate(blocks) if block.kept]
    if len(kept) < 2 or blocks[kept[0]].type is not BlockType.HEADING or not _is_same_title(blocks[kept[0]].text, title or ""):
        return tuple(blocks)
    removed = replace(blocks[kept[0]], kept=False, layer=LAYER, reason="headline repeated")
    return (*blocks[: kept[0]], removed, *blocks[kept[0] + 1 :])
