"""Picture galleries: pages whose text stands in the captions. Pure: blocks in, blocks out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from newsmill.extraction.normalise import count_words
from newsmill.model import Block, BlockType

MIN_CAPTIONS = 5  # kept captions; an article with fewer is an illustrated one


def convert_captions(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """The same blocks; in a gallery, where the kept captions have more words than the other kept blocks, captions become paragraphs.

    A caption beside a text describes a picture and is no part of the text; in a gallery the captions are the text.
    """
    captions = [block for block in blocks if block.kept and block.type is BlockType.CAPTION]
    if len(captions) < MIN_CAPTIONS:
        return tuple(blocks)
    others = sum(count_words(block.text) for block in blocks if block.kept and block.type is not BlockType.CAPTION)
    if sum(count_words(block.text) for block in captions) <= others:
        return tuple(blocks)
    in_gallery = {id(block) for block in captions}
    return tuple(replace(block, type=BlockType.PARAGRAPH) if id(block) in in_gallery else block for block in blocks)
