"""An entry of a feed, with its texts cleaned and its URL chosen."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from newsmill.discovery.raw_feeds import TitleForm
from newsmill.discovery.xml_characters import collapse_whitespace, decode_references
from newsmill.model import Hint
from newsmill.text import urls

_MAIL = re.compile(r"[(<\[]?(?:mailto:)?[\w.+-]{1,64}@[\w.-]{1,255}[)>\]]?|[(<\[]?mailto:.*", re.S)
_PARENTHESES = re.compile(r"\(([^()]*)\)")
_TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9]*+)(?:\s[^<>]*+)?+/?>|</?[A-Za-z][^<>]*+>|<![A-Za-z][^<>]*+>")
_BREAKS = frozenset({"br", "div", "h1", "h2", "h3", "h4", "h5", "h6", "li", "p", "table", "td", "tr", "ul"})  # separate words
# Tags that occur in titles. Others are text ("The <blink> tag"), since the XML reader has already undone the escaping once.
_TITLE_TAGS = _BREAKS | {
    "a", "abbr", "acronym", "applet", "b", "base", "bdi", "bdo", "big", "blockquote", "body", "center", "cite", "code", "dd", "del",
    "dfn", "dl", "dt", "em", "embed", "font", "form", "frame", "frameset", "head", "hr", "html", "i", "iframe", "img", "input", "ins",
    "kbd", "link", "mark", "meta", "nobr", "object", "ol", "pre", "q", "s", "samp", "script", "small", "span", "strike", "strong",
    "style", "sub", "sup", "tbody", "th", "thead", "time", "title", "tt", "u", "var", "wbr",
}  # fmt: skip
# Markup that is never shown, with the pattern of its end. Without an end, it is shown.
_HIDDEN = tuple(
    (re.compile(f"{start}.*?{end}", re.I | re.S), re.compile(end, re.I))
    for start, end in (*((rf"<{name}\b", rf"</{name}[^<>]*>") for name in ("script", "style", "applet")), ("<!--", "-->"))
)


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One entry as written in the feed: `url` may be relative, or None."""

    url: str | None
    hint: Hint


class FeedEntries(NamedTuple):
    """A feed's entries, with or without URL, and a sentence for each damage."""

    language: str | None
    entries: tuple[FeedEntry, ...]
    damage: tuple[str, ...] = ()
    hub: str | None = None  # as announced, for WebSub
    topic: str | None = None
    update_interval: timedelta | None = None  # how often it says that it changes
    is_cut_off: bool = False


def find_first_url(candidates: Iterable[str], base: str | None = None) -> str | None:
    """The first valid URL that is not a homepage, else the first valid URL, else the first candidate.

    Some feeds link each entry to the homepage, and have the URL of the article in its guid.
    """
    candidates = list(candidates)
    valid = [text for text in candidates if urls.find_normal(text, base)]
    return next((text for text in valid if not _is_root(text, base)), next(iter((*valid, *candidates)), None))


def is_absolute(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def _is_root(text: str, base: str | None) -> bool:
    parts = urlsplit(urls.normalize(text, base))
    return parts.path == "/" and not parts.query


def clean_names(values: Iterable[Any]) -> tuple[str, ...]:
    """Authors' names. "jane@example.com (Jane Doe)", the form of RSS, is Jane Doe; an e-mail address alone is not a name."""
    names = []
    for value in values:
        if isinstance(value, str):
            name = _MAIL.sub("", value)
            inside = _PARENTHESES.fullmatch(name.strip())
            names.append((inside[1] if inside else name).strip(" ,;()"))
    return clean_distinct(names)


def clean_distinct(values: Iterable[Any]) -> tuple[str, ...]:
    """The strings among `values`, cleaned, each once, at most 50."""
    return tuple(dict.fromkeys(filter(None, (clean_text(v, TitleForm.UNKNOWN) for v in values))))[:50]


def clean_text(value: object, form: TitleForm) -> str | None:
    """Plain text on one line, at most 1,000 characters, without the tags and references that are markup in this form."""
    if not isinstance(value, str):
        return None
    text = value[:2_000]
    if form in (TitleForm.HTML, TitleForm.UNKNOWN) and "<" in text:
        text = _TAG.sub(lambda tag: _replace_tag(tag, form), _remove_hidden(text))
    if form is not TitleForm.XHTML:
        text = decode_references(text)
    return collapse_whitespace(_undo_double_encoding(text))[:1_000] or None


def _remove_hidden(text: str) -> str:
    for pattern, end in _HIDDEN:
        stop = max((match.end() for match in end.finditer(text)), default=0)  # a start behind the last end cannot match
        text = pattern.sub("", text[:stop]) + text[stop:]
    return text


def _replace_tag(tag: re.Match[str], form: TitleForm) -> str:
    """A blank for a tag that separates words, "" for another tag, and the tag itself if it is probably text."""
    name = (tag[1] or "").lower()
    if name in _BREAKS:
        return " "
    return "" if form is TitleForm.HTML or name in _TITLE_TAGS or tag[0].startswith("<!") else tag[0]


def _undo_double_encoding(text: str) -> str:
    """Undoes UTF-8 that was read as Latin-1 and encoded again ("CafÃ©"). Almost no other text is valid UTF-8 with letters."""
    try:
        return text if text.isascii() else text.encode("latin-1").decode("utf-8")
    except ValueError:
        return text
