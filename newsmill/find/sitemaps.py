"""A sitemap's bytes, chunk by chunk → links with hints. Nothing is held but the entry being read, however long the file is."""

from __future__ import annotations

import codecs
import zlib
from datetime import datetime
from typing import Protocol

from lxml import etree

from newsmill.exceptions import ListingError, UrlError
from newsmill.find import urls
from newsmill.find.characters import clean, decode, rewrite_references, unfinished_at, without_controls
from newsmill.find.gunzip import MAGIC, Gunzip
from newsmill.find.moments import moment
from newsmill.find.shapes import is_other
from newsmill.model import Hint, Kind, Link

MOST_URLS = 50_000  # sitemaps.org: one file holds at most 50,000 addresses
LARGEST = 50 * 1024 * 1024  # bytes unpacked; sitemaps.org: at most 50 MB
_LONGEST_FIELD = 8_000  # characters of one field; the longest URL we take
_DEEPEST = 64  # elements; a news sitemap has 5
_ENOUGH = 512  # bytes that show what a file is: gzip, XML or lines

_ROOTS = frozenset({"urlset", "sitemapindex", "rss", "feed", "rdf"})
_ENTRIES = {"url": Kind.PAGE, "sitemap": Kind.SITEMAP, "item": Kind.PAGE, "entry": Kind.PAGE}
_IN_FEED = {name: name for name in ("link", "title", "published", "updated")} | {
    "pubdate": "published",
    "issued": "published",
    "modified": "updated",
}
# Where a field stands, parent/element: image:loc, video:title, xhtml:link and the like have the same names in other places.
_FIELDS = {f"{entry}/{name}": name for entry in ("url", "sitemap") for name in ("loc", "lastmod")}
_FIELDS |= {f"{entry}/{name}": field for entry in ("item", "entry") for name, field in _IN_FEED.items()}
_FIELDS |= {
    "news/title": "title",
    "news/publication_date": "published",
    "news/keywords": "keywords",
    "publication/language": "language",
}


class SitemapReader:
    """Reads one sitemap: XML (urlset, index, news), a feed, or plain lines; gzipped or not.

    Give `feed` the chunks as they come, take the links it returns, and `close` at the end. Links to pages are Kind.PAGE with what the
    sitemap says about them, links to further sitemaps Kind.SITEMAP. What is broken or cut off is named in `warnings`, and what came
    before it counts. `full` turns True when a limit is reached: more chunks are ignored.
    """

    def __init__(self, url: str, *, now: datetime | None = None) -> None:
        self.warnings: list[str] = []
        self.full = False
        self._found = _Found(url, now)
        self._layers: list[Gunzip] = []
        self._size = 0
        self._start: bytes | None = b""
        self._parser: _Parser | None = None

    def feed(self, chunk: bytes) -> list[Link]:
        """The links completed by this chunk, in order."""
        if self._start is not None:
            self._start += chunk
            if len(self._start) < _ENOUGH:
                return []
            chunk, self._start = self._start, None
        self._unpack(chunk, 0)
        return self._found.take()

    def close(self) -> list[Link]:
        """The links left at the end. Raises ListingError when there was nothing of a sitemap in all the chunks."""
        if self._start is not None:
            self._unpack(self._start, 0)
        if any(not layer.done for layer in self._layers) and not self.full:
            self.warnings.append("the gzip stream is cut off")
        if self._parser is not None:
            self._parser.close()
        if not self._found.known:
            raise ListingError("is no sitemap: no urlset, index or feed, and no line that is an address")
        if self._found.lost:
            self.warnings.append(f"{self._found.lost} entries without a usable address")
        if self._found.left_out:
            self.warnings.append(f"{self._found.left_out} addresses of lists, forms and files left out")
        return self._found.take()

    def _unpack(self, chunk: bytes, depth: int) -> None:
        """Through the layers of gzip: none, one, or two where a server packs a .gz once more."""
        if self.full or not chunk:
            return
        if depth == len(self._layers) < 2 and self._parser is None and chunk.startswith(MAGIC):
            self._layers.append(Gunzip())
        if depth == len(self._layers):
            self._parse(chunk)
            return
        try:
            for piece in self._layers[depth].pieces(chunk):
                self._unpack(piece, depth + 1)
                if self.full:
                    return
        except zlib.error as error:
            self._stop(f"the gzip stream is damaged: {error}")

    def _parse(self, piece: bytes) -> None:
        if self._parser is None:
            piece = piece.removeprefix(b"\xef\xbb\xbf").lstrip()
            self._parser = _Xml(self._found, piece) if piece.startswith((b"<", b"\xff\xfe", b"\xfe\xff")) else _Lines(self._found)
        self._size += len(piece)
        self._parser.feed(piece)
        if self._size > LARGEST:
            self._stop("larger than 50 MB; the rest is left out")
        elif self._found.count >= MOST_URLS:
            self._stop("more than 50,000 addresses; the rest is left out")

    def _stop(self, reason: str) -> None:
        self.full = True
        self.warnings.append(reason)


class _Found:
    """The links found so far, and how many were unusable."""

    def __init__(self, url: str, now: datetime | None) -> None:
        self.known = False  # this is a sitemap, be it an empty one
        self.count = self.lost = self.left_out = 0
        self._url, self._now = url, now
        self._links: list[Link] = []

    def take(self) -> list[Link]:
        links, self._links = self._links, []
        return links

    def add(self, kind: Kind, fields: dict[str, str]) -> None:
        address = fields.get("loc") or fields.get("link") or ""
        try:
            # sitemaps.org wants absolute addresses; a path is understood, anything else is no address.
            url = urls.normal(address, self._url if address.startswith("/") else None)
        except UrlError:
            self.lost += 1
            return
        self.count += 1
        if kind == Kind.PAGE and "title" not in fields and is_other(url):
            self.left_out += 1  # sitemaps list tags, authors and pictures too; what has a news title is an article whatever it is called
            return
        if self.count <= MOST_URLS:
            self._links.append(Link(url, kind, found_by="sitemap", found_on=self._url, hint=self._hint(fields)))

    def _hint(self, fields: dict[str, str]) -> Hint:
        keywords = (word.strip() for word in fields.get("keywords", "").split(","))
        return Hint(
            title=fields.get("title"),
            published_at=moment(fields.get("published"), self._now),
            modified_at=moment(fields.get("lastmod") or fields.get("updated"), self._now),
            language=fields.get("language"),
            tags=tuple(dict.fromkeys(filter(None, keywords)))[:50],
        )


class _Parser(Protocol):
    def feed(self, piece: bytes) -> None: ...
    def close(self) -> None: ...


class _Xml:
    """libxml2 on broken XML too, with entities neither expanded nor fetched, and references it would stop at rewritten."""

    def __init__(self, found: _Found, start: bytes) -> None:
        wide = "utf-16" if start.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-16-le" if b"\0" in start[:4] else None
        self._decoder = codecs.getincrementaldecoder(wide)("replace") if wide else None  # references are looked for byte by byte
        encoding = "utf-8" if wide else None  # else what the file declares
        target = _Target(found)  # the stubs want bytes taken too; lxml gives text only
        self._parser = etree.XMLParser(target=target, encoding=encoding, recover=True, resolve_entities=False, no_network=True)  # type: ignore[arg-type]
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        """Hands the piece on; a reference that is cut off at its end waits for the next one."""
        piece = self._rest + (self._decoder.decode(piece).encode() if self._decoder else piece)
        end = unfinished_at(piece)
        piece, self._rest = piece[:end], piece[end:]
        self._parser.feed(rewrite_references(without_controls(piece)))

    def close(self) -> None:
        self._parser.feed(rewrite_references(self._rest))
        self._parser.close()


class _Target:
    """Takes the parser's events and builds no tree: memory stays flat."""

    def __init__(self, found: _Found) -> None:
        self._found = found
        self._path = [""]  # local names of the open elements
        self._deeper = 0  # open elements below the deepest one that is looked at
        self._kind = Kind.PAGE
        self._fields: dict[str, str] = {}
        self._field: str | None = None
        self._text: list[str] = []
        self._length = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self._path) > _DEEPEST:
            self._deeper += 1
            return
        name = _local(tag)
        self._found.known = self._found.known or name in _ROOTS
        if name in _ENTRIES:
            self._entry()  # the one before may lack its end tag
            self._kind = _ENTRIES[name]
        self._field = _FIELDS.get(f"{self._path[-1]}/{name}")
        self._text, self._length = [], 0
        if self._field == "link" and attributes.get("rel", "alternate") == "alternate" and "href" in attributes:
            self._fields.setdefault("link", attributes["href"])
        self._path.append(name)

    def data(self, text: str) -> None:
        if self._field is not None and self._length < _LONGEST_FIELD:
            self._text.append(text)
            self._length += len(text)

    def end(self, tag: str) -> None:
        if self._deeper:
            self._deeper -= 1
            return
        name = _local(tag)
        if self._field is not None:
            if text := " ".join(clean(decode("".join(self._text))).split()):  # libxml2 leaves "&#38;" as it is, and CDATA anyway
                self._fields.setdefault(self._field, text[:_LONGEST_FIELD])
            self._field = None
        if len(self._path) > 1:
            self._path.pop()
        if name in _ENTRIES:
            self._entry()

    def close(self) -> None:
        self._entry()

    def _entry(self) -> None:
        if self._fields:
            self._found.known = True
            self._found.add(self._kind, self._fields)
            self._fields = {}


def _local(tag: str) -> str:
    """A name without its namespace, also where the prefix was never declared."""
    return tag.rpartition("}")[2].rpartition(":")[2].lower()


class _Lines:
    """A text sitemap: one address a line."""

    def __init__(self, found: _Found) -> None:
        self._found = found
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        self._rest = self._rest[:_LONGEST_FIELD]
        for line in lines:
            self._add(line)

    def close(self) -> None:
        self._add(self._rest)

    def _add(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").strip()
        if text.lower().startswith(("http://", "https://")):
            self._found.known = True
            self._found.add(Kind.PAGE, {"loc": text})
