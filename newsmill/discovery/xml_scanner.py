"""A linear scan of XML for its tags, texts and characters, well-formed or not, whole or in blocks.

The scan needs no tree and no depth limit, and expands no declared entity.
Feeds and sitemaps are often damaged: feedparser and libxml2 lose everything behind an error, here an error costs the tag that contains it.
`python -m pytest tests/conformance/test_feeds.py` compares the entries with those of feedparser, tests/growth measures the linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto

from newsmill.discovery.xml_characters import decode_references

MAX_TAG_CHARACTERS = 16 * 1024  # a longer tag is cut, so that a block never waits for an end that may not come
MAX_SECTION_CHARACTERS = 256 * 1024  # of a CDATA section, declaration or instruction that is held until its end
MAX_BROKEN_PLACES = 100_000  # a sitemap with more of them would take minutes


class EventKind(Enum):
    """The kind of an event."""

    START = auto()
    CUT_START = auto()  # a start tag without its ">"
    END = auto()
    TEXT = auto()  # with its references; one text may come in pieces
    CDATA = auto()


# The kind, the tag's name as written or the text, and the undecoded attributes of a start tag.
Event = tuple[EventKind, str, str]

# A quote opens a value only after "=". XML forbids "<" in attributes, so an open tag ends where the next markup starts.
# All parts are possessive: only the rest of a tag behind an unclosed quote is tried again.
_VALUE = r"\"[^\"<]*+\"|'[^'<]*+'|([\"'])"
_TAG = rf"(/?)([A-Za-z_:][A-Za-z0-9_.:-]*+)((?:[^<>=]++|=\s*+(?:{_VALUE})?+)*+)(>?)"
_MARKUP = re.compile(rf"<(?:{_TAG}|(!\[CDATA\[|!--|[!?]))")
_ATTRIBUTE = re.compile(r"([A-Za-z_][A-Za-z0-9_.:-]*+)\s*+=\s*+(\"[^\"]*+\"|'[^']*+'|[^\s\"'>]++)")
_CDATA = "![CDATA["
_COMMENT = "!--"
_SECTION_ENDS = {_CDATA: re.compile(r"\]\]>"), _COMMENT: re.compile(r"--\s*+>"), "!": re.compile(">|(?=<)"), "?": re.compile(">")}
_MAX_OPENING_CHARACTERS = len("<![CDATA[")
_ENTRY = re.compile(r"<(?:[\w.-]{1,40}:)?(?:item|entry|url|sitemap)[\s/>]", re.I)


class XmlScanner:
    """Scans one file. `broken` counts the places where it is not XML."""

    def __init__(self) -> None:
        self.broken = 0
        self._rest = ""  # incomplete markup
        self._element = ""  # the name in the last tag if that was a start tag
        self._ends: dict[str, tuple[int, int]] = {}  # where the next section of each kind ends in the current text
        self._comment: list[str] = []  # the text since the start of an open comment
        self._dash_tail = ""  # the part of "-->" at the end of the last piece
        self._has_endless_comment = False  # no comment ends from here on

    def feed(self, block: str, *, last: bool = False) -> Iterator[Event]:
        """The complete events, in order; `last` marks the last block. Read all events before the next block. Never raises.

        Takes time proportional to the length. Holds at most MAX_SECTION_CHARACTERS and a block, or an open comment; a comment without an
        end is read as markup. The events do not depend on the size of the blocks. An empty element gives START and END.
        Comments, processing instructions and declarations give no event.
        """
        if not self._comment:
            yield from self._scan(block, last)
        elif (after := self._skip_comment(block)) is not None:
            yield from self._scan(after, last)
        elif last:
            pieces, self._comment, self._has_endless_comment = self._comment, [], True
            self.broken += 1
            while pieces and self.broken <= MAX_BROKEN_PLACES:
                yield from self._scan(pieces.pop(0), last=not pieces)

    def _skip_comment(self, block: str) -> str | None:
        """The rest of this block behind the open comment; None if the comment does not end in it."""
        text = self._dash_tail + block
        if end := _SECTION_ENDS[_COMMENT].search(text):
            self._comment, self._dash_tail = [], ""
            return text[end.end() :]
        self._comment.append(block)
        self._dash_tail = "--" if text.rstrip().endswith("--") else "-" if text.endswith("-") else ""
        return None

    def _scan(self, block: str, last: bool) -> Iterator[Event]:
        text, self._rest, self._ends = self._rest + block, "", {}
        if not last and (tag_start := text.find("<", max(len(text) - _MAX_OPENING_CHARACTERS + 1, 0))) >= 0:
            text, self._rest = text[:tag_start], text[tag_start:]  # the next block tells which markup it opens
        at = 0
        while markup := _MARKUP.search(text, at):
            start = markup.start()
            if start > at:
                between = text[at:start]
                self.broken += between.count("<")
                yield EventKind.TEXT, between, ""
            slash, name, attributes, quote, close, section_start = markup.groups()
            at = markup.end()
            if section_start is not None:
                section = self._find_section_end(text, at, section_start, last)
                if section is None and section_start == _COMMENT:
                    opened, self._rest, self._dash_tail = text[at:] + self._rest, "", ""
                    rest = self._skip_comment(opened)
                    if rest is not None:  # its end is in the text held for the next block
                        yield from self._scan(rest, last)
                    return
                if section is None:
                    self._rest = text[start:] + self._rest
                    return
                stop, after = section
                if section_start == _CDATA and after > at:
                    yield EventKind.CDATA, text[at:stop], ""
                at = after
                continue
            if not close or quote or at - start > MAX_TAG_CHARACTERS:
                if not last and len(text) - start < MAX_TAG_CHARACTERS and text.find("<", start + 1) < 0:
                    self._rest = text[start:] + self._rest
                    return
                self.broken += 1
                if at - start > MAX_TAG_CHARACTERS and (cut := _MARKUP.match(text, start, start + MAX_TAG_CHARACTERS)):
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

    def _find_section_end(self, text: str, at: int, kind: str, last: bool) -> tuple[int, int] | None:
        """Where the section that opens before `at` stops and where the scan continues; None if that depends on the next block.

        The start of a section without an end is ignored. A CDATA section that opens inside another one is part of it, unless the outer
        one has lost its end.
        """
        if kind not in self._ends or self._ends[kind][0] < at:
            match = _SECTION_ENDS[kind].search(text, at)
            self._ends[kind] = match.span() if match else (len(text), len(text) + MAX_SECTION_CHARACTERS + 1)
        stop, after = self._ends[kind]
        if kind == _COMMENT:
            if after <= len(text):
                return stop, after
            if not last and not self._has_endless_comment:
                return None
            self.broken += 1
            return at, at
        is_closed = after - at <= MAX_SECTION_CHARACTERS
        if not is_closed and not last and len(text) - at < MAX_SECTION_CHARACTERS:
            return None
        if kind == _CDATA:
            inner = text.find("<![CDATA[", at, min(stop, at + MAX_SECTION_CHARACTERS))
            if inner >= 0:
                stop, after, is_closed = inner, inner, True
            is_closed = is_closed and not self._has_lost_end(text, at, stop, is_nested=inner >= 0)
        if is_closed:
            return stop, after
        self.broken += 1
        return at, at

    def _has_lost_end(self, text: str, start: int, stop: int, *, is_nested: bool) -> bool:
        """Whether a CDATA section lost its end: it spans the end of its element and an entry, or one of them and another section."""
        end = text.find(f"</{self._element}", start, stop) if self._element else -1
        if is_nested:
            return end >= 0 or _ENTRY.search(text, start, stop) is not None
        return end >= 0 and _ENTRY.search(text, end, stop) is not None


def read_attributes(text: str) -> dict[str, str]:
    """The attributes of a start tag by lower-case name, with references decoded. Of two with one name, the first counts."""
    values: dict[str, str] = {}
    for name, value in _ATTRIBUTE.findall(text):
        values.setdefault(name.lower(), decode_references(value[1:-1] if value[0] in "\"'" else value))
    return values
