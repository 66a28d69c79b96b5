"""The type of a block, and the blocks of one list or table as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from newsmill.extraction.body.blocks import TextBlock
from newsmill.extraction.body.markup import LIST_TAGS
from newsmill.extraction.normalise import count_words, normalise
from newsmill.model import Block, BlockType

MIN_PROSE_CELL_WORDS = 30  # words; a table cell with at least as many is a paragraph of a page laid out with tables
_GROUP_TAGS = {BlockType.LIST: LIST_TAGS, BlockType.TABLE: frozenset(("table",))}
MIN_GALLERY_CAPTIONS = 5  # kept captions; a page with fewer is an illustrated article


def find_group(block: TextBlock) -> int:
    """Return the index of the list or table that makes one block of its adjacent kept members; otherwise a unique negative number."""
    tags = _GROUP_TAGS.get(choose_type(block), frozenset())
    return next((box.index for box in block.box.ancestors() if box.tag in tags), -1 - block.index)


def choose_type(block: TextBlock) -> BlockType:
    """Return the type of the block in a body."""
    kind = block.type
    return BlockType.PARAGRAPH if kind is BlockType.TABLE and len(block.words) >= MIN_PROSE_CELL_WORDS else kind


def join_members(members: Sequence[TextBlock]) -> str:
    """Return the normalised text of one block: a paragraph, or one line per list item or table row."""
    rows = groupby(members, key=_find_row) if choose_type(members[0]) is BlockType.TABLE else ((0, [member]) for member in members)
    return normalise("\n".join(" | ".join(block.text for block in row) for _, row in rows))


def _find_row(block: TextBlock) -> int:
    return next((box.index for box in block.box.ancestors() if box.tag == "tr"), -1 - block.index)


def convert_captions(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Return the same blocks, with captions as paragraphs if the page is a gallery.

    A page is a gallery if its kept captions have more words than its other kept blocks.
    In an article a caption describes a picture and is not part of the text. In a gallery the captions are the text.
    """
    captions = [block for block in blocks if block.kept and block.type is BlockType.CAPTION]
    if len(captions) < MIN_GALLERY_CAPTIONS:
        return tuple(blocks)
    others = sum(count_words(block.text) for block in blocks if block.kept and block.type is not BlockType.CAPTION)
    if sum(count_words(block.text) for block in captions) <= others:
        return tuple(blocks)
    in_gallery = {id(block) for block in captions}
    return tuple(replace(block, type=BlockType.PARAGRAPH) if id(block) in in_gallery else block for block in blocks)
