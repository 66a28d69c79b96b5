"""The headline, without the site's name: which of the page's many titles is the one the reader sees."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from newsmill import urls
from newsmill.exceptions import UrlError
from newsmill.extraction.cache import when_short
from newsmill.extraction.metadata.structured_data import MAX_TITLE, Heading, StructuredData, node_types, text_of, unescaped
from newsmill.extraction.normalise import fold, normalise_line

# " - ", " | ", " :: ", " » " and their full-width and Korean kin. A hyphen or colon needs white space around it, a bar does not.
_SEPARATOR = re.compile(r"\s+[-–—―:·•~/»›>|]+\s+|\s*[|｜¦ㅣ│]\s*|\s*::\s*|\s+[»›]\s*|：")
_WORD = re.compile(r"\w+")
_PUBLISHERS = frozenset({"WebSite", "Organization", "NewsMediaOrganization", "Corporation"})
_NEWS = frozenset({"NewsArticle", "ReportageNewsArticle", "AnalysisNewsArticle", "OpinionNewsArticle"})
AKIN = 0.2  # share of common words from which a heading is about the same thing as the other titles; below it, it is the site's or a box's
Found = tuple[str, str]  # text, provenance


def find_title(page: StructuredData, url: str, hint: str | None = None) -> Found | None:
    """The title and where it came from (json-ld, meta, dom, feed), or None.

    The <h1> that readers see wins when other sources speak of the same; one in a breadcrumb trail or a logo is not seen as the headline.
    Where no <h1> qualifies: the <h2> that another source confirms, then JSON-LD, og:title, <title>. The listing's title comes last.
    """
    names = site_names(page, url)
    stated = _stated(page, names)
    shown = [Heading(without_site(h.text, names), h.level, h.trail) for h in page.headings if not _is_site(h.text, names)]
    headline = _headline(shown, stated)
    if headline is not None:
        return _beside(headline, stated, is_news=bool(page.types() & _NEWS))
    confirmed = next((h.text for h in shown if h.level == 2 and any(_same(h.text, text) for text, _ in stated)), None)
    if confirmed is not None:
        return confirmed, "dom"
    if stated:
        return _without_headline(shown, stated)
    first = next((h.text for h in shown if h.level == 1), None)
    return (first, "dom") if first else (normalise_line(hint), "feed") if hint else None


def _stated(page: StructuredData, names: frozenset[str]) -> list[Found]:
    """What JSON-LD, og:title, twitter:title and <title> call the page, in this order, the site's name cut off."""
    raw = (
        (text_of((page.article or {}).get("headline")), "json-ld"),
        (page.first("og:title"), "meta"),
        (page.first("twitter:title", "dc.title", "title", "headline"), "meta"),
        (page.title, "dom"),
    )
    cleaned = [(without_site(normalise_line(unescaped(text[:MAX_TITLE])), names), source) for text, source in raw if text]
    return [(text, source) for text, source in cleaned if text]


def _headline(shown: list[Heading], stated: list[Found]) -> str | None:
    """The <h1> nearest to what other sources state; JSON-LD and og:title count before <title>, which often holds the site's motto too."""
    firm = [text for text, _ in stated[:2]]
    best, score = None, 0.0
    for heading in shown:
        if heading.level != 1 or heading.trail:
            continue
        same = 2.0 if any(_same(heading.text, text) for text in firm) else 0.0
        nearest = same or max((_overlap(heading.text, text) for text, _ in stated), default=1.0)
        if nearest > score:
            best, score = heading.text, nearest
    if score < AKIN and len(stated) == 1 and stated[0][1] == "dom":
        only = [heading.text for heading in shown if heading.level == 1 and not heading.trail]
        return only[0] if len(only) == 1 else None  # nobody but <title> speaks, and it speaks of the site as often as of the page
    return best if score >= AKIN else None


def _beside(headline: str, stated: list[Found], *, is_news: bool) -> Found:
    """The <h1>, or what stands behind its kicker: "Minority in Syria - Druze demand a share" where another source says only the rest."""
    for text, source in stated[:2]:
        if not _same(headline, text) and _is_tail(text, headline):
            return text, source
    by_source = {source: text for text, source in reversed(stated)}
    stated_twice = by_source.get("meta")
    if is_news and stated_twice and not _same(headline, stated_twice) and _same(stated_twice, by_source.get("json-ld", "")):
        return stated_twice, "meta"  # og:title and JSON-LD agree against the page: on news sites the page's <h1> is the teaser
    return headline, "dom"


def _without_headline(shown: list[Heading], stated: list[Found]) -> Found:
    """A breadcrumb trail carries the search engine's title: where JSON-LD gives that one too, og:title is what readers see."""
    by_source = {source: text for text, source in reversed(stated)}
    json_ld, meta = by_source.get("json-ld"), by_source.get("meta")
    if json_ld and meta and any(h.trail and _same(h.text, json_ld) for h in shown):
        return meta, "meta"
    if not json_ld and not meta:
        part = next((h.text for h in shown if h.level == 2 and _is_part(h.text, stated[0][0])), None)
        return (part, "dom") if part else stated[0]
    return stated[0]


def site_names(page: StructuredData, url: str) -> frozenset[str]:
    """Everything the page or its address calls the site."""
    named = [
        page.first(name)
        for name in ("og:site_name", "application-name", "apple-mobile-web-app-title", "al:ios:app_name", "dc.publisher", "publisher")
    ]
    named.append(text_of((page.article or {}).get("publisher")))
    named.append((page.first("twitter:site") or "").lstrip("@"))
    named += [text_of(node.get(key)) for node in page.nodes if _PUBLISHERS & set(node_types(node)) for key in ("name", "alternateName")]
    return frozenset(letters for name in (*named, *_from_address(url)) if name and (letters := letters_of(name)))


def _from_address(url: str) -> Iterator[str]:
    try:
        site = urls.get_site(url).removeprefix("www.") if url else ""
    except UrlError:
        return
    yield from (site, site.split(".")[0])


def without_site(title: str, names: Iterable[str]) -> str:
    """The title without the parts at either end that name the site; a title that is nothing else stays as it is."""
    for _ in range(3):
        breaks = list(_SEPARATOR.finditer(title))
        if not breaks:
            break
        first, last = breaks[0], breaks[-1]
        if title[: last.start()].strip() and _is_site(title[last.end() :], names):
            title = title[: last.start()].strip()
        elif title[first.end() :].strip() and _is_site(title[: first.start()], names):
            title = title[first.end() :].strip()
        else:
            break
    return title


def _is_site(part: str, names: Iterable[str]) -> bool:
    """True for the site's name in any spelling, alone or with a word or two ("BBC News" for "BBC")."""
    letters = letters_of(part)
    if not letters:
        return True
    short = len(part.split()) <= 5 and len(letters) >= 4
    return any(letters == name or (short and len(name) >= 4 and _begins_or_ends(letters, name)) for name in names)


def _begins_or_ends(left: str, right: str) -> bool:
    short, long = sorted((left, right), key=len)
    return long.startswith(short) or long.endswith(short)


def words(text: str) -> list[str]:
    """Case-folded words, quotes and dashes levelled: what two spellings of one headline share."""
    return _WORD.findall(fold(text).casefold())


def letters_of(text: str) -> str:
    """The words run together: what all spellings of a site's name share."""
    return "".join(_spelt(text))


@when_short(MAX_TITLE)  # the same title is asked a dozen times, the names of the site and of its authors on page after page
def _spelt(text: str) -> tuple[str, ...]:
    """The words of a title or a name."""
    return tuple(words(text))


def _same(left: str, right: str) -> bool:
    return _spelt(left) == _spelt(right) != ()


def _overlap(left: str, right: str) -> float:
    """Share of common words in the shorter of two titles."""
    a, b = set(_spelt(left)), set(_spelt(right))
    return len(a & b) / max(1, min(len(a), len(b)))


def _is_tail(tail: str, whole: str) -> bool:
    """True when `whole` ends with `tail` and `tail` is no less than two fifths of it."""
    short, long = " ".join(_spelt(tail)), " ".join(_spelt(whole))
    return len(short) >= 0.4 * len(long) and long.endswith(f" {short}")


def _is_part(part: str, title: str) -> bool:
    return len(part) >= 8 and any(_same(part, piece) for piece in _SEPARATOR.split(title))
