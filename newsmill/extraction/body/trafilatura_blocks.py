"""trafilatura's own result as blocks: for pages whose text stands in no block of the page. Each element of the result becomes one block."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from newsmill.extraction.normalise import normalise
from newsmill.model import Block, BlockType

_TYPES = {
    "head": BlockType.HEADING,
    "list": BlockType.LIST,
    "quote": BlockType.QUOTE,
    "table": BlockType.TABLE,
    "code": BlockType.CODE,
    "fw": BlockType.HEADING,
}
_SPACE = re.compile(r"\s+")


def blocks_of(element: etree._Element) -> Iterator[Block]:
    """The blocks of trafilatura's body element, in its order, with normalised text. Raises RecursionError for a tree too deep to walk."""
    for child in element:
        if child.tag in ("div", "body"):
            yield from blocks_of(child)
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
