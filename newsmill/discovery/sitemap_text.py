"""A sitemap's bytes, unpacked, as text: in which encoding, and read as XML or as lines."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Protocol

from newsmill.charset import python_name, to_text, xml_label
from newsmill.discovery.sitemap_entries import MAX_FIELD, SitemapEntries
from newsmill.discovery.sitemap_links import FoundLinks
from newsmill.discovery.xml_scanner import XmlScanner
from newsmill.model import Kind

_ROOT = re.compile(r"\A\s*<|<(?:[\w.-]{1,40}:)?(?:urlset|sitemapindex|rss|feed|rdf)[\s>]", re.I)


class SitemapText:
    """Give `feed` the blocks, the first one to the constructor besides, and `close` at the end. Links go to `found`."""

    def __init__(self, first: bytes, found: FoundLinks) -> None:
        self._declared = xml_label(first)
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
        if self._declared and python_name(self._declared) != self._encoding:
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
    def __init__(self, found: FoundLinks) -> None:
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

    def __init__(self, found: FoundLinks) -> None:
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
