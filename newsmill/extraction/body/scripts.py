"""Text that a page carries only in a script, for its browser to put in place: found among the script's strings.

Nothing is run. A string is text when it holds enough prose, as HTML or plain, and speaks of what the page's title says: a page's state also
holds other articles, dialogues and code. Strings inside strings are looked into as well (frameworks put JSON into JSON).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from lxml.html import HtmlElement

from newsmill.extraction.body.align import HALF
from newsmill.extraction.body.blocks import Layout, TextBlock, segment, words
from newsmill.extraction.body.class_words import groups
from newsmill.extraction.body.markup import MarkupReader
from newsmill.extraction.body.script_trees import Paragraph, texts_in
from newsmill.extraction.html import parse
from newsmill.extraction.normalise import normalise
from newsmill.extraction.page_stats import PROSE
from newsmill.model import Block, BlockType

LONG = 300  # characters; a string with a text in it is longer, and most of a script's strings are shorter
ENOUGH = 60  # words of prose; less is a teaser or a dialogue
DEEP = 3  # strings inside strings: two are common (a framework's stream of JSON), more were not seen
MOST = 2_000_000  # characters of one script that are looked at; the largest state seen had 1.1 million
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"')  # possessive: one pass, whatever the script holds
_MARKUP = re.compile(r"</?(?:p|br|div|h[1-6]|li)\b", re.IGNORECASE)
_GAP = re.compile(
    r"^(?:\$\$|\{\{|\[\[|%%|##)[^\n]{0,60}(?:\$\$|\}\}|\]\]|%%|##)$"
)  # where a program puts an advertisement: "$$AD$$", "{{ad}}"
_CAPTION = groups("caption")
LAYER, REASON = "script", "stands in a script only"
_CODE = re.compile(r"[{};=<>\\]|\$\w")


def blocks_in_scripts(tree: HtmlElement, title: str) -> tuple[Block, ...]:
    """The blocks of the longest text among the strings of the page's scripts; none where no string is a text about the title."""
    scripts = [(script.text or "")[:MOST] for script in tree.iter("script")]
    texts = [text for script in scripts for text in _texts(script, title, DEEP)]
    if not texts:
        return _from_trees(scripts, title)
    best = max(texts, key=_prose)  # the first of equals
    return tuple(_with_markup(block) for block in best.blocks if block.link < HALF * len(block.text) and _says(block.text))


def _with_markup(block: TextBlock) -> Block:
    kind, text = _type(block), normalise(block.text)
    return Block(kind, text, layer=LAYER, reason=REASON, markup=MarkupReader().read([block], kind, text))


def _says(text: str) -> bool:
    """Whether a line says something: not where a program puts an advertisement."""
    return not _GAP.match(text) and bool(normalise(text))


def _told(paragraphs: Iterable[Paragraph]) -> tuple[Block, ...]:
    return tuple(Block(kind, normalise(text), layer=LAYER, reason=REASON) for kind, text in paragraphs if _says(text))


def _type(block: TextBlock) -> BlockType:
    """By its element; a caption also by what it or the box around it calls itself, for no model looks at a script."""
    named = groups(block.box.names) | (groups(block.box.parent.names) if block.box.parent else 0)
    return BlockType.CAPTION if named & _CAPTION and block.type is BlockType.PARAGRAPH else block.type


def _from_trees(scripts: list[str], title: str) -> tuple[Block, ...]:
    """The same from trees of nodes, where no single string is a text."""
    wanted = set(words(title))
    best: list[Paragraph] = []
    for found in (found for script in scripts for found in texts_in(script)):
        known = {word for _, text in found for word in words(text)}
        if wanted and len(wanted & known) >= HALF * len(wanted) and _prose_of(found) > max(ENOUGH - 1, _prose_of(best)):
            best = found
    return _told(best)


def _prose_of(paragraphs: list[Paragraph]) -> int:
    return sum(count for _, text in paragraphs if (count := len(words(text))) >= PROSE)


def _texts(script: str, title: str, depth: int) -> Iterator[Layout]:
    """The long strings of a script that are texts about the title. A string that holds such strings is a container, not a text."""
    for found in _STRING.finditer(script):
        if found.end() - found.start() < LONG:
            continue
        try:
            string = json.loads(found.group(), strict=False)
        except json.JSONDecodeError:
            continue
        inner = list(_texts(string, title, depth - 1)) if depth > 1 and '"' in string else []
        if inner:
            yield from inner
        else:
            layout = _layout(string)
            if _prose(layout) >= ENOUGH and _about(layout, title):
                yield layout


def _prose(layout: Layout) -> int:
    return sum(len(block.words) for block in layout.blocks if len(block.words) >= PROSE)


def _layout(string: str) -> Layout:
    """The string as blocks: HTML as it is cut on a page, plain text by its lines; nothing of code."""
    if not _MARKUP.search(string):
        if len(_CODE.findall(string)) * 50 > len(string):
            return Layout()
        string = "".join(f"<p>{line}</p>" for line in string.replace("&", "&amp;").replace("<", "&lt;").split("\n"))
    tree = parse(f"<html><body>{string}</body></html>").tree  # as hostile as a page: the same caps on attributes and depth
    return Layout() if tree is None else segment(tree)


def _about(layout: Layout, title: str) -> bool:
    """True when the text holds at least half of the title's words."""
    wanted = set(words(title))
    return bool(wanted) and len(wanted & {word for block in layout.blocks for word in block.words}) >= HALF * len(wanted)
