"""Keeps elements with very many inline children from an extractor that unwraps and removes their like one by one.

lxml's strip_tags leaves one text node for each piece of text, and libxml2's XPath puts neighbouring text nodes in order in quadratic time;
an element that is removed has its tail joined to all text before it. 38,000 bold words in one paragraph kept trafilatura busy for minutes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import groupby, islice

import trafilatura
from lxml import etree
from lxml.html import HtmlElement
from trafilatura.settings import MANUALLY_CLEANED, MANUALLY_STRIPPED, Document

from newsmill.extraction.body import block_model, block_rules
from newsmill.extraction.body.align import HALF, align
from newsmill.extraction.body.block_model import BlockModel, Row, to_probability
from newsmill.extraction.body.blocks import Layout, TextBlock
from newsmill.extraction.body.features import compute_features
from newsmill.extraction.body.markup import LIST_TAGS, MarkupReader
from newsmill.extraction.body.page_stats import PageFacts, PageStats, read_facts
from newsmill.extraction.body.scripts import find_script_blocks
from newsmill.extraction.metadata.structured_data import StructuredData, read_structured_data
from newsmill.extraction.normalise import normalise
from newsmill.model import DOUBTFUL_CONFIDENCE, Block, BlockType

MAX_CHILDREN = 2_000  # of one element; the widest of 1,842 measured pages has 1,359
_WIDE_ELEMENTS = etree.XPath(f"//*[*[{MAX_CHILDREN + 1}]]")
# What trafilatura unwraps itself: its list, and formatting, which it is not asked to keep (its htmlprocessing.REND_TAG_MAPPING).
_UNWRAPPED = (*MANUALLY_STRIPPED, "b", "em", "i", "kbd", "samp", "span", "strong", "sub", "sup", "tt", "u", "var")
_REMOVED = tuple({*MANUALLY_CLEANED} - {"figure", "form", "math"})  # what it removes, but for elements that it looks into first


def simplify_wide_elements(tree: HtmlElement) -> HtmlElement:
    """The tree itself; where an element has more than MAX_CHILDREN children, a copy without formatting inside such elements."""
    if not _wide_elements(tree):
        return tree
    tree = deepcopy(tree)
    for wide in _wide_elements(tree):
        etree.strip_elements(wide, *_REMOVED, with_tail=False)
        etree.strip_tags(wide, *_UNWRAPPED)
        for element in wide.iter():
            element.text, element.tail = element.text, element.tail  # makes one text node of several
    return tree


def _wide_elements(tree: HtmlElement) -> list[HtmlElement]:
    if next(islice(tree.iter(), MAX_CHILDREN + 1, None), None) is None:
        return []  # a page of fewer elements has none, and counting them takes a tenth of the search
    found = _WIDE_ELEMENTS(tree)
    return [element for element in found if isinstance(element, HtmlElement)] if isinstance(found, list) else []


# trafilatura's own result as blocks: for pages whose text stands in no block of the page. Each element of the result becomes one block.

_TYPES = {
    "head": BlockType.HEADING,
    "list": BlockType.LIST,
    "quote": BlockType.QUOTE,
    "table": BlockType.TABLE,
    "code": BlockType.CODE,
    "fw": BlockType.HEADING,
}
_SPACE = re.compile(r"\s+")


def convert_elements(element: etree._Element) -> Iterator[Block]:
    """The blocks of trafilatura's body element, in its order, with normalised text. Raises RecursionError for a tree too deep to walk."""
    for child in element:
        if child.tag in ("div", "body"):
            yield from convert_elements(child)
        else:
            kind = _TYPES.get(str(child.tag), BlockType.PARAGRAPH)
            text = _join_rows(child) if kind in (BlockType.LIST, BlockType.TABLE) else _join_inline(child)
            for part in re.split(r"\n{2,}", normalise(text)) if kind is BlockType.PARAGRAPH else [normalise(text)]:
                if part:
                    yield Block(kind, part)
        if child.tail and child.tail.strip():
            yield Block(BlockType.PARAGRAPH, normalise(child.tail))


def _join_rows(element: etree._Element) -> str:
    """A list's items, or a table's rows with their cells apart by a bar, one a line."""
    lines = []
    for row in element.iter("item", "row"):
        cells = [" ".join(_join_inline(cell).split()) for cell in row.iter("cell")] or [" ".join(_join_inline(row).split())]
        lines.append(" | ".join(cell for cell in cells if cell))
    return "\n".join(line for line in lines if line) or _join_inline(element)


def _join_inline(element: etree._Element) -> str:
    """Text with `lb` as line break; a line break of the source is only white space."""
    parts = [_SPACE.sub(" ", element.text or "")]
    for child in element:
        parts.append("\n" if child.tag == "lb" else _join_inline(child) + ("\n\n" if child.tag in ("p", "head", "quote") else ""))
        parts.append(_SPACE.sub(" ", child.tail or ""))
    return "".join(parts)


# Tree → the blocks of the body: trafilatura's text is found among the page's blocks, then the block model keeps or drops each.
#
# The first look uses trafilatura's fast mode; a page the model is in doubt about gets a second look with the whole of trafilatura. Guards:
# where little of trafilatura's text stands in blocks (a script holds it), or the model would leave little of it, its text stands.

TRAFILATURA = f"trafilatura {version('trafilatura')}"
MANY_BLOCKS = 10_000  # blocks; a page with more gets one look and no reasons by feature: 36,000 took 16 s of CPU with both, 4 s without
MIN_LEFT_SHARE = 0.4  # share of trafilatura's words the model must leave: without it single pages went to nothing (FINDINGS 2.3)
MIN_LEFT_SHARE_IN_DOUBT = 0.5  # the same where the expected F1 is below DOUBTFUL_CONFIDENCE
MIN_VISIBLE_WORDS = 40  # words; a page with less shows a browser more than it shows us, if its scripts hold a text
SITE_TEXT = "its place holds text on this site"
MIN_PROSE_CELL_WORDS = 30  # words from which a table cell is a paragraph of a page laid out by tables
_GROUP_TAGS = {BlockType.LIST: LIST_TAGS, BlockType.TABLE: frozenset(("table",))}
IsSureText = Callable[[str, str], bool]  # of a block's path and text


@dataclass(frozen=True, slots=True)
class Body:
    """What the body layer found: every block of the page, kept or removed, in page order."""

    blocks: tuple[Block, ...]
    extractor: str = TRAFILATURA
    warnings: tuple[str, ...] = ()
    confidence: float | None = None  # the F1 the model expects of its choice, 0 to 1


@dataclass(frozen=True, slots=True)
class _Selection:
    """One look at the page: the view that one run of trafilatura gives, and what the model makes of it."""

    view: PageStats
    model: BlockModel
    odds: dict[int, float]
    rows: dict[int, Row]
    kept: frozenset[int]
    sure: frozenset[int]  # text by what the page's site knows of its place
    expected: float | None  # F1 over words that the model's probabilities promise
    refused: Mapping[int, str]  # what a rule kept from the model or took off its choice, and why


def extract_body(
    tree: HtmlElement,
    url: str | None,
    page: StructuredData | None = None,
    model: BlockModel | None = None,
    *,
    kept_only: bool = False,
    is_sure_text: IsSureText | None = None,
) -> Body:
    """The body's blocks, kept ones with normalised text; `tree` is not changed. No text at all gives a Body without kept blocks.

    `page` is the tree's structured data where the caller has it, `model` None means the shipped one; `kept_only`: nobody will look at the
    blocks that are left out, ten times as many. `is_sure_text`: what the page's site
    knows of a block. Raises RecursionError for trees that trafilatura cannot walk; the reader names that.
    """
    page = page or read_structured_data(tree, url)
    facts = read_facts(page)
    found = _extract_visible(
        tree, page.marks.layout, url, facts, model or block_model.load_shipped_model(), kept_only=kept_only, is_sure_text=is_sure_text
    )
    if sum(len(block.text.split()) for block in found.blocks if block.kept) >= MIN_VISIBLE_WORDS:
        return found
    hidden = find_script_blocks(tree, facts.title)
    if not hidden:
        return found
    shown = [
        replace(block, kept=False, layer="script", reason="a script holds the text") if block.kept else block for block in found.blocks
    ]
    return replace(found, blocks=(*hidden, *shown), warnings=(*found.warnings, "the text stands in a script only"))


def _extract_visible(
    tree: HtmlElement,
    layout: Layout,
    url: str | None,
    facts: PageFacts,
    model: BlockModel,
    *,
    kept_only: bool,
    is_sure_text: IsSureText | None,
) -> Body:
    """What stands on the page itself."""
    look = None
    for fast in (True, False):
        found = _run_trafilatura(tree, url, fast)
        alignment = align(((found.text if found else None) or "").split("\n"), layout.blocks)
        if not layout.blocks or alignment.covered < HALF:
            warning = "the text stands in no block of the page (a script holds it); taken as trafilatura found it"
            return Body(tuple(convert_elements(found.body)), warnings=(warning,)) if found and found.body is not None else Body(())
        if look is not None and alignment.shares == look.view.shares:
            break  # the second look would come to the same
        look = _select_blocks(layout, alignment.shares, facts, model, is_sure_text)
        if (look.expected is not None and look.expected >= DOUBTFUL_CONFIDENCE) or len(layout.blocks) > MANY_BLOCKS:
            break
    assert look is not None
    return _build_body(look, kept_only=kept_only)


def _run_trafilatura(tree: HtmlElement, url: str | None, fast: bool) -> Document | None:
    found = trafilatura.bare_extraction(
        simplify_wide_elements(tree), url=url or None, include_comments=False, with_metadata=False, fast=fast
    )
    return found if isinstance(found, Document) else None


def _select_blocks(
    layout: Layout, shares: Sequence[float], facts: PageFacts, model: BlockModel, is_sure_text: IsSureText | None
) -> _Selection:
    view = PageStats(layout, shares, facts)
    near = view.near()
    settled = {i: reason for i in near if (reason := block_rules.find_settled(view, i)) is not None}
    sure = _find_sure(view, near, settled, is_sure_text) if is_sure_text else frozenset()
    settled = {i: reason for i, reason in settled.items() if i not in sure}
    chosen = [i for i in near if i not in settled]
    rows = dict(zip(chosen, model.rows(compute_features(view, chosen)), strict=True)) if chosen else {}
    odds = {i: model.odds(row) for i, row in rows.items()}
    kept = frozenset(i for i, value in odds.items() if to_probability(value) >= model.threshold)
    kept |= block_rules.find_restored(view, chosen, kept) | sure
    refused = {
        i: reason for i, reason in block_rules.find_refused(view, kept).items() if i not in sure or reason != block_rules.EMPTY_SECTION
    }
    kept -= refused.keys()
    return _Selection(view, model, odds, rows, kept, sure, _estimate_f1(view, odds, kept, sure), {**settled, **refused})


def _find_sure(view: PageStats, near: Sequence[int], settled: Mapping[int, str], is_sure_text: IsSureText) -> frozenset[int]:
    """The blocks that are text by what the site knows, unless a rule left them out for more than the element around them."""
    asked = (i for i in near if settled.get(i, block_rules.BESIDE_TEXT) == block_rules.BESIDE_TEXT)
    return frozenset(i for i in asked if is_sure_text(view.blocks[i].path, view.blocks[i].text))


def _estimate_f1(view: PageStats, odds: dict[int, float], kept: frozenset[int], sure: frozenset[int]) -> float | None:
    right = {i: view.own.words[i] * (1.0 if i in sure else to_probability(value)) for i, value in odds.items()}
    both = sum(view.own.words[i] for i in kept) + sum(right.values())
    return round(2 * sum(right[i] for i in kept) / both, 3) if both else None


def _build_body(look: _Selection, *, kept_only: bool) -> Body:
    """The look as blocks, after the guard."""
    words = look.view.own.words
    kept = look.kept
    warnings: tuple[str, ...] = ()
    must_stay = MIN_LEFT_SHARE if look.expected is not None and look.expected >= DOUBTFUL_CONFIDENCE else MIN_LEFT_SHARE_IN_DOUBT
    if sum(words[i] for i in kept) < must_stay * sum(words[i] for i in look.view.kept):
        kept, warnings = frozenset(look.view.kept), ("the block model would have left too little; trafilatura's text stands",)
    paths: dict[int, str] = {}  # by path key: blocks of one path are many
    out: list[Block] = []
    markup = MarkupReader()
    runs = groupby(look.view.blocks, key=lambda block: (block.index in kept, find_group(block) if block.index in kept else 0))
    for (stays, _), group in runs:
        if stays:
            out.extend(_make_kept(list(group), look, markup))
        elif not kept_only:
            out.extend(_make_removed(block, look, paths) for block in group)
    return Body(tuple(out), f"{TRAFILATURA}, blocks {look.model.version}", warnings, look.expected)


def find_group(block: TextBlock) -> int:
    """The box whose kept neighbours make one block with this one: its list or table; a number of its own for any other."""
    tags = _GROUP_TAGS.get(choose_type(block), frozenset())
    return next((box.index for box in block.box.ancestors() if box.tag in tags), -1 - block.index)


def choose_type(block: TextBlock) -> BlockType:
    """The type of the block in a body."""
    kind = block.type
    return BlockType.PARAGRAPH if kind is BlockType.TABLE and len(block.words) >= MIN_PROSE_CELL_WORDS else kind


def _make_kept(members: Sequence[TextBlock], look: _Selection, markup: MarkupReader) -> Iterable[Block]:
    """One block of text, and where the model won it back, how sure it was."""
    first = members[0]
    kind = choose_type(first)
    text = join_members(members)
    layer = reason = None
    left_out = look.view.shares[first.index] < HALF
    if first.index in look.sure and (left_out or to_probability(look.odds[first.index]) < look.model.threshold):
        layer, reason = "profile", SITE_TEXT
    elif left_out and first.index in look.odds:
        layer, reason = "model", f"won back ({to_probability(look.odds[first.index]):.2f} sure)"
    if text:
        yield Block(kind, text, layer=layer, reason=reason, path=first.path, markup=markup.read(members, kind, text))


def join_members(members: Sequence[TextBlock]) -> str:
    """The normalised text of one block: a paragraph, or the items of a list, or the rows of a table, one a line."""
    rows = groupby(members, key=_find_row) if choose_type(members[0]) is BlockType.TABLE else ((0, [member]) for member in members)
    return normalise("\n".join(" | ".join(block.text for block in row) for _, row in rows))


def _find_row(block: TextBlock) -> int:
    return next((box.index for box in block.box.ancestors() if box.tag == "tr"), -1 - block.index)


def _make_removed(block: TextBlock, look: _Selection, paths: dict[int, str]) -> Block:
    """A block that is left out, and why: trafilatura never took it, or the model dropped it; a rule says so, or the features that spoke."""
    i = block.index
    key = -block.box.path_key if block.linked else block.box.path_key
    path = paths.get(key) or paths.setdefault(key, block.path)
    if i in look.refused:
        layer = "gate" if i in look.odds else "trafilatura"  # the model chose it, or never was asked
        return Block(choose_type(block), block.text, kept=False, layer=layer, reason=look.refused[i], path=path)
    named = (
        block_rules.find_reason(look.view, i) if i in look.odds else None
    )  # the rest of the page is menus and teasers, and there is much of it
    if look.view.shares[i] >= HALF and i in look.odds:
        why = named or ("the model" if len(look.odds) > MANY_BLOCKS else _describe_features(look, i))
        reason = f"{why} ({1 - to_probability(look.odds[i]):.2f} sure)"
        return Block(choose_type(block), block.text, kept=False, layer="model", reason=reason, path=path)
    return Block(choose_type(block), block.text, kept=False, layer="trafilatura", reason=named or "outside the article", path=path)


def _describe_features(look: _Selection, i: int) -> str:
    return ", ".join(f"{name} {value:.2g}" for name, value, _ in look.model.spoken(look.rows[i], look.odds[i]))
