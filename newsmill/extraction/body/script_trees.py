"""A text that a script holds as a tree of JSON nodes: the content of editors (rich text), put in place by the browser.

Their dialects differ in names only: a list of block nodes, each with its words in strings under a few well-known keys, somewhere below it.
Nothing is run. Pure: a script's text in, lists of paragraphs out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from newsmill.model import BlockType

# keys that hold a node's words or the nodes below it: ProseMirror, Slate, Draft.js, Portable Text, Contentful, htmlparser2's and WordPress'
WORDS = frozenset(
    ("text", "data", "value", "content", "children", "nodes", "html", "innerhtml", "body", "spans", "items", "blocks", "model")
)
KIND = ("type", "nodeType", "_type", "style", "tag", "name", "tagName")  # keys that say what a node is
FEWEST = 3  # block nodes; a list of fewer is no text
LONGEST = 3_000  # characters of one paragraph; a longer item is an article in a list of articles
DEEP = 60  # levels of JSON; editors nest a dozen
MOST = 200_000  # values looked at in one script
_BEGIN = re.compile(r"[\[{]")
_HEADING = re.compile(r"^(?:h[1-6]|heading.*|sub(?:title|head).*|header-\w+)$", re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")
Paragraph = tuple[BlockType, str]


def texts_in(script: str) -> Iterator[list[Paragraph]]:
    """Every list of block nodes in the script's JSON (bare, or assigned to a name), as paragraphs; nothing for a script that holds none."""
    begin = _BEGIN.search(script)
    if begin is None:
        return
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(script, begin.start())
    except (json.JSONDecodeError, RecursionError):
        return
    for listed in _lists(value):
        paragraphs = [paragraph for node in listed if (paragraph := _paragraph(node)) is not None]
        if len(paragraphs) >= FEWEST:
            yield paragraphs


def _lists(value: Any) -> Iterator[list[Any]]:
    """Every list of objects, outer ones first; walked with a stack of its own, so that no nesting is too deep."""
    stack, seen = [(value, 0)], 0
    while stack and seen < MOST:
        here, depth = stack.pop()
        seen += 1
        if isinstance(here, list) and len(here) >= FEWEST and isinstance(here[0], dict):
            yield here
        if depth < DEEP and isinstance(here, (list, dict)):
            below = here if isinstance(here, list) else here.values()
            stack.extend((item, depth + 1) for item in below if isinstance(item, (list, dict)))


def _paragraph(node: Any) -> Paragraph | None:
    """One block node as text, or None for what is none: a picture, a whole article."""
    if not isinstance(node, dict):
        return None
    text = " ".join(_TAG.sub(" ", "".join(_strings(node, 0))).split())
    if not text or len(text) > LONGEST:
        return None
    says = [str(node[key]) for key in KIND if isinstance(node.get(key), str)]
    return BlockType.HEADING if any(map(_HEADING.match, says)) else BlockType.PARAGRAPH, text


def _strings(node: Any, depth: int) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, list) and depth < DEEP:
        for item in node:
            yield from _strings(item, depth + 1)
    elif isinstance(node, dict) and depth < DEEP:
        for key, item in node.items():
            if key.lower() in WORDS:
                yield from _strings(item, depth + 1)
