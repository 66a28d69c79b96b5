"""A feed's bytes → links with hints: RSS 0.9x to 2.0, RDF, Atom and JSON Feed. Never touches the network."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from newsmill import urls
from newsmill.charset import to_text
from newsmill.discovery.characters import collapse_whitespace, decode_references
from newsmill.discovery.dates import parse_date
from newsmill.discovery.feed_vocabulary import TITLES, Form
from newsmill.discovery.xml_feeds import MAX_ENTRIES, RawEntry, read_xml
from newsmill.exceptions import ListingError, UrlError
from newsmill.language_tags import parse_language_tag
from newsmill.model import Hint, Kind, Link, Listing

_MAIL = re.compile(r"[(<\[]?(?:mailto:)?[\w.+-]{1,64}@[\w.-]{1,255}[)>\]]?|[(<\[]?mailto:.*", re.S)
_PARENTHESES = re.compile(r"\(([^()]*)\)")
_TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9]*+)(?:\s[^<>]*+)?+/?>|</?[A-Za-z][^<>]*+>|<![A-Za-z][^<>]*+>")
_BREAKS = frozenset({"br", "div", "h1", "h2", "h3", "h4", "h5", "h6", "li", "p", "table", "td", "tr", "ul"})  # stand between words
# Tags that stand in titles. "The <blink> tag" is a title too, and XML has undone the escaping once already.
_TITLE_TAGS = _BREAKS | {
    "a", "abbr", "acronym", "applet", "b", "base", "bdi", "bdo", "big", "blockquote", "body", "center", "cite", "code", "dd", "del",
    "dfn", "dl", "dt", "em", "embed", "font", "form", "frame", "frameset", "head", "hr", "html", "i", "iframe", "img", "input", "ins",
    "kbd", "link", "mark", "meta", "nobr", "object", "ol", "pre", "q", "s", "samp", "script", "small", "span", "strike", "strong",
    "style", "sub", "sup", "tbody", "th", "thead", "time", "title", "tt", "u", "var", "wbr",
}  # fmt: skip
# Pieces of markup that are never shown, with the pattern of their ends: what has no end is shown.
_HIDDEN = tuple(
    (re.compile(f"{start}.*?{end}", re.I | re.S), re.compile(end, re.I))
    for start, end in (*((rf"<{name}\b", rf"</{name}[^<>]*>") for name in ("script", "style", "applet")), ("<!--", "-->"))
)

_JSON = json.JSONDecoder(strict=False)  # not strict: controls in texts are left out later
_JSON_SPACE = re.compile(r"[ \t\n\r]*+")


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One entry as the feed wrote it: `url` may be relative, or None."""

    url: str | None
    hint: Hint


def read_feed(body: bytes, url: str, content_type: str | None = None, *, now: datetime | None = None) -> Listing:
    """The pages a feed at `url` links to, in feed order, at most 2,000, each once. Dates more than a day after `now` are left out.

    Raises ListingError when the body is not a feed. `warnings` count entries without a usable URL, and say where JSON ends too early.
    """
    language, entries, damage = read_entries(body, url, content_type, now)
    pages: dict[str, Link] = {}
    lost = 0
    for entry in entries:
        try:
            page = urls.normalize(entry.url or "", url)
        except UrlError:
            lost += 1
            continue
        if entry.url is None:
            lost += 1
        else:
            pages.setdefault(page, Link(page, Kind.PAGE, found_by="feed", found_on=url, hint=entry.hint))
    warnings = (*damage, *((f"entries without a usable URL: {lost:,}",) if lost else ()))
    return Listing(pages=tuple(pages.values()), language=language, warnings=warnings)


class Entries(NamedTuple):
    """What a feed holds, with or without URL, and a sentence for each damage."""

    language: str | None
    entries: tuple[FeedEntry, ...]
    damage: tuple[str, ...] = ()


def read_entries(body: bytes, url: str, content_type: str | None, now: datetime | None) -> Entries:
    """A feed's entries as written. Raises ListingError when the body is not a feed."""
    start = body[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith((b"{", b"[")):
        return _json_feed(body, url, content_type, now)
    return _xml_feed(body, url, content_type, now)


def _xml_feed(body: bytes, url: str, content_type: str | None, now: datetime | None) -> Entries:
    feed = read_xml(to_text(body, content_type, is_xml=True)[0], url)
    if not feed.known:
        raise ListingError("not a feed: neither RSS, Atom nor JSON Feed")
    language, authors = parse_language_tag(feed.language), _names(feed.authors)
    return Entries(language, tuple(_entry(entry, authors, language, now) for entry in feed.entries))


def _entry(entry: RawEntry, feed_authors: tuple[str, ...], feed_language: str | None, now: datetime | None) -> FeedEntry:
    def first(*names: str) -> str | None:
        return next((entry.fields[name][0] for name in names if name in entry.fields), None)

    def first_moment(*names: str) -> datetime | None:
        written = (text for name in names for text in reversed(entry.fields.get(name, ())))  # of two the last, as feedparser has it
        return next((at for text in written if (at := parse_date(text, now)) is not None), None)

    fields = entry.fields
    authors = fields.get("author", entry.source_authors or None)
    keywords = (word for words in fields.get("keywords", ()) for word in words.split(","))
    return FeedEntry(
        url=_url(entry),
        hint=Hint(
            title=_text(first(*TITLES), entry.title_form),
            # RFC 4287 4.2.1: without authors of its own an entry has those of its source, else those of its feed
            authors=feed_authors if authors is None else _names(authors),
            published_at=first_moment("published", "created", "date"),  # RSS 1.0 has dc:date only
            modified_at=first_moment("updated"),
            language=parse_language_tag(first("language")) or parse_language_tag(entry.language) or feed_language,
            tags=_distinct((*fields.get("tag", ()), *keywords)),
        ),
    )


def _url(entry: RawEntry) -> str | None:
    """The article's URL: FeedBurner's original one, the alternate link, a permalink, rdf:about, an id that is a URL, or another link."""
    links = [url for rel, url in entry.links if rel == "alternate"]
    others = [url for rel, url in entry.links if rel in ("file", "related", "via", "canonical")]
    ids = [text for name in ("permalink", "guid", "about", "id", "key") for text in entry.fields.get(name, ())]
    return _first_url(url for url in (*entry.fields.get("origlink", ()), *links, *ids, *others) if _is_absolute(url))


def _first_url(candidates: Iterable[str], base: str | None = None) -> str | None:
    """The first that is a URL, else the first: a broken one costs itself only."""
    candidates = list(candidates)
    return next((text for text in candidates if _is_url(text, base)), candidates[0] if candidates else None)


def _is_absolute(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def _is_url(text: str, base: str | None) -> bool:
    try:
        return bool(urls.normalize(text, base))
    except UrlError:
        return False


def _json_feed(body: bytes, url: str, content_type: str | None, now: datetime | None) -> Entries:
    """JSON Feed 1.0 and 1.1 (jsonfeed.org/version/1.1). Of a damaged file, what comes before the damage."""
    text = to_text(body, content_type, is_xml=True)[0]
    damage: tuple[str, ...] = ()
    try:
        feed = _JSON.decode(text)
    except (ValueError, RecursionError) as error:
        feed = _before_damage(text)
        if not feed.get("items"):
            raise ListingError(f"not a JSON Feed: {error}") from None
        damage = (f"the JSON is broken, and only the items before that are read: {error}",)
    if not isinstance(feed, dict) or not isinstance(feed.get("items"), list):
        raise ListingError("JSON, but not a JSON Feed: it has no list of items")
    language, authors = parse_language_tag(feed.get("language")), _json_authors(feed) or ()
    items = (item for item in feed["items"][:MAX_ENTRIES] if isinstance(item, dict))
    return Entries(language, tuple(_json_entry(item, url, language, authors, now) for item in items), damage)


def _before_damage(text: str) -> dict[str, Any]:
    """The complete members of a JSON object that is cut off or broken, and the complete items of its list "items"."""
    found: dict[str, Any] = {}
    try:
        at = _after(text, 0, "{")
        while True:
            name, at = _JSON.raw_decode(text, _after(text, at, ""))
            at = _after(text, at, ":")
            if name == "items" and text.startswith("[", at):
                items = found["items"] = []
                at = _after(text, at, "[")
                while not text.startswith("]", at):
                    item, at = _JSON.raw_decode(text, at)
                    items.append(item)
                    at = _after(text, at, "")
                    at = _after(text, at, ",") if text.startswith(",", at) else at
                at += 1
            else:
                found[str(name)], at = _JSON.raw_decode(text, at)
            at = _after(text, at, ",")
    except (ValueError, RecursionError):
        return found


def _after(text: str, at: int, mark: str) -> int:
    """Where the next token begins behind white space and a mark. Raises ValueError where the mark is missing."""
    at = _JSON_SPACE.match(text, at).end()  # type: ignore[union-attr]  # matches nothing too
    if not text.startswith(mark, at):
        raise ValueError(f"{mark} is missing")
    return _JSON_SPACE.match(text, at + len(mark)).end()  # type: ignore[union-attr]


def _json_authors(owner: dict[str, Any]) -> tuple[str, ...] | None:
    """The names of a feed's or an item's authors; None where it has no such field."""
    authors = owner.get("authors") or owner.get("author")
    people = authors if isinstance(authors, list) else [authors]
    return _names(person.get("name") for person in people if isinstance(person, dict)) if authors else None


def _json_entry(item: dict[str, Any], base: str, language: str | None, feed_authors: tuple[str, ...], now: datetime | None) -> FeedEntry:
    authors, tags = _json_authors(item), item.get("tags")
    url, others = item.get("url"), (item.get("id"), item.get("external_url"))
    links = [*((url,) if url and isinstance(url, str) else ()), *filter(_is_absolute, others)]
    return FeedEntry(
        url=_first_url(links, base),
        hint=Hint(
            title=_text(item.get("title"), Form.TEXT),
            authors=feed_authors if authors is None else authors,
            published_at=parse_date(item.get("date_published"), now),
            modified_at=parse_date(item.get("date_modified"), now),
            language=parse_language_tag(item.get("language")) or language,
            tags=_distinct(tags) if isinstance(tags, list) else (),
        ),
    )


def _names(values: Iterable[Any]) -> tuple[str, ...]:
    """Authors' names: "jane@example.com (Jane Doe)", as RSS wants it, is Jane Doe; a mail address alone is no name."""
    names = []
    for value in values:
        if isinstance(value, str):
            name = _MAIL.sub("", value)
            inside = _PARENTHESES.fullmatch(name.strip())
            names.append((inside[1] if inside else name).strip(" ,;()"))
    return _distinct(names)


def _distinct(values: Iterable[Any]) -> tuple[str, ...]:
    """The strings among `values`, cleaned, each once, at most 50."""
    return tuple(dict.fromkeys(filter(None, (_text(v, Form.UNKNOWN) for v in values))))[:50]


def _text(value: object, form: Form) -> str | None:
    """Plain text on one line, at most 1,000 characters, without tags and references that are markup in this form."""
    if not isinstance(value, str):
        return None
    text = value[:2_000]
    if form in (Form.HTML, Form.UNKNOWN) and "<" in text:
        text = _TAG.sub(lambda tag: _instead_of(tag, form), _without_hidden(text))
    if form is not Form.XHTML:
        text = decode_references(text)
    return collapse_whitespace(_encoded_once(text))[:1_000] or None


def _without_hidden(text: str) -> str:
    for pattern, end in _HIDDEN:
        stop = max((match.end() for match in end.finditer(text)), default=0)  # behind the last end every start would be tried in vain
        text = pattern.sub("", text[:stop]) + text[stop:]
    return text


def _instead_of(tag: re.Match[str], form: Form) -> str:
    """A space for a tag between words, nothing for another, and the tag itself where it is more likely text."""
    name = (tag[1] or "").lower()
    if name in _BREAKS:
        return " "
    return "" if form is Form.HTML or name in _TITLE_TAGS or tag[0].startswith("<!") else tag[0]


def _encoded_once(text: str) -> str:
    """Undoes UTF-8 that was taken for Latin-1 and encoded again ("CafÃ©"): no text by chance is well-formed UTF-8 with letters in it."""
    try:
        return text if text.isascii() else text.encode("latin-1").decode("utf-8")
    except ValueError:
        return text
