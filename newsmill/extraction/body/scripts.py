"""Text that a page has only in a script for the browser to display. The extraction runs no script.

A string of a script is text if it holds enough prose, as HTML or plain text, and shares words with the page's title.
The title check matters because a page's state also holds other articles, dialogues and code.
The search includes strings inside strings, because frameworks put JSON into JSON.

Rich-text editors store a tree of JSON nodes instead. Their formats differ only in names.
Each has a list of block nodes, with the words in strings under a few well-known keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from lxml.html import HtmlElement

from newsmill.extraction.body.align import HALF
from newsmill.extraction.body.block_walk import segment
from newsmill.extraction.body.blocks import Layout, TextBlock, split_words
from newsmill.extraction.body.layout_stats import MIN_PROSE_WORDS
from newsmill.extraction.body.markup import MarkupReader
from newsmill.extraction.class_words import find_class_groups
from newsmill.extraction.html import parse_html
from newsmill.extraction.normalise import normalise
from newsmill.model import Block, BlockType
from newsmill.text.finite_json import DECODER

LAYER, REASON = "script", "stands in a script only"
MIN_STRING_CHARACTERS = 300  # characters; a string with a text is longer, and most strings of a script are shorter
MIN_SCRIPT_TEXT_WORDS = 60  # words of prose; a shorter text is a teaser or a dialogue
MAX_NESTED_STRINGS = 3  # levels of strings inside strings; two are common (a framework's stream of JSON), more were not observed
MAX_SCRIPT_CHARACTERS = 2_000_000  # characters read of one script; the largest observed state had 1.1 million
MIN_INDEX_TEXTS = 3  # long texts in a search index; the state of one article has its text, and maybe a teaser or two
INDEX_WORDS = 8  # consecutive words that identify the displayed text in a script
MIN_NODES = 3  # block nodes; a list of fewer is not a text
MAX_PARAGRAPH_CHARACTERS = 3_000  # characters of one paragraph; a longer item is an article in a list of articles
MAX_JSON_LEVELS = 60  # levels of JSON; editors nest about 12
MAX_JSON_VALUES = 200_000  # values read in one script
# Keys for a node's words or child nodes in ProseMirror, Slate, Draft.js, Portable Text, Contentful, htmlparser2 and WordPress.
TEXT_KEYS = frozenset(
    ("text", "data", "value", "content", "children", "nodes", "html", "innerhtml", "body", "spans", "items", "blocks", "model")
)
TYPE_KEYS = ("type", "nodeType", "_type", "style", "tag", "name", "tagName")  # keys that name a node's type
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"')  # possessive, so that any script takes one pass
_BLOCK_MARKUP = re.compile(r"</?(?:p|br|div|h[1-6]|li)\b", re.IGNORECASE)
# A placeholder for an advertisement: "$$AD$$", "{{ad}}".
_AD_PLACEHOLDER = re.compile(r"^(?:\$\$|\{\{|\[\[|%%|##)[^\n]{0,60}(?:\$\$|\}\}|\]\]|%%|##)$")
_CODE = re.compile(r"[{};=<>\\]|\$\w")
_JSON_START = re.compile(r"[\[{]")
_HEADING_NAME = re.compile(r"^(?:h[1-6]|heading.*|sub(?:title|head).*|header-\w+)$", re.IGNORECASE)
_HTML_TAG = re.compile(r"<[^>]*>")
_CAPTION_BIT = find_class_groups("caption")
Paragraph = tuple[BlockType, str]


def find_script_blocks(tree: HtmlElement, title: str, shown: str = "") -> tuple[Block, ...]:
    """Return the blocks of the longest text in the page's scripts. The result is empty if no text is about the title.

    `shown` is the longest text that the page displays. A script that has it among many texts is the search index of the site, and its other
    texts are other articles.
    """
    scripts = [(script.text or "")[:MAX_SCRIPT_CHARACTERS] for script in tree.iter("script")]
    scripts = [script for script in scripts if not _is_search_index(script, shown)]
    texts = [text for script in scripts for text in _find_string_texts(script, title, MAX_NESTED_STRINGS)]
    if not texts:
        return _find_tree_blocks(scripts, title)
    best = max(texts, key=_count_prose)  # the first one of equal length
    return tuple(_make_block(block) for block in best.blocks if block.link < HALF * len(block.text) and _is_text_line(block.text))


def _is_search_index(script: str, shown: str) -> bool:
    """Return whether a script has the displayed text in a short string, and at least MIN_INDEX_TEXTS long strings of prose beside it."""
    words = split_words(shown)[:INDEX_WORDS]
    if len(words) < INDEX_WORDS:
        return False
    is_shown = re.compile(r"\W{1,9}".join(map(re.escape, words)), re.IGNORECASE)
    strings = [found.group() for found in _STRING.finditer(script)]
    holders = [string for string in strings if is_shown.search(string)]
    if not holders or any(len(string) >= 2 * len(shown) for string in holders):
        return False
    long = (string[1:-1] for string in strings if len(string) >= MIN_STRING_CHARACTERS)
    texts = (string for string in long if _count_prose(_segment_string(string)) >= MIN_SCRIPT_TEXT_WORDS)
    return len([*islice(texts, MIN_INDEX_TEXTS)]) == MIN_INDEX_TEXTS


def _find_string_texts(script: str, title: str, depth: int) -> Iterator[Layout]:
    """Yield the long strings of a script that are texts about the title. A string that contains such strings is not itself a text."""
    for found in _STRING.finditer(script):
        if found.end() - found.start() < MIN_STRING_CHARACTERS:
            continue
        try:
            string = json.loads(found.group(), strict=False)
        except json.JSONDecodeError:
            continue
        inner = list(_find_string_texts(string, title, depth - 1)) if depth > 1 and '"' in string else []
        if inner:
            yield from inner
        else:
            layout = _segment_string(string)
            if _count_prose(layout) >= MIN_SCRIPT_TEXT_WORDS and _is_about_title(layout, title):
                yield layout


def _segment_string(string: str) -> Layout:
    """Return the string as blocks: HTML like a page, plain text by line. Code gives no blocks."""
    if not _BLOCK_MARKUP.search(string):
        if len(_CODE.findall(string)) * 50 > len(string):
            return Layout()
        string = "".join(f"<p>{line}</p>" for line in string.replace("&", "&amp;").replace("<", "&lt;").split("\n"))
    tree = parse_html(f"<html><body>{string}</body></html>").tree  # untrusted like a page, so the same limits on attributes and depth apply
    return Layout() if tree is None else segment(tree)


def _count_prose(layout: Layout) -> int:
    return sum(len(block.words) for block in layout.blocks if len(block.words) >= MIN_PROSE_WORDS)


def _is_about_title(layout: Layout, title: str) -> bool:
    """Return True if the text contains at least half of the title's words."""
    wanted = set(split_words(title))
    return bool(wanted) and len(wanted & {word for block in layout.blocks for word in block.words}) >= HALF * len(wanted)


def _make_block(block: TextBlock) -> Block:
    kind, text = _choose_type(block), normalise(block.text)
    return Block(kind, text, layer=LAYER, reason=REASON, markup=MarkupReader().read([block], kind, text))


def _choose_type(block: TextBlock) -> BlockType:
    """Return the type from the element. The names of the box and its parent also decide on captions, because no model evaluates scripts."""
    named = find_class_groups(block.box.names) | (find_class_groups(block.box.parent.names) if block.box.parent else 0)
    return BlockType.CAPTION if named & _CAPTION_BIT and block.type is BlockType.PARAGRAPH else block.type


def _is_text_line(text: str) -> bool:
    """Return False for an empty line or a placeholder for an advertisement."""
    return not _AD_PLACEHOLDER.match(text) and bool(normalise(text))


def _find_tree_blocks(scripts: list[str], title: str) -> tuple[Block, ...]:
    """Return the blocks of the longest text in trees of JSON nodes, for scripts in which no single string is a text."""
    wanted = set(split_words(title))
    best: list[Paragraph] = []
    for found in (found for script in scripts for found in find_node_texts(script)):
        known = {word for _, text in found for word in split_words(text)}
        if (
            wanted
            and len(wanted & known) >= HALF * len(wanted)
            and _count_paragraph_prose(found) > max(MIN_SCRIPT_TEXT_WORDS - 1, _count_paragraph_prose(best))
        ):
            best = found
    return _make_blocks(best)


def _count_paragraph_prose(paragraphs: list[Paragraph]) -> int:
    return sum(count for _, text in paragraphs if (count := len(split_words(text))) >= MIN_PROSE_WORDS)


def _make_blocks(paragraphs: Iterable[Paragraph]) -> tuple[Block, ...]:
    return tuple(Block(kind, normalise(text), layer=LAYER, reason=REASON) for kind, text in paragraphs if _is_text_line(text))


def find_node_texts(script: str) -> Iterator[list[Paragraph]]:
    """Yield the paragraphs of each list of block nodes in the script's JSON, bare or assigned to a name. Invalid JSON yields nothing."""
    begin = _JSON_START.search(script)
    if begin is None:
        return
    try:
        value, _ = DECODER.raw_decode(script, begin.start())
    except (json.JSONDecodeError, RecursionError):
        return
    for listed in _find_object_lists(value):
        paragraphs = [paragraph for node in listed if (paragraph := _read_paragraph(node)) is not None]
        if len(paragraphs) >= MIN_NODES:
            yield paragraphs


def _find_object_lists(value: Any) -> Iterator[list[Any]]:
    """Yield every list of objects, outer ones first. A list of pending values allows any nesting."""
    pending, seen = [(value, 0)], 0
    while pending and seen < MAX_JSON_VALUES:
        here, depth = pending.pop()
        seen += 1
        if isinstance(here, list) and len(here) >= MIN_NODES and isinstance(here[0], dict):
            yield here
        if depth < MAX_JSON_LEVELS and isinstance(here, (list, dict)):
            below = here if isinstance(here, list) else here.values()
            pending.extend((item, depth + 1) for item in below if isinstance(item, (list, dict)))


def _read_paragraph(node: Any) -> Paragraph | None:
    """Return one block node as a paragraph, or None for other nodes such as a picture or a whole article."""
    if not isinstance(node, dict):
        return None
    text = " ".join(_HTML_TAG.sub(" ", "".join(_list_strings(node, 0))).split())
    if not text or len(text) > MAX_PARAGRAPH_CHARACTERS:
        return None
    type_names = [str(node[key]) for key in TYPE_KEYS if isinstance(node.get(key), str)]
    return BlockType.HEADING if any(map(_HEADING_NAME.match, type_names)) else BlockType.PARAGRAPH, text


def _list_strings(node: Any, depth: int) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, list) and depth < MAX_JSON_LEVELS:
        for item in node:
            yield from _list_strings(item, depth + 1)
    elif isinstance(node, dict) and depth < MAX_JSON_LEVELS:
        for key, item in node.items():
            if key.lower() in TEXT_KEYS:
                yield from _list_strings(item, depth + 1)
