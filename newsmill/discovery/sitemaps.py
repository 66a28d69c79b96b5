"""gzip undone piece by piece, so that a bomb is noticed before it has gone off. Knows nothing of what is inside."""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Protocol

from newsmill.charset import find_xml_label, to_text
from newsmill.discovery.sitemap_entries import MAX_FIELD, SitemapEntries
from newsmill.discovery.sitemap_entries import MAX_URLS, SitemapLinks
from newsmill.discovery.xml_scanner import MAX_BROKEN, XmlScanner
from newsmill.exceptions import ListingError
from newsmill.model import Kind, Link
from newsmill.web_codecs import find_codec

MAGIC = b"\x1f\x8b"
_PIECE = 64 * 1024  # bytes unpacked at once


class Gunzip:
    """A stream of gzip members in, their content out. `done` is True while no member is left open."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)  # 31: a gzip header and trailer around the largest window
        self._held = b""  # a first byte that may begin another member
        self.ignored = 0  # bytes after the last member that are neither padding nor another member

    @property
    def done(self) -> bool:
        return self._member.eof

    def pieces(self, packed: bytes) -> Iterator[bytes]:
        """What these bytes unpack to, some 64 KiB at a time. Padding after the last member is ignored.

        Raises zlib.error where the stream is damaged, after all that came before the damage.
        """
        while packed:
            if self._member.eof:
                packed = (self._held + packed).lstrip(b"\0")
                self._held = packed if packed == MAGIC[:1] else b""
                if self.ignored or not packed.startswith(MAGIC):
                    self.ignored += len(packed) - len(self._held)
                    return
                self._member = zlib.decompressobj(wbits=31)
            before = self._member.copy()
            try:
                piece = self._member.decompress(packed, _PIECE)
            except zlib.error:
                yield from _before_damage(before, packed)
                raise
            yield piece
            packed = self._member.unconsumed_tail or self._member.unused_data


def _before_damage(member: Any, packed: bytes) -> Iterator[bytes]:
    """What the bytes unpack to before the one that makes no sense: zlib hands nothing out of a call in which it fails."""
    for at in range(len(packed)):
        try:
            yield member.decompress(packed[at : at + 1])
        except zlib.error:
            return


# A sitemap's bytes, unpacked, as text: in which encoding, and read as XML or as lines.

_ROOT = re.compile(r"\A\s*<|<(?:[\w.-]{1,40}:)?(?:urlset|sitemapindex|rss|feed|rdf)[\s>]", re.I)


class SitemapText:
    """Give `feed` the blocks, the first one to the constructor besides, and `close` at the end. Links go to `found`."""

    def __init__(self, first: bytes, found: SitemapLinks) -> None:
        self._declared = find_xml_label(first)
        _, self._encoding = to_text(first, is_xml=True)
        self._decoder = codecs.getincrementaldecoder(self._encoding)("replace")
        self._replaced = 0  # characters
        self._cut_off = False  # by a limit of ours, so that an end that is missing is no oddity
        head = codecs.getincrementaldecoder(self._encoding)("replace").decode(first)
        self._reader: _Reader = _Xml(found) if _ROOT.search(head.removeprefix("\ufeff")) else _Lines(found)

    def feed(self, block: bytes, *, last: bool = False) -> None:
        """Hand on the links that are complete."""
        text = self._decoder.decode(block, last)
        self._replaced += text.count("\ufffd")
        self._reader.feed(text.replace("\ufeff", ""), last=last)

    def close(self, *, cut_off: bool) -> None:
        """No more comes; `cut_off` says that there would be more."""
        if not cut_off:
            self.feed(b"", last=True)
        self._reader.close()
        self._cut_off = cut_off

    @property
    def broken(self) -> int:
        """Places that are no XML."""
        return self._reader.broken

    def warnings(self) -> Iterator[str]:
        """What was odd, a sentence for each kind."""
        if self._declared and find_codec(self._declared) != self._encoding:
            yield f"declared as {self._declared}, read as {self._encoding}"
        if self._replaced:
            yield f"characters that are not valid {self._encoding}: {self._replaced:,}"
        if not self._cut_off:
            yield from self._reader.warnings()


class _Reader(Protocol):
    @property
    def broken(self) -> int: ...
    def feed(self, text: str, *, last: bool) -> None: ...
    def close(self) -> None: ...
    def warnings(self) -> Iterator[str]: ...


class _Xml:
    def __init__(self, found: SitemapLinks) -> None:
        self._entries = SitemapEntries(found)
        self._scanner = XmlScanner()

    @property
    def broken(self) -> int:
        return self._scanner.broken

    def feed(self, text: str, *, last: bool) -> None:
        self._entries.take(self._scanner.feed(text, last=last))

    def close(self) -> None:
        self._entries.close()

    def warnings(self) -> Iterator[str]:
        yield from self._entries.warnings()
        if self.broken:
            yield f"places where the XML is broken: {self.broken:,}"


class _Lines:
    """A text sitemap: one URL a line."""

    broken = 0

    def __init__(self, found: SitemapLinks) -> None:
        self._found = found
        self._rest = ""
        self._others = 0

    def feed(self, text: str, *, last: bool) -> None:
        *lines, self._rest = re.split(r"[\r\n]+", self._rest + text)
        self._rest = self._rest[: MAX_FIELD + 1]  # one more: a URL that is cut is another URL
        for line in [*lines, self._rest] if last else lines:
            self._add(line.strip())

    def close(self) -> None:
        """Every line was read."""

    def warnings(self) -> Iterator[str]:
        if self._others:
            yield f"lines that are not a URL: {self._others:,}"

    def _add(self, line: str) -> None:
        if line.lower().startswith(("http://", "https://")):
            self._found.add(Kind.PAGE, line, {})
        elif line:
            self._others += 1


# A sitemap's bytes, chunk by chunk → links with hints. Nothing is held but one block, however long the file is.

MAX_SITEMAP_BYTES = 50 * 1024 * 1024  # bytes unpacked; sitemaps.org: at most 50 MB
_BLOCK = 64 * 1024  # bytes looked at together
_MAX_LAYERS = 2  # of gzip: a server packs a .gz once more


class SitemapReader:
    """Reads one sitemap: XML (urlset, index, news), a feed, or plain lines; gzipped or not.

    Give `feed` the chunks as they come, take the links it returns, and `close` at the end; the links are the same however the file is
    cut into chunks. Links to pages are Kind.PAGE with what the sitemap says about them, links to further sitemaps Kind.SITEMAP. What is
    broken or cut off is named in `warnings`, and what came before it counts. `full` turns True when a limit is reached: more chunks are
    ignored.
    """

    def __init__(self, url: str, *, now: datetime | None = None) -> None:
        self.warnings: list[str] = []
        self.is_full = False
        self._found = SitemapLinks(url, now)
        self._layers: list[Gunzip] = []
        self._blocks = [_Blocks()]  # of the file, and of what each layer of gzip holds
        self._damaged = -1  # the number of the layer from which nothing more can be read
        self._size = 0
        self._text: SitemapText | None = None

    def feed(self, chunk: bytes) -> list[Link]:
        """The links completed by this chunk, in order."""
        for block in self._blocks[0].add(chunk):
            self._unpack(block, 0)
        return self._found.take()

    def close(self) -> list[Link]:
        """The links left at the end. Raises ListingError when there was nothing of a sitemap in all the chunks."""
        depth = 0
        while depth < len(self._blocks):  # a layer may be found in the last block
            self._unpack(self._blocks[depth].rest(), depth)
            depth += 1
        if self._text is not None:
            self._text.close(cut_off=self.is_full)
            if not self.is_full:
                self._stop_where_full(self._text)
        if not self._found.known:
            raise ListingError("is no sitemap: no urlset, index or feed, and no line that is a URL")
        if not self.is_full:
            self.warnings += self._of_layers()
        self.warnings += [*(() if self._text is None else self._text.warnings()), *self._found.warnings()]
        return self._found.take()

    def _unpack(self, block: bytes, depth: int) -> None:
        """Through the layers of gzip, if there are any."""
        if self.is_full or not block or depth <= self._damaged:
            return
        if depth == len(self._layers) < _MAX_LAYERS and self._text is None and block.startswith(MAGIC):
            self._layers.append(Gunzip())
            self._blocks.append(_Blocks())
        if depth == len(self._layers):
            self._read(block)
            return
        try:
            for piece in self._layers[depth].pieces(block):
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
            self._text = SitemapText(block, self._found)
        self._text.feed(block)
        if self._size > MAX_SITEMAP_BYTES:
            self._stop("larger than 50 MB; the rest is left out")
        else:
            self._stop_where_full(self._text)

    def _stop_where_full(self, text: SitemapText) -> None:
        if self._found.count > MAX_URLS:
            self._stop("more than 50,000 URLs; the rest is left out")
        elif text.broken > MAX_BROKEN:
            self._stop(f"the XML is broken in more than {MAX_BROKEN:,} places; the rest is left out")

    def _stop(self, reason: str) -> None:
        self.is_full = True
        self.warnings.append(reason)

    def _of_layers(self) -> Iterator[str]:
        if self._damaged < 0 and any(not layer.done for layer in self._layers):
            yield "the gzip stream is cut off"
        ignored = sum(layer.ignored for layer in self._layers)
        if ignored:
            yield f"bytes after the gzip stream, ignored: {ignored:,}"


class _Blocks:
    """Chunks of any size in, blocks of one size out: what is decided by looking at a block does not depend on the chunks."""

    def __init__(self) -> None:
        self._held = bytearray()

    def add(self, chunk: bytes) -> Iterator[bytes]:
        self._held += chunk
        while len(self._held) >= _BLOCK:
            block = bytes(self._held[:_BLOCK])
            del self._held[:_BLOCK]
            yield block

    def rest(self) -> bytes:
        return bytes(self._held)
