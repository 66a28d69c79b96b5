"""The bytes of a sitemap, a news sitemap, an index or a feed → links with hints: chunks are unpacked, decoded and read as XML or as lines.

One block and one entry are in memory, however long the file is.
"""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Protocol

from newsmill.discovery.dates import get_precision, parse_date, parse_day_or_time, to_time
from newsmill.discovery.responses import GZIP_MAGIC
from newsmill.discovery.url_patterns import is_never_article
from newsmill.discovery.xml_scanner import (
    MAX_BROKEN_PLACES,
    Event,
    EventKind,
    XmlScanner,
    clean_characters,
    collapse_whitespace,
    decode_references,
    read_attributes,
)
from newsmill.exceptions import ListingError, UrlError
from newsmill.model import Hint, Kind, Link
from newsmill.text import urls
from newsmill.text.charset import find_codec, find_xml_label, to_text
from newsmill.text.language_tags import parse_language_tag
from newsmill.text.urls import MAX_URL_CHARACTERS

MAX_SITEMAP_BYTES = 50 * 1024 * 1024  # unpacked; sitemaps.org: at most 50 MB
_BLOCK_BYTES = 64 * 1024  # decoded at once
_MAX_GZIP_LAYERS = 2  # some servers compress a .gz file again
MAX_GZIP_MEMBERS = 10_000  # of a file; one of 50 MB in blocks of 64 KiB, as bgzip writes, has 800
_PIECE_BYTES = 64 * 1024  # unpacked at once, so that a decompression bomb is noticed in time
_XML_ROOT = re.compile(r"\A\s*<|<(?:[\w.-]{1,40}:)?(?:urlset|sitemapindex|rss|feed|rdf)[\s>]", re.I)


class SitemapReader:
    """Reads one sitemap: XML (urlset, index, news), a feed, or plain lines; gzipped or not.

    Call `feed` with each chunk, then `close`; both return links. The links do not depend on the size of the chunks. Links to pages are
    Kind.PAGE with the sitemap's hints, links to other sitemaps Kind.SITEMAP. `warnings` name damage; the entries before it count.
    `is_full` turns True at a limit: the reader then ignores further chunks.
    """

    def __init__(self, url: str, *, now: datetime | None = None) -> None:
        self.warnings: list[str] = []
        self.is_full = False
        self._links = SitemapLinks(url, now)
        self._layers: list[_GzipDecompressor] = []
        self._blocks = [_Blocks()]  # of the file, and of the content of each layer of gzip
        self._damaged = -1  # the number of the layer whose gzip stream is damaged
        self._size = 0
        self._text: _SitemapText | None = None

    def feed(self, chunk: bytes) -> list[Link]:
        """The links completed by this chunk, in order."""
        for block in self._blocks[0].add(chunk):
            self._unpack(block, 0)
        return self._links.pop_links()

    def close(self) -> list[Link]:
        """The last links. Raises ListingError if the chunks hold neither an element of a sitemap or feed nor a line with a URL."""
        depth = 0
        while depth < len(self._blocks):  # the last block may open another layer
            self._unpack(self._blocks[depth].rest(), depth)
            depth += 1
        if self._text is not None:
            self._text.close(is_cut_off=self.is_full)
            if not self.is_full:
                self._stop_at_limit(self._text)
        if not self._links.is_sitemap:
            raise ListingError("not a sitemap: it has no urlset, index or feed, and no line with a URL")
        if not self.is_full:
            self.warnings += self._warn_of_gzip()
        self.warnings += [*(() if self._text is None else self._text.warnings()), *self._links.warnings()]
        return self._links.pop_links()

    def _unpack(self, block: bytes, depth: int) -> None:
        """Passes a block through the layers of gzip, if there are any, to the text."""
        if self.is_full or not block or depth <= self._damaged:
            return
        if depth == len(self._layers) < _MAX_GZIP_LAYERS and self._text is None and block.startswith(GZIP_MAGIC):
            self._layers.append(_GzipDecompressor())
            self._blocks.append(_Blocks())
        if depth == len(self._layers):
            self._read(block)
            return
        try:
            for piece in self._layers[depth].decompress(block):
                for inner in self._blocks[depth + 1].add(piece):
                    self._unpack(inner, depth + 1)
                if self.is_full:
                    return
        except zlib.error as error:
            self._damaged = depth
            self.warnings.append(f"the gzip stream is damaged: {error}")

    def _read(self, block: bytes) -> None:
        self._size += len(block)
        if self._text is None:
            self._text = _SitemapText(block, self._links)
        self._text.feed(block)
        if self._size > MAX_SITEMAP_BYTES:
            self._stop("larger than 50 MB; the rest is left out")
        else:
            self._stop_at_limit(self._text)

    def _stop_at_limit(self, text: _SitemapText) -> None:
        if self._links.count > MAX_URLS:
            self._stop("more than 50,000 URLs; the rest is left out")
        elif text.broken > MAX_BROKEN_PLACES:
            self._stop(f"the XML is broken in more than {MAX_BROKEN_PLACES:,} places; the rest is left out")

    def _stop(self, reason: str) -> None:
        self.is_full = True
        self.warnings.append(reason)

    def _warn_of_gzip(self) -> Iterator[str]:
        if self._damaged < 0 and any(not layer.is_complete for layer in self._layers):
            yield "the gzip stream is cut off"
        ignored = sum(layer.ignored for layer in self._layers)
        if ignored:
            yield f"bytes after the gzip stream, ignored: {ignored:,}"


class _Blocks:
    """Chunks of any size in, blocks of one size out: decisions about a block then do not depend on the chunks."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def add(self, chunk: bytes) -> Iterator[bytes]:
        self._pending += chunk
        while len(self._pending) >= _BLOCK_BYTES:
            block = bytes(self._pending[:_BLOCK_BYTES])
            del self._pending[:_BLOCK_BYTES]
            yield block

    def rest(self) -> bytes:
        return bytes(self._pending)


class _GzipDecompressor:
    """A stream of gzip members in, their content out. `is_complete` is True while no member is open."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)  # 31: a gzip header and trailer around the largest window
        self._pending = b""  # a first byte that may begin another member
        self._members = 1
        self.ignored = 0  # bytes after the last member that are neither padding nor another member

    @property
    def is_complete(self) -> bool:
        return self._member.eof

    def decompress(self, packed: bytes) -> Iterator[bytes]:
        """The content of these bytes, in pieces of at most 64 KiB. Ignores padding after the last member.

        Raises zlib.error at damage, after yielding the content before it.
        """
        while packed:
            if self._member.eof:
                packed = (self._pending + packed).lstrip(b"\0")
                self._pending = packed if packed == GZIP_MAGIC[:1] else b""
                if self.ignored or not packed.startswith(GZIP_MAGIC):
                    self.ignored += len(packed) - len(self._pending)
                    return
                self._members += 1
                if self._members > MAX_GZIP_MEMBERS:
                    raise zlib.error(f"more than {MAX_GZIP_MEMBERS:,} members")
                self._member = zlib.decompressobj(wbits=31)
            before = self._member.copy()
            try:
                piece = self._member.decompress(packed, _PIECE_BYTES)
            except zlib.error:
                yield from _decompress_before_damage(before, packed)
                raise
            yield piece
            packed = self._member.unconsumed_tail or self._member.unused_data


def _decompress_before_damage(member: Any, packed: bytes) -> Iterator[bytes]:
    """The content before the first invalid byte: a call of zlib that fails returns nothing."""
    for at in range(len(packed)):
        try:
            yield member.decompress(packed[at : at + 1])
        except zlib.error:
            return


class _SitemapText:
    """Decodes the blocks of one file for the parser of its format. The constructor looks at the first block, `feed` takes all."""

    def __init__(self, first: bytes, links: SitemapLinks) -> None:
        self._declared = find_xml_label(first)
        _, self._encoding = to_text(first, is_xml=True)
        self._decoder = codecs.getincrementaldecoder(self._encoding)("replace")
        self._replaced = 0  # characters
        self._is_cut_off = False  # at a limit, so that a missing end needs no warning
        head = codecs.getincrementaldecoder(self._encoding)("replace").decode(first)
        self._parser: _Parser = _XmlParser(links) if _XML_ROOT.search(head.removeprefix("\ufeff")) else _LineParser(links)

    def feed(self, block: bytes, *, last: bool = False) -> None:
        """Decodes a block; its complete links go to `links`."""
        text = self._decoder.decode(block, last)
        self._replaced += text.count("\ufffd")
        self._parser.feed(text.replace("\ufeff", ""), last=last)

    def close(self, *, is_cut_off: bool) -> None:
        """Ends the text; `is_cut_off` says that a limit left out its rest."""
        if not is_cut_off:
            self.feed(b"", last=True)
        self._parser.close()
        self._is_cut_off = is_cut_off

    @property
    def broken(self) -> int:
        """Number of places where the XML is broken."""
        return self._parser.broken

    def warnings(self) -> Iterator[str]:
        """One sentence for each kind of damage."""
        if self._declared and find_codec(self._declared) != self._encoding:
            yield f"declared as {self._declared}, read as {self._encoding}"
        if self._replaced:
            yield f"characters that are not valid {self._encoding}: {self._replaced:,}"
        if not self._is_cut_off:
            yield from self._parser.warnings()


class _Parser(Protocol):
    @property
    def broken(self) -> int: ...
    def feed(self, text: str, *, last: bool) -> None: ...
    def close(self) -> None: ...
    def warnings(self) -> Iterator[str]: ...


class _XmlParser:
    def __init__(self, links: SitemapLinks) -> None:
        self._entries = SitemapEntries(links)
        self._scanner = XmlScanner()

    @property
    def broken(self) -> int:
        return self._scanner.broken

    def feed(self, text: str, *, last: bool) -> None:
        self._entries.feed(self._scanner.feed(text, last=last))

    def close(self) -> None:
        self._entries.close()

    def warnings(self) -> Iterator[str]:
        yield from self._entries.warnings()
        if self.broken:
            yield f"places where the XML is broken: {self.broken:,}"


class _LineParser:
    """A text sitemap: one URL per line."""

    broken = 0

    def __init__(self, links: SitemapLinks) -> None:
        self._links = links
        self._rest = ""
        self._other_lines = 0

    def feed(self, text: str, *, last: bool) -> None:
        *lines, self._rest = re.split(r"[\r\n]+", self._rest + text)
        self._rest = self._rest[: MAX_URL_CHARACTERS + 1]  # one more, so that a shortened URL is refused as too long
        for line in [*lines, self._rest] if last else lines:
            self._add(line.strip())

    def close(self) -> None:
        """Does nothing: `feed` read every line."""

    def warnings(self) -> Iterator[str]:
        if self._other_lines:
            yield f"lines that are not a URL: {self._other_lines:,}"

    def _add(self, line: str) -> None:
        if line.lower().startswith(("http://", "https://")):
            self._links.add(Kind.PAGE, line, {})
        elif line:
            self._other_lines += 1


# ---- entries of XML ---------------------------------------------------------------------------------------------------------

MAX_URLS = 50_000  # sitemaps.org: one file holds at most 50,000 URLs
_MAX_HINT_CHARACTERS = 1_000  # of any other field; a headline has 40 to 120
_MAX_ENTRY_URLS = 1_000  # the protocol has one URL per entry
_MAX_BARE_CHARACTERS = 1_000_000  # of text outside any field: 50,000 URLs of 20 characters
_MAX_DEPTH = 64  # elements; a news sitemap has 5
_WORD = re.compile(r"\w")

_SITEMAP_ROOTS = {"urlset": Kind.PAGE, "sitemapindex": Kind.SITEMAP}
_SITEMAP_ENTRIES = {"url": Kind.PAGE, "sitemap": Kind.SITEMAP}
_FEED_ROOTS = frozenset({"rss", "feed", "rdf"})
_FEED_ENTRIES = {"item": Kind.PAGE, "entry": Kind.PAGE}
_STRUCTURE_ELEMENTS = frozenset((*_SITEMAP_ROOTS, *_SITEMAP_ENTRIES, *_FEED_ROOTS, *_FEED_ENTRIES))
_FEED_FIELD_NAMES = {name: name for name in ("link", "title", "published", "updated")} | {
    "pubdate": "published",
    "issued": "published",
    "modified": "updated",
}
# parent/element → field. The parent tells a field from image:loc, video:title, xhtml:link and the like.
_FIELDS = {f"{parent}/loc": "loc" for parent in (*_SITEMAP_ROOTS, *_SITEMAP_ENTRIES)}
_FIELDS |= {f"{entry}/lastmod": "lastmod" for entry in _SITEMAP_ENTRIES}
_FIELDS |= {f"{entry}/{name}": field for entry in _FEED_ENTRIES for name, field in _FEED_FIELD_NAMES.items()}
_FIELDS |= {
    "news/title": "title",
    "news/publication_date": "published",
    "news/keywords": "keywords",
    "publication/language": "language",
}


class SitemapEntries:
    """Reads the events of an XML scanner and adds each entry to `links`. Holds one entry, never the file."""

    def __init__(self, links: SitemapLinks) -> None:
        self._is_complete = False  # whether the root element has ended
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
        if not self._is_complete:
            yield "the file is cut off: its root element does not end"
        if self._has_text_outside:
            yield "there is text outside the root element"
        counts = {
            "entries after the end of the root element": self._entries_after_end,
            "entries with more than one URL": self._multi_url_entries,
            "URLs outside the <loc> of an entry": self._bare_urls,
        }
        yield from (f"{label}: {count:,}" for label, count in counts.items() if count)

    def _start(self, name: str, attributes: str) -> None:
        if name in _SITEMAP_ROOTS or name in _FEED_ROOTS:
            self._begin_document(name)
        elif name in (_FEED_ENTRIES if self._root in _FEED_ROOTS else _SITEMAP_ENTRIES):
            self._flush()  # the one before may lack its end tag
            self._kind = (_FEED_ENTRIES | _SITEMAP_ENTRIES)[name]
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
            self._is_complete = True

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
        if not self._root or self._is_complete:
            self._has_text_outside = self._has_text_outside or _WORD.search(raw) is not None

    def _begin_document(self, name: str) -> None:
        self._flush()
        self._links.is_sitemap = True
        if not self._is_complete:
            self._root = name
        self._path, self._ignored_depth = [], 0
        self._kind = _SITEMAP_ROOTS.get(name, Kind.PAGE)

    def _start_in_entry(self, name: str, attributes: str) -> None:
        if self._field is not None:
            siblings = self._path[-2] if len(self._path) > 1 else self._root
            if f"{siblings}/{name}" not in _FIELDS:
                return  # markup inside a field
            self._end_field()
            self._path.pop()
        field = _FIELDS.get(f"{self._path[-1] if self._path else self._root}/{name}")
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
        self._entries_after_end += self._is_complete and bool(locs)
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
        try:
            # sitemaps.org requires absolute URLs; a path is accepted, other relative URLs are not.
            normal = urls.normalize(url, self._url if url.startswith("/") else None)
        except UrlError:
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
            "entries without a usable URL": self.unusable,
            "URLs without a host": self.relative_urls,
            "URLs of lists, forms and files, left out": self.skipped,
        }
        return [f"{label}: {count:,}" for label, count in counts.items() if count]

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
