"""Kinds of blocks that a system keeps or drops wrongly. Each block is compared with the gold text and with the text of the system."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from gold import GoldPage

from newsmill.charset import to_text
from newsmill.extraction.body import block_rules
from newsmill.extraction.body.align import HALF, align
from newsmill.extraction.body.blocks import segment
from newsmill.extraction.body.page_stats import LayoutStats, PageStats, read_facts
from newsmill.extraction.html import parse_html
from newsmill.extraction.metadata.structured_data import read_structured_data


def confusion(pages: Sequence[GoldPage], texts: Mapping[str, str]) -> str:
    """Return a table: for each kind of block, the number wrongly kept, the number wrongly dropped, and their words."""
    extra, missed = Counter[str](), Counter[str]()
    extra_words, missed_words = Counter[str](), Counter[str]()
    for page in pages:
        for kind, words, kept in _errors(page, texts.get(page.id, "")):
            (extra if kept else missed)[kind] += 1
            (extra_words if kept else missed_words)[kind] += words
    kinds = sorted(extra | missed, key=lambda kind: -extra_words[kind] - missed_words[kind])
    lines = [f"   {'kind of block':<28} {'kept wrongly':>16} {'dropped wrongly':>18}   (blocks / words)"]
    lines += [f"   {kind:<28} {extra[kind]:>7} / {extra_words[kind]:<6} {missed[kind]:>9} / {missed_words[kind]:<6}" for kind in kinds]
    return "\n".join(lines)


def _errors(page: GoldPage, text: str) -> list[tuple[str, int, bool]]:
    """Return (kind, words, kept) of every block on which gold and text disagree, without paragraphs that the gold marks as optional."""
    tree = parse_html(to_text(page.html, None)[0]).tree
    if tree is None or not (layout := segment(tree)).blocks:
        return []
    gold = align(page.gold["text"].split("\n"), layout.blocks).shares
    ours = align(text.split("\n"), layout.blocks).shares
    free = [page.gold["paragraphs"][number] for number in page.gold.get("optional") or ()]
    optional = align(free, layout.blocks).shares
    view = PageStats(LayoutStats(layout, read_facts(read_structured_data(tree, page.url or None))), ours)
    wrong = [i for i in range(len(gold)) if (gold[i] >= HALF) != (ours[i] >= HALF) and optional[i] < HALF]
    return [(block_rules.find_reason(view, i) or str(layout.blocks[i].type), view.own.words[i], ours[i] >= HALF) for i in wrong]
