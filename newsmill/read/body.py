"""Tree → the blocks of the body. Written against trafilatura alone: each element of its result becomes one block, in page order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version

import trafilatura
from lxml import etree
from lxml.html import HtmlElement
from trafilatura.settings import Document

from newsmill.model import Block, BlockType
from newsmill.read.normalise import normalise

TRAFILATURA = f"trafilatura {version('trafilatura')}"
_TYPES = {
    "head": BlockType.HEADING,
    "list": BlockType.LIST,
    "quote": BlockType.QUOTE,
    "table": BlockType.TABLE,
    "code": BlockType.CODE,
    "fw": BlockType.HEADING,
}
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Body:
    """What the body layer found: every block it looked at, kept or removed, in page order."""

    blocks: tuple[Block, ...]
    extractor: str = TRAFILATURA
    warnings: tuple[str, ...] = ()
    confidence: float | None = None  # 0 to 1, where the layer can say


def body(tree: HtmlElement, url: str | None) -> Body:
    """The body's blocks with normalised text; `tree` is not changed. No text at all gives a Body without blocks.

    Raises RecursionError for trees that trafilatura cannot walk; the reader gives that its name.
    """
    found = trafilatura.bare_extraction(tree, url=url or None, include_comments=False, with_metadata=False)
    if not isinstance(found, Document) or found.body is None:
        return Body(())
    blocks = list(_blocks(found.body))
    headings = {normalise(h1.text_content()) for h1 in tree.iter("h1")}
    for index, block in enumerate(blocks[:3]):  # the headline is a field of its own; above the third block nothing else repeats it
        if block.type is BlockType.HEADING and block.text in headings:
            blocks[index] = replace(block, kept=False, layer="rules", reason="headline")
    return Body(tuple(blocks))


def _blocks(element: etree._Element) -> Iterator[Block]:
    for child in element:
        if child.tag in ("div", "body"):
            yield from _blocks(child)
        else:
            kind = _TYPES.get(str(child.tag), BlockType.PARAGRAPH)
            text = _rows(child) if kind in (BlockType.LIST, BlockType.TABLE) else _inline(child)
            for part in re.split(r"\n{2,}", normalise(text)) if kind is BlockType.PARAGRAPH else [normalise(text)]:
                if part:
                    yield Block(kind, part)
        if child.tail and child.tail.strip():
            yield Block(BlockType.PARAGRAPH, normalise(child.tail))


def _rows(element: etree._Element) -> str:
    """A list's items, or a table's rows with their cells apart by a bar, one a line."""
    lines = []
    for row in element.iter("item", "row"):
        cells = [" ".join(_inline(cell).split()) for cell in row.iter("cell")] or [" ".join(_inline(row).split())]
        lines.append(" | ".join(cell for cell in cells if cell))
    return "\n".join(line for line in lines if line) or _inline(element)


def _inline(element: etree._Element) -> str:
    """Text with `lb` as line break; a line break of the source is only white space."""
    parts = [_SPACE.sub(" ", element.text or "")]
    for child in element:
        parts.append("\n" if child.tag == "lb" else _inline(child) + ("\n\n" if child.tag in ("p", "head", "quote") else ""))
        parts.append(_SPACE.sub(" ", child.tail or ""))
    return "".join(parts)
