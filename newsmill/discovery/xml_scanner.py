"""A linear scan of XML for its tags and texts, well-formed or not, whole or in blocks: no tree, no depth limit, no declared entity.

A parser that gives up at an error loses all that follows; libxml2 does at "a < b", an attribute without quotes or a second root. Here an
error costs the markup it stands in: XML forbids "<" in attributes, so an open tag ends where the next markup starts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto

from newsmill.discovery.characters import decode_references

MAX_TAG = 16 * 1024  # characters of one tag; what is longer is a cut tag, so that a block never waits for an end that may not come
MAX_SECTION = 256 * 1024  # characters of a CDATA section, declaration or instruction that the scanner holds until the end comes
MAX_BROKEN = 100_000  # places; a sitemap of nothing else would take minutes


class EventKind(Enum):
    """What an event is about."""

    START = auto()
    CUT_START = auto()  # a start tag without its ">"
    END = auto()
    TEXT = auto()  # with its references; one text may come in pieces
    CDATA = auto()


# The kind, the tag's name as written or the text, and what stands behind the name of a start tag.
Event = tuple[EventKind, str, str]

# A quote opens a value only after "=". All parts are possessive: only the rest of a tag behind a quote without an end is tried again.
_VALUE = r"\"[^\"<]*+\"|'[^'<]*+'|([\"'])"
_TAG = rf"(/?)([A-Za-z_:][A-Za-z0-9_.:-]*+)((?:[^<>=]++|=\s*+(?:{_VALUE})?+)*+)(>?)"
_MARKUP = re.compile(rf"<(?:{_TAG}|(!\[CDATA\[|!--|[!?]))")
_ATTRIBUTE = re.compile(r"([A-Za-z_][A-Za-z0-9_.:-]*+)\s*+=\s*+(\"[^\"]*+\"|'[^']*+'|[^\s\"'>]++)")
_CDATA = "![CDATA["
_COMMENT = "!--"
_ENDS = {_CDATA: re.compile(r"\]\]>"), _COMMENT: re.compile(r"--\s*+>"), "!": re.compile(">|(?=<)"), "?": re.compile(">")}
_LONGEST_OPENING = len("<![CDATA[")
_ENTRY = re.compile(r"<(?:[\w.-]{1,40}:)?(?:item|entry|url|sitemap)[\s/>]", re.I)


class XmlScanner:
    """Reads one file. `broken` counts the places that are not XML."""

    def __init__(self) -> None:
        self.broken = 0
        self._rest = ""  # markup that is not complete yet
        self._element = ""  # whose start tag was the last tag
        self._ends: dict[str, tuple[int, int]] = {}  # where the next section of each kind ends in the current text
        self._comment: list[str] = []  # what came since the start of a comment that has not ended yet
        self._dashes = ""  # the part of its end that the last piece ends with
        self._endless = False  # no comment ends from here on

    def feed(self, block: str, *, last: bool = False) -> Iterator[Event]:
        """The events that are complete, in order; `last` says that no more comes. Read all of them before the next block. Never raises.

        Takes time proportional to the length, and holds at most MAX_SECTION characters and a block, or an open comment: one that never
        ends is read as markup. The events do not depend on how the file is cut into blocks. An empty element gives START and END.
        Left out: comments, processing instructions and declarations.
        """
        if not self._comment:
            yield from self._scan(block, last)
        elif (after := self._skip_comment(block)) is not None:
            yield from self._scan(after, last)
        elif last:
            pieces, self._comment, self._endless = self._comment, [], True
            self.broken += 1
            while pieces and self.broken <= MAX_BROKEN:
                yield from self._scan(pieces.pop(0), last=not pieces)

    def _skip_comment(self, block: str) -> str | None:
        """What follows the open comment in this block; None where its end is still to come."""
        text = self._dashes + block
        if end := _ENDS[_COMMENT].search(text):
            self._comment, self._dashes = [], ""
            return text[end.end() :]
        self._comment.append(block)
        self._dashes = "--" if text.rstrip().endswith("--") else "-" if text.endswith("-") else ""
        return None

    def _scan(self, block: str, last: bool) -> Iterator[Event]:
        text, self._rest, self._ends = self._rest + block, "", {}
        if not last and (opening := text.find("<", max(len(text) - _LONGEST_OPENING + 1, 0))) >= 0:
            text, self._rest = text[:opening], text[opening:]  # which markup it opens is not known yet
        at = 0
        while markup := _MARKUP.search(text, at):
            start = markup.start()
            if start > at:
                between = text[at:start]
                self.broken += between.count("<")
                yield EventKind.TEXT, between, ""
            slash, name, attributes, quote, close, other = markup.groups()
            at = markup.end()
            if other is not None:
                section = self._section(text, at, other, last)
                if section is None and other == _COMMENT:
                    opened, self._rest, self._dashes = text[at:] + self._rest, "", ""
                    rest = self._skip_comment(opened)
                    if rest is not None:  # its end stands in what was put aside for the next block
                        yield from self._scan(rest, last)
                    return
                if section is None:
                    self._rest = text[start:] + self._rest
                    return
                stop, after = section
                if other == _CDATA and after > at:
                    yield EventKind.CDATA, text[at:stop], ""
                at = after
                continue
            if not close or quote or at - start > MAX_TAG:
                if not last and len(text) - start < MAX_TAG and text.find("<", start + 1) < 0:
                    self._rest = text[start:] + self._rest
                    return
                self.broken += 1
                if at - start > MAX_TAG and (cut := _MARKUP.match(text, start, start + MAX_TAG)):
                    _, name, attributes, _, close, _ = cut.groups()
                    at = cut.end()
            if slash:
                self._element = ""
                yield EventKind.END, name, ""
                continue
            self._element = name
            yield EventKind.START if close else EventKind.CUT_START, name, attributes
            if attributes.endswith("/"):
                self._element = ""
                yield EventKind.END, name, ""
        if at < len(text):
            self.broken += text.count("<", at)
            yield EventKind.TEXT, text[at:], ""

    def _section(self, text: str, at: int, kind: str, last: bool) -> tuple[int, int] | None:
        """Where the section that opens before `at` stops and where the scan goes on; None if that depends on the next block.

        A section without an end is read as if its opening were not there. A CDATA section that opens before the end of another is a part
        of it, unless the other one has lost its end.
        """
        if kind not in self._ends or self._ends[kind][0] < at:
            found = _ENDS[kind].search(text, at)
            self._ends[kind] = found.span() if found else (len(text), len(text) + MAX_SECTION + 1)
        stop, after = self._ends[kind]
        if kind == _COMMENT:
            if after <= len(text):
                return stop, after
            if not last and not self._endless:
                return None
            self.broken += 1
            return at, at
        is_closed = after - at <= MAX_SECTION
        if not is_closed and not last and len(text) - at < MAX_SECTION:
            return None
        if kind == _CDATA:
            inner = text.find("<![CDATA[", at, min(stop, at + MAX_SECTION))
            if inner >= 0:
                stop, after, is_closed = inner, inner, True
            is_closed = is_closed and not self._has_lost_end(text, at, stop, is_nested=inner >= 0)
        if is_closed:
            return stop, after
        self.broken += 1
        return at, at

    def _has_lost_end(self, text: str, start: int, stop: int, *, is_nested: bool) -> bool:
        """Whether a CDATA section goes too far: over the end of its element and an entry, or over one of them to another section."""
        end = text.find(f"</{self._element}", start, stop) if self._element else -1
        if is_nested:
            return end >= 0 or _ENTRY.search(text, start, stop) is not None
        return end >= 0 and _ENTRY.search(text, end, stop) is not None


def read_attributes(text: str) -> dict[str, str]:
    """The attributes of a start tag by lower-case name with references decoded; of two with one name the first counts."""
    values: dict[str, str] = {}
    for name, value in _ATTRIBUTE.findall(text):
        values.setdefault(name.lower(), decode_references(value[1:-1] if value[0] in "\"'" else value))
    return values
