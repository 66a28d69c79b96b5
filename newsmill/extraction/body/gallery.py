"""Picture galleries: pages whose text is in the captions. Input and output: blocks.

The functions have no side effects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from newsmill.extraction.normalise import count_words
from newsmill.model import Block, BlockType

MIN_CAPTIONS = 5  # kept captions; a page with fewer is an illustrated article


def convert_captions(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Return the same blocks, with captions as paragraphs if the page is a gallery.

    A page is a gallery if its kept captions have more words than its other kept blocks.
    In an article a caption describes a picture and is not part of the text. In a gallery the captions are the text.
    """
    captions = [block for block in blocks if block.kept and block.type is BlockType.CAPTION]
    if len(captions) < MIN_CAPTIONS:
        return tuple(blocks)
    others = sum(count_words(block.text) for block in blocks if block.kept and block.type is not BlockType.CAPTION)
    if sum(count_words(block.text) for block in captions) <= others:
        return tuple(blocks)
    in_gallery = {id(block) for block in captions}
    return tuple(replace(block, type=BlockType.PARAGRAPH) if id(block) in in_gallery else block for block in blocks)
