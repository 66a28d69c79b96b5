"""A linear scan of XML that may be broken anywhere: tags, text and CDATA in order, block by block, and no tree.

libxml2 stops at "a < b", at an attribute without quotes and after the first root; a listing must not lose what follows such a place.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Protocol

LONGEST_TAG = 16 * 1024  # characters; what is longer is passed over
_OPENINGS = (("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>"), ("<!", ">"))
_CDATA_END = "]]>"
# No part of a tag may hold "<" (XML 1.0 section 2.4), so that no search goes beyond the next one. All parts are possessive.
_TAG = re.compile(r"""<(/?)([A-Za-z_:][^\s/<>"']*+)((?:[^<>"']++|"[^"<]*+"|'[^'<]*+')*+)>""")
_TAG_START = re.compile(r"</?[A-Za-z_:]")
_REFERENCE = re.compile(r"&(?:#(\d{1,8}|[xX][0-9a-fA-F]{1,7})|[A-Za-z][A-Za-z0-9]{1,31});")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\0-\x08\x0e-\x1f\x7f]")


class Handler(Protocol):
    """Takes what is found. Names come in lower case and without their prefix, text with its character references."""

    def start(self, name: str, attributes: str) -> None: ...
    def end(self, name: str) -> None: ...
    def text(self, raw: str) -> None: ...


class XmlScanner:
    """Give `feed` the text in blocks, and True with the last. `broken` counts the places that are no XML. Never raises."""

    def __init__(self, handler: Handler) -> None:
        self.broken = 0
        self._handler = handler
        self._rest = ""  # a tag that is not complete yet
        self._until: str | None = None  # the end of a comment, a CDATA section or the like that is passed over

    def feed(self, block: str, *, last: bool = False) -> None:
        """Hand on what is complete, in order."""
        text, at = self._rest + block, 0
        self._rest = ""
        while at < len(text):
            if self._until is not None:
                at = self._inside(text, at, self._until)
                continue
            opening = text.find("<", at)
            if opening != at:
                self._handler.text(text[at : opening if opening >= 0 else len(text)])
            if opening < 0:
                return
            at = self._markup(text, opening, last)
        self.broken += last and self._until is not None

    def _inside(self, text: str, at: int, until: str) -> int:
        """Pass over a comment, or hand on a CDATA section; where the search goes on."""
        end = text.find(until, at)
        stop = end if end >= 0 else max(at, len(text) - len(until) + 1)
        if until == _CDATA_END:
            self._handler.text(text[at:stop].replace("&", "&amp;"))
        if end < 0:
            self._rest = text[stop:]
            return len(text)
        self._until = None
        return end + len(until)

    def _markup(self, text: str, at: int, last: bool) -> int:
        """Take what begins with the "<" at `at`; where the search goes on."""
        if tag := _TAG.match(text, at):
            name = tag[2].rpartition(":")[2].lower()
            if tag[1]:
                self._handler.end(name)
            else:
                self._handler.start(name, tag[3])
                if tag[3].endswith("/"):
                    self._handler.end(name)
            return tag.end()
        if not last and len(text) - at < LONGEST_TAG and text.find("<", at + 1) < 0:
            self._rest = text[at:]  # more may come
            return len(text)
        for opening, until in _OPENINGS:
            if text.startswith(opening, at):
                self._until = until
                return at + len(opening)
        self.broken += 1
        if _TAG_START.match(text, at) is None:
            self._handler.text("&lt;")
            return at + 1
        stop = text.find("<", at + 1)
        stop = len(text) if stop < 0 else stop
        end = text.find(">", at, stop)
        return end + 1 if end >= 0 else stop


def plain_text(raw: str) -> str:
    """Text as it was meant: references resolved, on one line, without control characters.

    A character beyond U+FFFF may be written as two references to its UTF-16 halves; a half alone becomes U+FFFD.
    """
    text = _REFERENCE.sub(_character, raw) if "&" in raw else raw
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return " ".join(_CONTROL.sub("", text).split())


def _character(reference: re.Match[str]) -> str:
    number = reference[1]
    if number is not None:
        code = int(number[1:], 16) if number[0] in "xX" else int(number)
        if 0xD800 <= code <= 0xDFFF:
            return chr(code)
    return unescape(reference[0])
