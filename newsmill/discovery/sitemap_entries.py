"""The entries of a sitemap, a news sitemap, an index or a feed, from the tags of its XML."""

from __future__ import annotations
import re
from collections.abc import Iterable, Iterator
from newsmill.discovery.characters import clean_characters, collapse_whitespace, decode_references
from newsmill.discovery.xml_scanner import Event, EventKind, read_attributes
from newsmill.language_tags import parse_language_tag
from newsmill.model import Kind
from datetime import datetime
from newsmill import urls
from newsmill.discovery.dates import parse_date
from newsmill.discovery.url_patterns import is_never_article
from newsmill.exceptions import UrlError
from newsmill.model import Hint, Kind, Link

MAX_FIELD = 8_000  # characters of a URL; the longest we take
_MAX_HINT = 1_000  # characters of any other field; a headline has 40 to 120
_MAX_LOCS = 1_000  # URLs held for one entry; the protocol has one
_MAX_BARE = 1_000_000  # characters of text outside any field; 50,000 URLs of 20 characters
_WORD = re.compile(r"\w")
_MAX_DEPTH = 64  # elements; a news sitemap has 5

_SITEMAP_ROOTS = {"urlset": Kind.PAGE, "sitemapindex": Kind.SITEMAP}
_SITEMAP_ENTRIES = {"url": Kind.PAGE, "sitemap": Kind.SITEMAP}
_FEED_ROOTS = frozenset({"rss", "feed", "rdf"})
_FEED_ENTRIES = {"item": Kind.PAGE, "entry": Kind.PAGE}
_STRUCTURE = frozenset((*_SITEMAP_ROOTS, *_SITEMAP_ENTRIES, *_FEED_ROOTS, *_FEED_ENTRIES))
_IN_FEED = {name: name for name in ("link", "title", "published", "updated")} | {
    "pubdate": "published",
    "issued": "published",
    "modified": "updated",
}
# Where a field stands, parent/element: image:loc, video:title, xhtml:link and the like have the same names in other places.
_FIELDS = {f"{parent}/loc": "loc" for parent in (*_SITEMAP_ROOTS, *_SITEMAP_ENTRIES)}
_FIELDS |= {f"{entry}/lastmod": "lastmod" for entry in _SITEMAP_ENTRIES}
_FIELDS |= {f"{entry}/{name}": field for entry in _FEED_ENTRIES for name, field in _IN_FEED.items()}
_FIELDS |= {
    "news/title": "title",
    "news/publication_date": "published",
    "news/keywords": "keywords",
    "publication/language": "language",
}


class SitemapEntries:
    """Takes a scanner's events, and gives entries to `found`. Holds one entry, never the file."""

    def __init__(self, found: SitemapLinks) -> None:
        self._complete = False  # the root's end was seen
        self._several = self._bare_urls = self._after_end = 0
        self._outside = False
        self._found = found
        self._root = ""
        self._path: list[str] = []  # names of the open elements, from the entry down
        self._deeper = 0  # open elements below the deepest one that is looked at
        self._kind = Kind.PAGE
        self._locs: dict[str, None] = {}
        self._is_dated = False  # the entry has a <lastmod> behind its <loc>
        self._fields: dict[str, str] = {}
        self._field: str | None = None
        self._text: list[str] = []
        self._length = 0
        self._bare: list[str] = []
        self._bare_length = 0

    def take(self, events: Iterable[Event]) -> None:
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
                if name in _STRUCTURE:  # another element would only stand between an entry and its fields
                    self._start(name, attributes)
            else:
                self._add_text(text.replace("&", "&amp;"))

    def close(self) -> None:
        """No more comes. A field that is cut off is none."""
        self._field = None
        self._flush()

    def warnings(self) -> Iterator[str]:
        """What was odd about the file."""
        if not self._complete:
            yield "the file is cut off: its root element does not end"
        if self._outside:
            yield "there is text outside the root element"
        counts = {
            "entries after the end of the root element": self._after_end,
            "entries with more than one URL": self._several,
            "URLs outside the <loc> of an entry": self._bare_urls,
        }
        yield from (f"{what}: {count:,}" for what, count in counts.items() if count)

    def _start(self, name: str, attributes: str) -> None:
        if name in _SITEMAP_ROOTS or name in _FEED_ROOTS:
            self._begin_document(name)
        elif name in (_FEED_ENTRIES if self._root in _FEED_ROOTS else _SITEMAP_ENTRIES):
            self._flush()  # the one before may lack its end tag
            self._kind = (_FEED_ENTRIES | _SITEMAP_ENTRIES)[name]
            self._path, self._deeper = [name], 0
        elif len(self._path) >= _MAX_DEPTH:
            self._deeper += 1
        else:
            self._start_inside(name, attributes)

    def _end(self, name: str) -> None:
        """Ends an element, and with it those inside that have no end tag. What was never opened is passed over."""
        if name in self._path:
            self._end_field()
            entry_ends = self._path.index(name) == 0
            while self._path.pop() != name:
                pass
            if entry_ends:
                self._flush()
        elif self._deeper:
            self._deeper -= 1
        elif name == self._root:
            self._flush()
            self._complete = True

    def _add_text(self, raw: str) -> None:
        """Text with its character references, which may be cut in two here."""
        if self._field is not None:
            if self._length < MAX_FIELD * 10:  # the longest reference to one character, &#1114111;, has ten
                self._text.append(raw)
                self._length += len(raw)
            return
        if len(self._path) <= 1 and self._root in _SITEMAP_ROOTS and self._bare_length < _MAX_BARE:
            self._bare.append(raw)
            self._bare_length += len(raw)
        if not self._root or self._complete:
            self._outside = self._outside or _WORD.search(raw) is not None

    def _begin_document(self, name: str) -> None:
        self._flush()
        self._found.known = True
        if not self._complete:
            self._root = name
        self._path, self._deeper = [], 0
        self._kind = _SITEMAP_ROOTS.get(name, Kind.PAGE)

    def _start_inside(self, name: str, attributes: str) -> None:
        if self._field is not None:
            siblings = self._path[-2] if len(self._path) > 1 else self._root
            if f"{siblings}/{name}" not in _FIELDS:
                return  # markup inside a field
            self._end_field()
            self._path.pop()
        field = _FIELDS.get(f"{self._path[-1] if self._path else self._root}/{name}")
        self._path.append(name)
        if field == "loc" and (self._is_dated or len(self._locs) >= _MAX_LOCS):
            self._add_entry()  # the tags between two entries are missing
        self._field, self._text, self._length = field, [], 0
        if field == "link":
            self._take_link(read_attributes(attributes))

    def _take_link(self, attributes: dict[str, str]) -> None:
        if attributes.get("rel", "alternate") == "alternate" and "href" in attributes:
            self._fields.setdefault("link", collapse_whitespace(attributes["href"]))

    def _end_field(self) -> None:
        field, self._field = self._field, None
        if field is None:
            return
        text = collapse_whitespace(decode_references("".join(self._text)))[: MAX_FIELD + 1]  # one more: a URL that is cut is another URL
        if field == "language":
            text = parse_language_tag(text) or ""
        if field == "loc" and text:
            self._locs.setdefault(text)
            self._bare_urls += self._path[0] == "loc"
        elif text:
            self._is_dated = self._is_dated or (field == "lastmod" and bool(self._locs))
            self._fields.setdefault(field, text if field == "link" else text[:_MAX_HINT])

    def _flush(self) -> None:
        """The entry ends, or the text between two entries."""
        self._end_field()
        self._add_entry()
        bare, self._bare, self._bare_length = "".join(self._bare), [], 0
        for url in clean_characters(decode_references(bare)).split() if "://" in bare else ():
            if url.lower().startswith(("http://", "https://")):
                self._bare_urls += 1
                self._found.add(self._kind, url, {})

    def _add_entry(self) -> None:
        locs = [*self._locs] or ([self._fields["link"]] if "link" in self._fields else [])
        self._several += len(locs) > 1
        self._after_end += self._complete and bool(locs)
        for loc in locs:
            self._found.add(self._kind, loc, self._fields)
        if not locs and self._fields and not self._bare:
            self._found.add(self._kind, "", self._fields)
        self._locs, self._fields, self._is_dated = {}, {}, False

# The links a sitemap leads to, as its entries are found: URLs in normal form, with what is said about them.

MAX_URLS = 50_000  # sitemaps.org: one file holds at most 50,000 URLs


class SitemapLinks:
    """The links found so far, and how many entries were odd."""

    def __init__(self, url: str, now: datetime | None) -> None:
        self.known = False  # this is a sitemap, be it an empty one
        self.count = self.lost = self.left_out = self.relative = 0
        self._url, self._now = url, now
        self._links: list[Link] = []

    def take(self) -> list[Link]:
        """The links since the last call."""
        links, self._links = self._links, []
        return links

    def add(self, kind: Kind, url: str, fields: dict[str, str]) -> None:
        """One entry. Lists, forms and files are left out: sitemaps list tags, authors and pictures too."""
        self.known = True
        try:
            # sitemaps.org wants absolute URLs; a path is understood, anything else is no URL.
            normal = urls.normalize(url, self._url if url.startswith("/") else None)
        except UrlError:
            self.lost += 1
            return
        self.count += 1
        self.relative += url.startswith("/")
        if (
            kind is Kind.PAGE and "title" not in fields and is_never_article(normal)
        ):  # what has a news title is an article whatever it is called
            self.left_out += 1
        elif self.count <= MAX_URLS:
            self._links.append(Link(normal, kind, found_by="sitemap", found_on=self._url, hint=self._hint(fields)))

    def warnings(self) -> list[str]:
        """What was odd about the entries."""
        counts = {
            "entries without a usable URL": self.lost,
            "URLs without a host": self.relative,
            "URLs of lists, forms and files, left out": self.left_out,
        }
        return [f"{what}: {count:,}" for what, count in counts.items() if count]

    def _hint(self, fields: dict[str, str]) -> Hint:
        keywords = (word.strip() for word in fields.get("keywords", "").split(","))
        return Hint(
            title=fields.get("title"),
            published_at=parse_date(fields.get("published"), self._now),
            modified_at=parse_date(fields.get("lastmod") or fields.get("updated"), self._now),
            language=fields.get("language"),
            tags=tuple(dict.fromkeys(filter(None, keywords)))[:50],
        )

