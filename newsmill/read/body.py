"""Tree → the blocks of the body: trafilatura's text is found among the page's blocks, then the block model keeps or drops each.

Guards: where little of trafilatura's text stands in blocks (a script holds it), or the model would leave little of it, its text stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby

import trafilatura
from lxml.html import HtmlElement

from newsmill.model import Block, BlockType
from newsmill.read import gate, model
from newsmill.read.align import HALF, align
from newsmill.read.blocks import TextBlock, segment
from newsmill.read.extracted import blocks_of
from newsmill.read.features import columns
from newsmill.read.model import BlockModel, Row, probability
from newsmill.read.normalise import normalise
from newsmill.read.structured import Structured, read_structured
from newsmill.read.view import View, facts_of

TRAFILATURA = f"trafilatura {version('trafilatura')}"
LEFT = 0.4  # share of trafilatura's words the model must leave: without it single pages went to nothing (FINDINGS 2.3)
PROSE_CELL = 30  # words from which a table cell is a paragraph of a page laid out by tables
_HOLDERS = {BlockType.LIST: ("ul", "ol", "dl", "menu", "dir"), BlockType.TABLE: ("table",)}


@dataclass(frozen=True, slots=True)
class Body:
    """What the body layer found: every block of the page, kept or removed, in page order."""

    blocks: tuple[Block, ...]
    extractor: str = TRAFILATURA
    warnings: tuple[str, ...] = ()
    confidence: float | None = None  # the F1 the model expects of its choice, 0 to 1


@dataclass(frozen=True, slots=True)
class _Choice:
    """What the model made of the blocks it looked at."""

    odds: dict[int, float]
    rows: dict[int, Row]
    threshold: float

    def keeps(self, i: int) -> bool:
        return i in self.odds and probability(self.odds[i]) >= self.threshold


def body(tree: HtmlElement, url: str | None, page: Structured | None = None, blocks_model: BlockModel | None = None) -> Body:
    """The body's blocks, kept ones with normalised text; `tree` is not changed. No text at all gives a Body without kept blocks.

    `blocks_model` None means the shipped one. Raises RecursionError for trees that trafilatura cannot walk; the reader gives that its name.
    """
    found = _extract(tree, url)
    text = found.text or "" if found else ""
    layout = segment(tree)
    alignment = align(text.split("\n"), layout.blocks)
    if found and found.body is not None and alignment.covered < HALF:
        return Body(tuple(blocks_of(found.body)), warnings=("the text stands in no block of the page (a script holds it); taken as found",))
    if not layout.blocks:
        return Body(())
    used = blocks_model or model.shipped()
    view = View(layout, alignment.shares, facts_of(page or read_structured(tree, url)))
    choice = _choose(view, used)
    kept = {i for i in choice.odds if choice.keeps(i)}
    warnings: tuple[str, ...] = ()
    if sum(view.own.words[i] for i in kept) < LEFT * sum(view.own.words[i] for i in view.kept):
        kept = set(view.kept)
        warnings = ("the block model would have left too little; trafilatura's text stands",)
    return Body(_blocks(view, choice, used, kept), f"{TRAFILATURA}, blocks {used.version}", warnings, _expected(view, choice, kept))


def _extract(tree: HtmlElement, url: str | None) -> trafilatura.metadata.Document | None:
    """trafilatura's own result. `fast`: without its two rescue extractors, because under the model they made no difference."""
    found = trafilatura.bare_extraction(tree, url=url or None, include_comments=False, with_metadata=False, fast=True)
    return found if isinstance(found, trafilatura.metadata.Document) else None


def _choose(view: View, used: BlockModel) -> _Choice:
    chosen = view.near()
    rows = used.rows(columns(view, chosen)) if chosen else []
    return _Choice(dict(zip(chosen, map(used.odds, rows), strict=True)), dict(zip(chosen, rows, strict=True)), used.threshold)


def _expected(view: View, choice: _Choice, kept: set[int]) -> float | None:
    """The F1 over words that the model's probabilities promise."""
    right = {i: view.own.words[i] * probability(odds) for i, odds in choice.odds.items()}
    both = sum(view.own.words[i] for i in kept) + sum(right.values())
    return round(2 * sum(right.get(i, 0.0) for i in kept) / both, 3) if both else None


def _blocks(view: View, choice: _Choice, used: BlockModel, kept: set[int]) -> tuple[Block, ...]:
    """Every block of the page, neighbours of one list or table row by row in one block."""
    out: list[Block] = []
    for (stays, _), group in groupby(view.blocks, key=lambda block: (block.index in kept, _holder(block) if block.index in kept else 0)):
        members = list(group)
        if stays:
            out.extend(_kept(members, view, choice))
        else:
            out.extend(_removed(block, view, choice, used) for block in members)
    return tuple(out)


def _holder(block: TextBlock) -> int:
    """The box whose kept neighbours make one block with this one: its list or table; -1 minus its number for a block of its own."""
    tags = _HOLDERS.get(_type(block), ())
    return next((box.index for box in block.box.ancestors() if box.tag in tags), -1 - block.index)


def _type(block: TextBlock) -> BlockType:
    kind = block.type
    return BlockType.PARAGRAPH if kind is BlockType.TABLE and len(block.words) >= PROSE_CELL else kind


def _kept(members: Sequence[TextBlock], view: View, choice: _Choice) -> Iterable[Block]:
    """One block of text: a paragraph, or the lines of a list, or the rows of a table."""
    first = members[0]
    kind = _type(first)
    lines = [" | ".join(block.text for block in row) for _, row in groupby(members, key=_row if kind is BlockType.TABLE else id)]
    text = normalise("\n".join(lines))
    won = view.shares[first.index] < HALF and first.index in choice.odds
    if text:
        layer, reason = ("model", f"won back: {probability(choice.odds[first.index]):.2f} sure") if won else (None, None)
        yield Block(kind, text, layer=layer, reason=reason, path=first.box.path)


def _row(block: TextBlock) -> int:
    return next((box.index for box in block.box.ancestors() if box.tag == "tr"), -1 - block.index)


def _removed(block: TextBlock, view: View, choice: _Choice, used: BlockModel) -> Block:
    """A block that is left out, and why: trafilatura never took it, or the model dropped it and a rule or the features say why."""
    layer = "model" if view.shares[block.index] >= HALF else "trafilatura"
    named = gate.reason(view, block.index)
    if layer == "model" and block.index in choice.rows:
        sure = 1 - probability(choice.odds[block.index])
        why = named or ", ".join(
            f"{name} {value:g}" for name, value, _ in used.spoken(tuple(round(x, 2) for x in choice.rows[block.index]))
        )
        return Block(_type(block), block.text, kept=False, layer=layer, reason=f"{why} ({sure:.2f} sure)", path=block.box.path)
    return Block(_type(block), block.text, kept=False, layer=layer, reason=named or "outside the article", path=block.box.path)
