"""A feed's bytes → links with hints: RSS 0.9x to 2.0, RDF, Atom and JSON Feed."""

from __future__ import annotations

from datetime import date, datetime

from newsmill.discovery.dates import get_precision, parse_day_or_time, to_time
from newsmill.discovery.feed_entries import FeedEntries, FeedEntry, clean_distinct, clean_names, clean_text, find_first_url, is_absolute
from newsmill.discovery.json_feeds import read_json_feed
from newsmill.discovery.raw_feeds import RawEntry, find_update_interval
from newsmill.discovery.url_patterns import is_never_article
from newsmill.discovery.xml_elements import CUT_OFF
from newsmill.discovery.xml_feeds import TITLE_FIELDS, read_xml
from newsmill.exceptions import IncompleteListingError, ListingError
from newsmill.model import Hint, Kind, Link, Listing
from newsmill.text import urls
from newsmill.text.charset import to_text
from newsmill.text.language_tags import parse_language_tag
from newsmill.text.sentences import Sentence


def read_feed(body: bytes, url: str, content_type: str | None = None, *, now: datetime | None = None) -> Listing:
    """The pages that the feed at `url` links to, in its order, at most 2,000, each once. Drops dates more than a day after `now`.

    Left out are pages such as "/about/" that have no date in a feed whose articles have dates: feeds of some generators have all pages.
    `warnings` count the entries without a usable URL, and name damage. Raises ListingError if the body is not a feed, and
    IncompleteListingError if it is cut off before the first page.
    """
    feed = read_entries(body, url, content_type, now)
    pages: dict[str, Link] = {}
    has_dates = any(_is_dated(entry.hint) for entry in feed.entries)
    unusable = 0
    for entry in feed.entries:
        page = None if entry.url is None else urls.find_normal(entry.url, url)
        if page is None:
            unusable += 1
        elif _is_dated(entry.hint) or not has_dates or not is_never_article(page):
            pages.setdefault(page, Link(page, Kind.PAGE, found_by="feed", found_on=url, hint=entry.hint))
    if not pages and feed.is_cut_off:
        raise IncompleteListingError(CUT_OFF)
    warnings = (
        *feed.damage,
        *((CUT_OFF,) if feed.is_cut_off else ()),
        *((Sentence("entries without a usable URL: {n:,}", n=unusable),) if unusable else ()),
    )
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


def read_entries(body: bytes, url: str, content_type: str | None, now: datetime | None) -> FeedEntries:
    """A feed's entries as written. Raises ListingError if the body is not a feed."""
    start = body[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith((b"{", b"[")):
        return read_json_feed(body, url, content_type, now)
    return _read_xml_feed(body, url, content_type, now)


def _read_xml_feed(body: bytes, url: str, content_type: str | None, now: datetime | None) -> FeedEntries:
    feed = read_xml(to_text(body, content_type, is_xml=True)[0], url)
    if not feed.is_feed:
        raise ListingError(Sentence("not a feed: neither RSS, Atom nor JSON Feed"))
    language, authors = parse_language_tag(feed.language), clean_names(feed.authors)
    entries = tuple(_make_entry(entry, authors, language, now) for entry in feed.entries)
    interval = find_update_interval(feed.updates)
    return FeedEntries(language, entries, hub=feed.hub, topic=feed.self_url, update_interval=interval, is_cut_off=feed.is_cut_off)


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
            title=clean_text(first(*TITLE_FIELDS), entry.title_form),
            # RFC 4287 4.2.1: without authors of its own an entry has those of its source, else those of its feed
            authors=feed_authors if authors is None else clean_names(authors),
            published_at=to_time(published),
            modified_at=to_time(first_date("updated")),
            language=parse_language_tag(first("language")) or parse_language_tag(entry.language) or feed_language,
            tags=clean_distinct((*fields.get("tag", ()), *keywords)),
            published_precision=get_precision(published),
        ),
    )


def _choose_url(entry: RawEntry) -> str | None:
    """The article's URL: FeedBurner's original one, the alternate link, a permalink, rdf:about, an id that is a URL, or another link."""
    links = [url for rel, url in entry.links if rel == "alternate"]
    others = [url for rel, url in entry.links if rel in ("file", "related", "via", "canonical")]
    ids = [text for name in ("permalink", "guid", "about", "id", "key") for text in entry.fields.get(name, ())]
    return find_first_url(url for url in (*entry.fields.get("origlink", ()), *links, *ids, *others) if is_absolute(url))
