"""The entries of a sitemap, a news sitemap, an index or a feed, from the events of its XML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from newsmill.discovery.dates import get_precision, parse_date, parse_day_or_time, to_time
from newsmill.discovery.url_patterns import is_never_article
from newsmill.discovery.xml_characters import clean_characters, collapse_whitespace, decode_references
from newsmill.discovery.xml_elements import CUT_OFF
from newsmill.discovery.xml_scanner import Event, EventKind, read_attributes
from newsmill.model import Hint, Kind, Link
from newsmill.text import urls
from newsmill.text.language_tags import parse_language_tag
from newsmill.text.sentences import Sentence
from newsmill.text.urls import MAX_URL_CHARACTERS

MAX_URLS = 50_000  # sitemaps.org: one file holds at most 50,000 URLs
_MAX_HINT_CHARACTERS = 1_000  # of any other field; a headline has 40 to 120
_MAX_ENTRY_URLS = 1_000  # the protocol has one URL per entry
_MAX_BARE_CHARACTERS = 1_000_000  # of text outside any field: 50,000 URLs of 20 characters
_MAX_DEPTH = 64  # elements; a news sitemap has 5
_WORD = re.compile(r"\w")

_SITEMAP_ROOTS = {"urlset": Kind.PAGE, "sitemapindex": Kind.SITEMAP}
SITEMAP_ENTRIES = {"url": Kind.PAGE, "sitemap": Kind.SITEMAP}
_FEED_ROOTS = frozenset({"rss", "feed", "rdf"})
FEED_ENTRIES = {"item": Kind.PAGE, "entry": Kind.PAGE}
_STRUCTURE_ELEMENTS = frozenset((*_SITEMAP_ROOTS, *SITEMAP_ENTRIES, *_FEED_ROOTS, *FEED_ENTRIES))
FEED_FIELD_NAMES = {name: name for name in ("link", "title", "published", "updated")} | {
    "pubdate": "published",
    "issued": "published",
    "modified": "updated",
}
# parent/element → field. The parent tells a field from image:loc, video:title, xhtml:link and the like.
FIELDS = {f"{parent}/loc": "loc" for parent in (*_SITEMAP_ROOTS, *SITEMAP_ENTRIES)}


class SitemapEntries:
    """Reads the events of an XML scanner and adds each entry to `links`. Holds one entry, never the file."""

    def __init__(self, links: SitemapLinks) -> None:
        self.is_complete = False  # whether the root element has ended
        self._multi_url_entries = self._bare_urls = self._entries_after_end = 0
        self._has_text_outside = False
        self._links = links
        self._root = ""
        self._path: list[str] = []  # names of the open elements, from the entry down
        self._ignored_depth = 0  # open elements below the deepest one in the path
        self._kind = Kind.PAGE
        self._locs: dict[str, None] = {}
        self._is_dated = False  # the entry has a <lastmod> behind its <loc>
        self._fields: dict[str, str] = {}
        self._field: str | None = None
        self._text: list[str] = []
        self._field_characters = 0
        self._bare_text: list[str] = []
        self._bare_characters = 0

    def feed(self, events: Iterable[Event]) -> None:
        """Reads the events of one block."""
        for kind, text, attributes in events:
            if kind is EventKind.TEXT:
                self._add_text(text)
            elif kind is EventKind.START:
                self._start(text.rpartition(":")[2].lower(), attributes)
            elif kind is EventKind.END:
                self._end(text.rpartition(":")[2].lower())
            elif kind is EventKind.CUT_START:
                name = text.rpartition(":")[2].lower()
                if name in _STRUCTURE_ELEMENTS:  # any other element would separate an entry from its fields
                    self._start(name, attributes)
            else:
                self._add_text(text.replace("&", "&amp;"))

    def close(self) -> None:
        """Ends the file. Drops a field that is cut off."""
        self._field = None
        self._flush()

    def warnings(self) -> Iterator[str]:
        """One sentence for each irregularity of the file."""
        if not self.is_complete:
            yield CUT_OFF
        if self._has_text_outside:
            yield Sentence("there is text outside the root element")
        counts = {
            Sentence("entries after the end of the root element"): self._entries_after_end,
            Sentence("entries with more than one URL"): self._multi_url_entries,
            Sentence("URLs outside the <loc> of an entry"): self._bare_urls,
        }
        yield from (Sentence("{label}: {n:,}", label=label, n=count) for label, count in counts.items() if count)

    def _start(self, name: str, attributes: str) -> None:
        if name in _SITEMAP_ROOTS or name in _FEED_ROOTS:
            self._begin_document(name)
        elif name in (FEED_ENTRIES if self._root in _FEED_ROOTS else SITEMAP_ENTRIES):
            self._flush()  # the one before may lack its end tag
            self._kind = (FEED_ENTRIES | SITEMAP_ENTRIES)[name]
            self._path, self._ignored_depth = [name], 0
        elif len(self._path) >= _MAX_DEPTH:
            self._ignored_depth += 1
        else:
            self._start_in_entry(name, attributes)

    def _end(self, name: str) -> None:
        """Ends an element and the unclosed ones inside it. Ignores an end tag without a start tag."""
        if name in self._path:
            self._end_field()
            entry_ends = self._path.index(name) == 0
            while self._path.pop() != name:
                pass
            if entry_ends:
                self._flush()
        elif self._ignored_depth:
            self._ignored_depth -= 1
        elif name == self._root:
            self._flush()
            self.is_complete = True

    def _add_text(self, raw: str) -> None:
        """Adds undecoded text, since a piece may end within a character reference."""
        if self._field is not None:
            if self._field_characters < MAX_URL_CHARACTERS * 10:  # the longest reference to one character, &#1114111;, has ten
                self._text.append(raw)
                self._field_characters += len(raw)
            return
        if len(self._path) <= 1 and self._root in _SITEMAP_ROOTS and self._bare_characters < _MAX_BARE_CHARACTERS:
            self._bare_text.append(raw)
            self._bare_characters += len(raw)
        if not self._root or self.is_complete:
            self._has_text_outside = self._has_text_outside or _WORD.search(raw) is not None

    def _begin_document(self, name: str) -> None:
        self._flush()
        self._links.is_sitemap = True
        if not self.is_complete:
            self._root = name
        self._path, self._ignored_depth = [], 0
        self._kind = _SITEMAP_ROOTS.get(name, Kind.PAGE)

    def _start_in_entry(self, name: str, attributes: str) -> None:
        if self._field is not None:
            siblings = self._path[-2] if len(self._path) > 1 else self._root
            if f"{siblings}/{name}" not in FIELDS:
                return  # markup inside a field
            self._end_field()
            self._path.pop()
        field = FIELDS.get(f"{self._path[-1] if self._path else self._root}/{name}")
        self._path.append(name)
        if field == "loc" and (self._is_dated or len(self._locs) >= _MAX_ENTRY_URLS):
            self._add_entry()  # the tags between two entries are missing
        self._field, self._text, self._field_characters = field, [], 0
        if field == "link":
            self._read_link(read_attributes(attributes))

    def _read_link(self, attributes: dict[str, str]) -> None:
        if attributes.get("rel", "alternate") == "alternate" and "href" in attributes:
            self._fields.setdefault("link", collapse_whitespace(attributes["href"]))

    def _end_field(self) -> None:
        field, self._field = self._field, None
        if field is None:
            return
        text = collapse_whitespace(decode_references("".join(self._text)))
        text = text[: MAX_URL_CHARACTERS + 1]  # one more, so that a shortened URL is refused as too long
        if field == "language":
            text = parse_language_tag(text) or ""
        if field == "loc" and text:
            self._locs.setdefault(text)
            self._bare_urls += self._path[0] == "loc"
        elif text:
            self._is_dated = self._is_dated or (field == "lastmod" and bool(self._locs))
            self._fields.setdefault(field, text if field == "link" else text[:_MAX_HINT_CHARACTERS])

    def _flush(self) -> None:
        """Ends an entry, or the text between two entries."""
        self._end_field()
        self._add_entry()
        bare, self._bare_text, self._bare_characters = "".join(self._bare_text), [], 0
        for url in clean_characters(decode_references(bare)).split() if "://" in bare else ():
            if url.lower().startswith(("http://", "https://")):
                self._bare_urls += 1
                self._links.add(self._kind, url, {})

    def _add_entry(self) -> None:
        locs = [*self._locs] or ([self._fields["link"]] if "link" in self._fields else [])
        self._multi_url_entries += len(locs) > 1
        self._entries_after_end += self.is_complete and bool(locs)
        for loc in locs:
            self._links.add(self._kind, loc, self._fields)
        if not locs and self._fields and not self._bare_text:
            self._links.add(self._kind, "", self._fields)
        self._locs, self._fields, self._is_dated = {}, {}, False


class SitemapLinks:
    """The links of a sitemap, and counts of its irregular entries."""

    def __init__(self, url: str, now: datetime | None) -> None:
        self.is_sitemap = False  # true of an empty sitemap too
        self.count = self.unusable = self.skipped = self.relative_urls = 0
        self._url, self._now = url, now
        self._links: list[Link] = []

    def pop_links(self) -> list[Link]:
        """The links since the last call."""
        links, self._links = self._links, []
        return links

    def add(self, kind: Kind, url: str, fields: dict[str, str]) -> None:
        """Adds an entry. Skips lists, forms and files: sitemaps also name tags, authors and pictures."""
        self.is_sitemap = True
        # sitemaps.org requires absolute URLs; a path is accepted, other relative URLs are not.
        normal = urls.find_normal(url, self._url if url.startswith("/") else None)
        if normal is None:
            self.unusable += 1
            return
        self.count += 1
        self.relative_urls += url.startswith("/")
        if kind is Kind.PAGE and "title" not in fields and is_never_article(normal):  # a news title marks an article, whatever its URL
            self.skipped += 1
        elif self.count <= MAX_URLS:
            self._links.append(Link(normal, kind, found_by="sitemap", found_on=self._url, hint=self._make_hint(fields)))

    def warnings(self) -> list[str]:
        """One sentence for each irregularity of the entries."""
        counts = {
            Sentence("entries without a usable URL"): self.unusable,
            Sentence("URLs without a host"): self.relative_urls,
            Sentence("URLs of lists, forms and files, left out"): self.skipped,
        }
        return [Sentence("{label}: {n:,}", label=label, n=count) for label, count in counts.items() if count]

    def _make_hint(self, fields: dict[str, str]) -> Hint:
        keywords = (word.strip() for word in fields.get("keywords", "").split(","))
        published = parse_day_or_time(fields.get("published"), self._now)
        return Hint(
            title=fields.get("title"),
            published_at=to_time(published),
            modified_at=parse_date(fields.get("lastmod") or fields.get("updated"), self._now),
            language=fields.get("language"),
            tags=tuple(dict.fromkeys(filter(None, keywords)))[:50],
            published_precision=get_precision(published),
        )
