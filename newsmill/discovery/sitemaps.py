"""The bytes of a sitemap, a news sitemap, an index or a feed → links with hints: chunks are unpacked, decoded and read as XML or as lines.

One block and one entry are in memory, however long the file is.
"""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from newsmill.discovery.body_kind import GZIP_MAGIC
from newsmill.discovery.gzip_members import GzipDecompressor
from newsmill.discovery.sitemap_entries import (
    FEED_ENTRIES,
    FEED_FIELD_NAMES,
    FIELDS,
    MAX_URLS,
    SITEMAP_ENTRIES,
    SitemapEntries,
    SitemapLinks,
)
from newsmill.discovery.xml_elements import CUT_OFF
from newsmill.discovery.xml_scanner import MAX_BROKEN_PLACES, XmlScanner
from newsmill.exceptions import IncompleteListingError, ListingError
from newsmill.model import Kind, Link
from newsmill.text.charset import to_text
from newsmill.text.declared_charset import find_xml_label
from newsmill.text.sentences import Sentence, join_sentences
from newsmill.text.urls import MAX_URL_CHARACTERS
from newsmill.text.web_codecs import find_codec

MAX_SITEMAP_BYTES = 50 * 1024 * 1024  # unpacked; sitemaps.org: at most 50 MB
_BLOCK_BYTES = 64 * 1024  # decoded at once
_MAX_GZIP_LAYERS = 2  # some servers compress a .gz file again
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
        self._layers: list[GzipDecompressor] = []
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
        """The last links.

        Raises ListingError if the chunks hold neither an element of a sitemap or feed nor a line with a URL, and
        IncompleteListingError if the file is cut off before its first URL.
        """
        depth = 0
        while depth < len(self._blocks):  # the last block may open another layer
            self._unpack(self._blocks[depth].rest(), depth)
            depth += 1
        if self._text is not None:
            self._text.close(is_cut_off=self.is_full)
            if not self.is_full:
                self._stop_at_limit(self._text)
        if not self._links.is_sitemap:
            raise ListingError(Sentence("not a sitemap: it has no urlset, index or feed, and no line with a URL"))
        if not (self._links.count or self.is_full) and self._text is not None and self._text.is_cut_off:
            raise IncompleteListingError(CUT_OFF)
        if not self.is_full:
            self.warnings += self._warn_of_gzip()
        self.warnings += [*(() if self._text is None else self._text.warnings()), *self._links.warnings()]
        return self._links.pop_links()

    def _unpack(self, block: bytes, depth: int) -> None:
        """Passes a block through the layers of gzip, if there are any, to the text."""
        if self.is_full or not block or depth <= self._damaged:
            return
        if depth == len(self._layers) < _MAX_GZIP_LAYERS and self._text is None and block.startswith(GZIP_MAGIC):
            self._layers.append(GzipDecompressor())
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
            self.warnings.append(Sentence("the gzip stream is damaged: {error}", error=error))

    def _read(self, block: bytes) -> None:
        self._size += len(block)
        if self._text is None:
            self._text = _SitemapText(block, self._links)
        self._text.feed(block)
        if self._size > MAX_SITEMAP_BYTES:
            self._stop(Sentence("larger than 50 MB"))
        else:
            self._stop_at_limit(self._text)

    def _stop_at_limit(self, text: _SitemapText) -> None:
        if self._links.count > MAX_URLS:
            self._stop(Sentence("more than 50,000 URLs"))
        elif text.broken > MAX_BROKEN_PLACES:
            self._stop(Sentence("the XML is broken in more than {n:,} places", n=MAX_BROKEN_PLACES))

    def _stop(self, reason: str) -> None:
        self.is_full = True
        self.warnings.append(join_sentences([reason, Sentence("the rest is left out")]))

    def _warn_of_gzip(self) -> Iterator[str]:
        if self._damaged < 0 and any(not layer.is_complete for layer in self._layers):
            yield Sentence("the gzip stream is cut off")
        ignored = sum(layer.ignored for layer in self._layers)
        if ignored:
            yield Sentence("bytes after the gzip stream, ignored: {n:,}", n=ignored)


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


class _SitemapText:
    """Decodes the blocks of one file for the parser of its format. The constructor looks at the first block, `feed` takes all."""

    def __init__(self, first: bytes, links: SitemapLinks) -> None:
        self._declared = find_xml_label(first)
        _, self._encoding = to_text(first, is_xml=True)
        self._decoder = codecs.getincrementaldecoder(self._encoding)("replace")
        self._replaced = 0  # characters
        self._is_limited = False  # cut at a limit, so that a missing end needs no warning
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
        self._is_limited = is_cut_off

    @property
    def broken(self) -> int:
        """Number of places where the XML is broken."""
        return self._parser.broken

    @property
    def is_cut_off(self) -> bool:
        """Whether the root element of XML does not end."""
        return not self._parser.is_complete

    def warnings(self) -> Iterator[str]:
        """One sentence for each kind of damage."""
        if self._declared and find_codec(self._declared) != self._encoding:
            yield Sentence("declared as {name}, read as {encoding}", name=self._declared, encoding=self._encoding)
        if self._replaced:
            yield Sentence("characters that are not valid {encoding}: {n:,}", encoding=self._encoding, n=self._replaced)
        if not self._is_limited:
            yield from self._parser.warnings()


class _Parser(Protocol):
    @property
    def broken(self) -> int: ...
    @property
    def is_complete(self) -> bool: ...
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

    @property
    def is_complete(self) -> bool:
        return self._entries.is_complete

    def feed(self, text: str, *, last: bool) -> None:
        self._entries.feed(self._scanner.feed(text, last=last))

    def close(self) -> None:
        self._entries.close()

    def warnings(self) -> Iterator[str]:
        yield from self._entries.warnings()
        if self.broken:
            yield Sentence("places where the XML is broken: {n:,}", n=self.broken)


class _LineParser:
    """A text sitemap: one URL per line."""

    broken = 0
    is_complete = True

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
            yield Sentence("lines that are not a URL: {n:,}", n=self._other_lines)

    def _add(self, line: str) -> None:
        if line.lower().startswith(("http://", "https://")):
            self._links.add(Kind.PAGE, line, {})
        elif line:
            self._other_lines += 1


FIELDS |= {f"{entry}/lastmod": "lastmod" for entry in SITEMAP_ENTRIES}
FIELDS |= {f"{entry}/{name}": field for entry in FEED_ENTRIES for name, field in FEED_FIELD_NAMES.items()}
FIELDS |= {
    "news/title": "title",
    "news/publication_date": "published",
    "news/keywords": "keywords",
    "publication/language": "language",
}
