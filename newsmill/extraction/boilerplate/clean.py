"""The rules layer: what ends a body without being part of it (source credits, sign-up and share lines), and an operator's own rules.

Generic rules look only at the last few lines of the body, because only there a short line out of the prose is a footer rather than a
heading, a list or a quotation. Each removed piece becomes a block of its own that says which rule took it. Pure: blocks in, blocks out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from newsmill.extraction.body.markup import with_text
from newsmill.extraction.boilerplate import trailing_lines
from newsmill.model import Block, BlockType

LAYER = "rules"
TAIL_BLOCKS = 3  # kept blocks at the end of the body that the generic rules may look at
TAIL_LINES = 8  # lines taken off at most; a footer of more lines is a text
ENDING = 500  # characters of a body's end that show whether it was cut off by a paywall
_TAIL_TYPES = (BlockType.PARAGRAPH, BlockType.HEADING, BlockType.QUOTE, BlockType.LIST, BlockType.TABLE)


def clean(blocks: Sequence[Block], drop_lines: Sequence[str] = ()) -> tuple[Block, ...]:
    """The same blocks in the same order, with what the rules remove marked `layer="rules"` and a reason; a block may be split in two."""
    blocks = _operator_lines(blocks, drop_lines) if drop_lines else list(blocks)
    tail = [index for index, block in enumerate(blocks) if block.kept and block.type in _TAIL_TYPES][-TAIL_BLOCKS:]
    pieces = _cut_tail([blocks[index] for index in tail])
    for index, piece in reversed(list(zip(tail, pieces, strict=True))):
        blocks[index : index + 1] = piece
    return tuple(blocks)


def ending(blocks: Sequence[Block]) -> str:
    """How the body ended before the rules: what is kept and what they removed. A paywall's sentence is among the latter."""
    return "\n".join(block.text for block in blocks if block.kept or block.layer == LAYER)[-ENDING:]


def _operator_lines(blocks: Sequence[Block], patterns: Sequence[str]) -> list[Block]:
    """Every line that one of the source's own expressions matches whole. A broken expression is refused where the source is read."""
    rules = [(pattern, re.compile(pattern)) for pattern in patterns]

    def taken_by(line: str) -> str | None:
        return next((f"drop_lines {pattern}" for pattern, rule in rules if rule.fullmatch(line.strip())), None)

    return [piece for block in blocks for piece in (_split_lines(block, taken_by) if block.kept else [block])]


def _split_lines(block: Block, taken_by: Callable[[str], str | None]) -> list[Block]:
    """The block in runs of lines: kept ones as they are, taken ones marked with their reason."""
    runs: list[tuple[str | None, list[str]]] = []
    for line in block.text.split("\n"):
        reason = taken_by(line)
        if not runs or runs[-1][0] != reason:
            runs.append((reason, []))
        runs[-1][1].append(line)
    pieces, start = [], 0
    for reason, lines in runs:
        text = "\n".join(lines)
        pieces.append(with_text(block, text, start) if reason is None else _removed(block, text, reason))
        start += len(text) + 1
    return pieces


def _removed(block: Block, text: str, reason: str) -> Block:
    return replace(block, text=text, kept=False, layer=LAYER, reason=reason, markup=None)


def _cut_tail(tail: list[Block]) -> list[list[Block]]:
    """The last blocks, each as the pieces it falls into. Stops at the first line, from the end, that no rule knows."""
    pieces: list[list[Block]] = [[block] for block in tail]
    lines_left = TAIL_LINES
    for at in range(len(tail) - 1, -1, -1):
        block = tail[at]
        if "\n" in block.text and trailing_lines.is_most_read(block.text):
            pieces[at] = [_removed(block, block.text, "list of other articles")]
            continue
        lines = block.text.split("\n")
        removed: list[Block] = []
        while lines and lines_left:
            above = lines[-2] if len(lines) > 1 else (tail[at - 1].text.split("\n")[-1] if at else "")
            reason = trailing_lines.name_of(lines[-1], above)
            if reason is None:
                break
            removed.insert(0, _removed(block, lines.pop(), reason))
            lines_left -= 1
        rest = "\n".join(lines)
        if rest and at_end(pieces, at):
            rest, removed = _cut_inside(block, rest, removed)
        pieces[at] = ([with_text(block, rest)] if rest else []) + removed
        if rest:
            break
    return pieces


def at_end(pieces: list[list[Block]], at: int) -> bool:
    """True when nothing after the block at `at` is kept."""
    return not any(piece.kept for later in pieces[at + 1 :] for piece in later)


def _cut_inside(block: Block, text: str, removed: list[Block]) -> tuple[str, list[Block]]:
    """A credit that stands in the last paragraph's own line: "… would.  . source site-40", "… said. (dpa)"."""
    found = trailing_lines.split_end(text, after_credit=bool(removed))
    if found is None:
        return text, removed
    kept, credit, reason = found
    return kept, [_removed(block, credit, reason), *removed]
