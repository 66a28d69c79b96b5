"""The headline, without the site's name."""

from __future__ import annotations

import re

from newsmill.read.normalise import fold, normalise_line
from newsmill.read.structured import Structured, text_of, unescaped

# " - ", " | ", " :: ", " › " and their full-width and Korean kin; a hyphen needs white space, a bar does not.
_SEPARATOR = re.compile(r"\s+[-–—―:·•~/»›>]\s+|\s*(?:[|｜¦ㅣ]|::|\s»|\s—|：：)\s*")
_WORD = re.compile(r"\w+")
Found = tuple[str, str]  # text, provenance


def find_title(page: Structured, site_name: str | None, hint: str | None = None) -> Found | None:
    """The title and where it came from, or None.

    An <h1> that says what another source says is the headline the reader sees; else JSON-LD, og:title, <title>; the feed's title last.
    """
    named = _candidates(page, site_name)
    others = [text for text, _ in named]
    h1 = next((heading for heading in page.headings if any(alike(heading, text) for text in others)), None)
    if h1 is not None:
        return without_site(h1, site_name), "dom"
    if named:
        return named[0]
    if len(page.headings) == 1:
        return without_site(page.headings[0], site_name), "dom"
    return (normalise_line(hint), "feed") if hint else None


def _candidates(page: Structured, site_name: str | None) -> list[Found]:
    article = page.article or {}
    raw = [
        (text_of(article.get("headline")), "json-ld"),
        (page.first("og:title", "twitter:title", "dc.title", "title", "headline"), "meta"),
        (text_of(article.get("name")), "json-ld"),
        (page.title, "dom"),
    ]
    cleaned = [(without_site(normalise_line(unescaped(text)), site_name), source) for text, source in raw if text]
    return [(text, source) for text, source in cleaned if text]


def without_site(title: str, site_name: str | None) -> str:
    """The title without a leading or trailing part that is the site's name."""
    parts = [part for part in _SEPARATOR.split(title) if part]
    if len(parts) < 2 or not site_name:
        return title
    if _same(parts[-1], site_name):
        return _cut(title, parts[-1], at_end=True)
    if _same(parts[0], site_name):
        return _cut(title, parts[0], at_end=False)
    return title


def _cut(title: str, part: str, *, at_end: bool) -> str:
    rest = title[: title.rindex(part)] if at_end else title[title.index(part) + len(part) :]
    return _strip_separators(rest)


def _strip_separators(text: str) -> str:
    return text.strip().strip("|｜¦ㅣ·•»›").strip().removesuffix(" -").removesuffix(" –").removesuffix(" —").removeprefix("- ").strip()


def _same(left: str, right: str) -> bool:
    a, b = words(left), words(right)
    return bool(a) and (a == b or "".join(a) == "".join(b))


def words(text: str) -> list[str]:
    """Case-folded words, quotes and dashes levelled: what two spellings of one headline share."""
    return _WORD.findall(fold(text).casefold())


def alike(left: str, right: str) -> bool:
    """Same headline: equal words, or one holds the other and is not much longer."""
    a, b = words(left), words(right)
    if not a or not b:
        return False
    if a == b:
        return True
    short, long = sorted((" ".join(a), " ".join(b)), key=len)
    return len(short) >= 8 and f" {short} " in f" {long} " and len(short) >= 0.4 * len(long)
