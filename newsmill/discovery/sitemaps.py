"""A sitemap's bytes, chunk by chunk → links with hints. Nothing is held but one block, however long the file is."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import datetime

from newsmill.discovery.gunzip import MAGIC, Gunzip
from newsmill.discovery.sitemap_links import MAX_URLS, FoundLinks
from newsmill.discovery.sitemap_text import SitemapText
from newsmill.discovery.xml_scanner import MAX_BROKEN
from newsmill.exceptions import ListingError
from newsmill.model import Link

LARGEST = 50 * 1024 * 1024  # bytes unpacked; sitemaps.org: at most 50 MB
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
        self.full = False
        self._found = FoundLinks(url, now)
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
            self._text.close(cut_off=self.full)
            if not self.full:
                self._stop_where_full(self._text)
        if not self._found.known:
            raise ListingError("is no sitemap: no urlset, index or feed, and no line that is a URL")
        if not self.full:
            self.warnings += self._of_layers()
        self.warnings += [*(() if self._text is None else self._text.warnings()), *self._found.warnings()]
        return self._found.take()

    def _unpack(self, block: bytes, depth: int) -> None:
        """Through the layers of gzip, if there are any."""
        if self.full or not block or depth <= self._damaged:
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
                if self.full:
                    return
        except zlib.error as error:
            self._damaged = depth
            self.warnings.append(f"the gzip stream is damaged: {error}")

    def _read(self, block: bytes) -> None:
        self._size += len(block)
        if self._text is None:
            self._text = SitemapText(block, self._found)
        self._text.feed(block)
        if self._size > LARGEST:
            self._stop("larger than 50 MB; the rest is left out")
        else:
            self._stop_where_full(self._text)

    def _stop_where_full(self, text: SitemapText) -> None:
        if self._found.count > MAX_URLS:
            self._stop("more than 50,000 URLs; the rest is left out")
        elif text.broken > MAX_BROKEN:
            self._stop(f"the XML is broken in more than {MAX_BROKEN:,} places; the rest is left out")

    def _stop(self, reason: str) -> None:
        self.full = True
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
