"""A feed's bytes → links with hints: RSS 0.9x to 2.0, RDF, Atom and JSON Feed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from newsmill.discovery.dates import get_precision, parse_date, parse_day_or_time, to_time
from newsmill.discovery.url_patterns import is_never_article
from newsmill.discovery.xml_feeds import MAX_ENTRIES, TITLE_FIELDS, RawEntry, TitleForm, find_update_interval, read_xml
from newsmill.discovery.xml_scanner import collapse_whitespace, decode_references
from newsmill.exceptions import ListingError, UrlError
from newsmill.model import Hint, Kind, Link, Listing
from newsmill.text import urls
from newsmill.text.charset import to_text
from newsmill.text.finite_json import DECODER
from newsmill.text.language_tags import parse_language_tag

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

_JSON_SPACE = re.compile(r"[ \t\n\r]*+")


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One entry as written in the feed: `url` may be relative, or None."""

    url: str | None
    hint: Hint


def read_feed(body: bytes, url: str, content_type: str | None = None, *, now: datetime | None = None) -> Listing:
    """The pages that the feed at `url` links to, in its order, at most 2,000, each once. Drops dates more than a day after `now`.

    Left out are pages such as "/about/" that have no date in a feed whose articles have dates: feeds of some generators have all pages.
    `warnings` count the entries without a usable URL, and say where JSON is broken. Raises ListingError if the body is not a feed.
    """
    feed = read_entries(body, url, content_type, now)
    pages: dict[str, Link] = {}
    has_dates = any(_is_dated(entry.hint) for entry in feed.entries)
    unusable = 0
    for entry in feed.entries:
        try:
            page = urls.normalize(entry.url or "", url)
        except UrlError:
            unusable += 1
            continue
        if entry.url is None:
            unusable += 1
        elif _is_dated(entry.hint) or not has_dates or not is_never_article(page):
            pages.setdefault(page, Link(page, Kind.PAGE, found_by="feed", found_on=url, hint=entry.hint))
    warnings = (*feed.damage, *((f"entries without a usable URL: {unusable:,}",) if unusable else ()))
    return Listing(
        pages=tuple(pages.values()),
        language=feed.language,
        warnings=warnings,
        hub=feed.hub,
        topic=feed.topic,
        update_interval=feed.update_interval,
    )


def _is_dated(hint: Hint) -> bool:
    return hint.published_at is not None or hint.modified_at is not None


class FeedEntries(NamedTuple):
    """A feed's entries, with or without URL, and a sentence for each damage."""

    language: str | None
    entries: tuple[FeedEntry, ...]
    damage: tuple[str, ...] = ()
    hub: str | None = None  # as announced, for WebSub
    topic: str | None = None
    update_interval: timedelta | None = None  # how often it says that it changes


def read_entries(body: bytes, url: str, content_type: str | None, now: datetime | None) -> FeedEntries:
    """A feed's entries as written. Raises ListingError if the body is not a feed."""
    start = body[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith((b"{", b"[")):
        return _read_json_feed(body, url, content_type, now)
    return _read_xml_feed(body, url, content_type, now)


def _read_xml_feed(body: bytes, url: str, content_type: str | None, now: datetime | None) -> FeedEntries:
    feed = read_xml(to_text(body, content_type, is_xml=True)[0], url)
    if not feed.is_feed:
        raise ListingError("not a feed: neither RSS, Atom nor JSON Feed")
    language, authors = parse_language_tag(feed.language), _clean_names(feed.authors)
    entries = tuple(_make_entry(entry, authors, language, now) for entry in feed.entries)
    return FeedEntries(language, entries, hub=feed.hub, topic=feed.self_url, update_interval=find_update_interval(feed.updates))


def _make_entry(entry: RawEntry, feed_authors: tuple[str, ...], feed_language: str | None, now: datetime | None) -> FeedEntry:
    def first(*names: str) -> str | None:
        return next((entry.fields[name][0] for name in names if name in entry.fields), None)

    def first_date(*names: str) -> datetime | date | None:
        written = (text for name in names for text in reversed(entry.fields.get(name, ())))  # the last of several, as in feedparser
        return next((at for text in written if (at := parse_day_or_time(text, now)) is not None), None)

    fields = entry.fields
    authors = fields.get("author", entry.source_authors or None)
    keywords = (word for words in fields.get("keywords", ()) for word in words.split(","))
    published = first_date("published", "created", "date")  # RSS 1.0 has dc:date only
    return FeedEntry(
        url=_choose_url(entry),
        hint=Hint(
            title=_clean_text(first(*TITLE_FIELDS), entry.title_form),
            # RFC 4287 4.2.1: without authors of its own an entry has those of its source, else those of its feed
            authors=feed_authors if authors is None else _clean_names(authors),
            published_at=to_time(published),
            modified_at=to_time(first_date("updated")),
            language=parse_language_tag(first("language")) or parse_language_tag(entry.language) or feed_language,
            tags=_clean_distinct((*fields.get("tag", ()), *keywords)),
            published_precision=get_precision(published),
        ),
    )


def _choose_url(entry: RawEntry) -> str | None:
    """The article's URL: FeedBurner's original one, the alternate link, a permalink, rdf:about, an id that is a URL, or another link."""
    links = [url for rel, url in entry.links if rel == "alternate"]
    others = [url for rel, url in entry.links if rel in ("file", "related", "via", "canonical")]
    ids = [text for name in ("permalink", "guid", "about", "id", "key") for text in entry.fields.get(name, ())]
    return _find_first_url(url for url in (*entry.fields.get("origlink", ()), *links, *ids, *others) if _is_absolute(url))


def _find_first_url(candidates: Iterable[str], base: str | None = None) -> str | None:
    """The first valid URL that is not a homepage, else the first valid URL, else the first candidate.

    Some feeds link each entry to the homepage, and have the URL of the article in its guid.
    """
    candidates = list(candidates)
    valid = [text for text in candidates if _is_url(text, base)]
    return next((text for text in valid if not _is_root(text, base)), next(iter((*valid, *candidates)), None))


def _is_absolute(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def _is_root(text: str, base: str | None) -> bool:
    parts = urlsplit(urls.normalize(text, base))
    return parts.path == "/" and not parts.query


def _is_url(text: str, base: str | None) -> bool:
    try:
        return bool(urls.normalize(text, base))
    except UrlError:
        return False


def _read_json_feed(body: bytes, url: str, content_type: str | None, now: datetime | None) -> FeedEntries:
    """The entries of JSON Feed 1.0 and 1.1 (jsonfeed.org/version/1.1); in a damaged file, those before the damage."""
    text = to_text(body, content_type, is_xml=True)[0]
    damage: tuple[str, ...] = ()
    try:
        feed = DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        feed = _read_before_damage(text)
        if not feed.get("items"):
            raise ListingError(f"not a JSON Feed: {error}") from None
        damage = (f"the JSON is broken, and only the items before that are read: {error}",)
    if not isinstance(feed, dict) or not isinstance(feed.get("items"), list):
        raise ListingError("JSON, but not a JSON Feed: it has no list of items")
    language, authors = parse_language_tag(feed.get("language")), _read_json_authors(feed) or ()
    items = (item for item in feed["items"][:MAX_ENTRIES] if isinstance(item, dict))
    entries = tuple(_make_json_entry(item, url, language, authors, now) for item in items)
    topic = feed.get("feed_url")
    return FeedEntries(language, entries, damage, _find_json_hub(feed.get("hubs")), topic if _is_absolute(topic) else None)


def _find_json_hub(hubs: object) -> str | None:
    """The URL of the first WebSub hub of a JSON Feed."""
    for hub in hubs if isinstance(hubs, list) else ():
        if isinstance(hub, dict) and str(hub.get("type")).lower() == "websub" and _is_absolute(hub.get("url")):
            return str(hub["url"])
    return None


def _read_before_damage(text: str) -> dict[str, Any]:
    """The complete members of a JSON object that is cut off or broken, and the complete items of its list "items"."""
    members: dict[str, Any] = {}
    try:
        at = _skip_mark(text, 0, "{")
        while True:
            name, at = DECODER.raw_decode(text, _skip_mark(text, at, ""))
            at = _skip_mark(text, at, ":")
            if name == "items" and text.startswith("[", at):
                items = members["items"] = []
                at = _skip_mark(text, at, "[")
                while not text.startswith("]", at):
                    item, at = DECODER.raw_decode(text, at)
                    items.append(item)
                    at = _skip_mark(text, at, "")
                    at = _skip_mark(text, at, ",") if text.startswith(",", at) else at
                at += 1
            else:
                members[str(name)], at = DECODER.raw_decode(text, at)
            at = _skip_mark(text, at, ",")
    except (ValueError, RecursionError):
        return members


def _skip_mark(text: str, at: int, mark: str) -> int:
    """Where the token behind white space and a mark begins. Raises ValueError if the mark is missing."""
    at = _JSON_SPACE.match(text, at).end()  # type: ignore[union-attr]  # matches nothing too
    if not text.startswith(mark, at):
        raise ValueError(f"{mark} is missing")
    return _JSON_SPACE.match(text, at + len(mark)).end()  # type: ignore[union-attr]


def _read_json_authors(owner: dict[str, Any]) -> tuple[str, ...] | None:
    """The names of a feed's or an item's authors; None where it has no such field."""
    authors = owner.get("authors") or owner.get("author")
    people = authors if isinstance(authors, list) else [authors]
    return _clean_names(person.get("name") for person in people if isinstance(person, dict)) if authors else None


def _make_json_entry(
    item: dict[str, Any], base: str, language: str | None, feed_authors: tuple[str, ...], now: datetime | None
) -> FeedEntry:
    authors, tags = _read_json_authors(item), item.get("tags")
    url, others = item.get("url"), (item.get("id"), item.get("external_url"))
    links = [*((url,) if url and isinstance(url, str) else ()), *filter(_is_absolute, others)]
    published = parse_day_or_time(item.get("date_published"), now)
    return FeedEntry(
        url=_find_first_url(links, base),
        hint=Hint(
            title=_clean_text(item.get("title"), TitleForm.TEXT),
            authors=feed_authors if authors is None else authors,
            published_at=to_time(published),
            modified_at=parse_date(item.get("date_modified"), now),
            language=parse_language_tag(item.get("language")) or language,
            tags=_clean_distinct(tags) if isinstance(tags, list) else (),
            published_precision=get_precision(published),
        ),
    )


def _clean_names(values: Iterable[Any]) -> tuple[str, ...]:
    """Authors' names. "jane@example.com (Jane Doe)", the form of RSS, is Jane Doe; an e-mail address alone is not a name."""
    names = []
    for value in values:
        if isinstance(value, str):
            name = _MAIL.sub("", value)
            inside = _PARENTHESES.fullmatch(name.strip())
            names.append((inside[1] if inside else name).strip(" ,;()"))
    return _clean_distinct(names)


def _clean_distinct(values: Iterable[Any]) -> tuple[str, ...]:
    """The strings among `values`, cleaned, each once, at most 50."""
    return tuple(dict.fromkeys(filter(None, (_clean_text(v, TitleForm.UNKNOWN) for v in values))))[:50]


def _clean_text(value: object, form: TitleForm) -> str | None:
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
