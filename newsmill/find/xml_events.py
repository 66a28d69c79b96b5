"""A linear scan of XML for its tags and texts, well-formed or not: no tree, no depth limit, no entity that the file declares.

A parser that gives up at an error loses all that follows; libxml2 does at a second root, a reference or a depth it does not take. Here an
error costs the tag it stands in: XML forbids "<" in attributes, so whatever is open ends where the next tag starts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

from newsmill.find.characters import decode


class Kind(Enum):
    START = auto()
    END = auto()
    TEXT = auto()  # references are not decoded yet
    CDATA = auto()


class Event(NamedTuple):
    """`text` is the tag's name as written, or the text; `attributes` is what stands behind the name of a start tag."""

    kind: Kind
    text: str
    attributes: str = ""


# A quote opens a value only after "=". All parts are possessive: only the rest of a tag behind a quote without an end is tried again.
_TAG = r"(?P<slash>/?)(?P<name>[A-Za-z_][A-Za-z0-9_.:-]*+)(?P<attributes>(?:[^<>=]++|=\s*+(?:\"[^\"<]*+\"|'[^'<]*+')?+)*+)>?"
_MARKUP = re.compile(rf"<(?:{_TAG}|(?P<other>!\[CDATA\[|!--|[!?]))")
_ATTRIBUTE = re.compile(r"([A-Za-z_][A-Za-z0-9_.:-]*+)\s*+=\s*+(\"[^\"]*+\"|'[^']*+'|[^\s\"'>]++)")
_ENDS = {"![CDATA[": re.compile(r"\]\]>"), "!--": re.compile(r"--\s*>"), "!": re.compile(">|(?=<)"), "?": re.compile(">")}


def events(xml: str) -> Iterator[Event]:
    """The tags and texts in order, in time proportional to the length. Never raises. An empty element gives START and END.

    Left out: comments, processing instructions and declarations. One that never ends is only its first characters.
    """
    at = 0
    endless: set[str] = set()
    while markup := _MARKUP.search(xml, at):
        if markup.start() > at:
            yield Event(Kind.TEXT, xml[at : markup.start()])
        at = markup.end()
        if other := markup["other"]:
            end = None if other in endless else _ENDS[other].search(xml, at)
            if end is None:
                endless.add(other)
                continue
            if other == "![CDATA[":
                yield Event(Kind.CDATA, xml[at : end.start()])
            at = end.end()
        elif markup["slash"]:
            yield Event(Kind.END, markup["name"])
        else:
            attributes = markup["attributes"]
            yield Event(Kind.START, markup["name"], attributes)
            if attributes.endswith("/"):
                yield Event(Kind.END, markup["name"])
    if at < len(xml):
        yield Event(Kind.TEXT, xml[at:])


def read_attributes(text: str) -> dict[str, str]:
    """The attributes of a start tag by lower-case name with references decoded; of two with one name the first counts."""
    values: dict[str, str] = {}
    for name, value in _ATTRIBUTE.findall(text):
        values.setdefault(name.lower(), decode(value[1:-1] if value[0] in "\"'" else value))
    return values
