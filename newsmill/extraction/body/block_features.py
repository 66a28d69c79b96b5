"""The features of a block, from which the block model rates it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from newsmill.extraction.body.align import HALF
from newsmill.extraction.body.blocks import CELL_TAGS, HEADING_TAGS, Box
from newsmill.extraction.body.layout_stats import MAX_DISTANCE, GroupTotals
from newsmill.extraction.body.page_stats import ENCLOSING_TAG_BITS, MainParts, PageStats
from newsmill.extraction.class_words import CLASS_GROUPS, expand_class_groups, find_class_groups

# Features are language-neutral numbers about a block, its neighbours, the boxes around it, and its page.
# Each feature is a column with one number per block. A share of nothing is -1.
# Only blocks near the body have features (`PageStats.find_near_blocks`).
# The rest of the page is menus and teasers, whose features cost more than they find.

Columns = dict[str, Sequence[float]]
NO_VALUE = -1.0
SENTENCE_END = re.compile(r"[.!?…。！？।؟][\"'”’»«)\]」』）]*$")
COMMAS = re.compile(r"[,،、，;:]")
SEPARATORS = re.compile(r"[|·•»›→▶©®@#/]")
ALL_BLOCKS = 10**6  # blocks; more than any page has
WINDOWS = (  # name, blocks before, blocks after, quantities to sum
    ("window3", 3, 3, ("linked", "prose")),
    ("window8", 8, 8, ("linked",)),
    ("before4", 4, 0, ("linked",)),
    ("after4", 0, 4, ("linked", "prose")),
    ("before", ALL_BLOCKS, 0, ("kept", "linked", "prose")),
    ("after", 0, ALL_BLOCKS, ("kept", "linked", "prose")),
)
MIN_LONG_WORD_LETTERS = 6  # letters; words of this length are mostly names and topics


def compute_features(stats: PageStats, chosen: Sequence[int]) -> Columns:
    """Return every feature of the blocks `chosen` (indices), one column per feature name in the order of `chosen`."""
    found: Columns = {}
    for part in (
        _describe_text,
        _describe_tag,
        _describe_position,
        _describe_neighbours,
        _describe_repetition,
        _describe_structure,
        _describe_likeness,
        _describe_page,
    ):
        found |= part(stats, chosen)
    parts = MainParts(stats)
    return found | _describe_boxes(stats, chosen, parts) | _describe_names(stats, chosen, parts)


def _divide(part: float, whole: float) -> float:
    return part / whole if whole else NO_VALUE


def _describe_text(stats: PageStats, chosen: Sequence[int]) -> Columns:
    """Features of the block itself: amount and kind of text."""
    blocks = [stats.blocks[i] for i in chosen]
    tokens = [block.text.split() if len(block.words) < 60 else () for block in blocks]
    return {
        "kept": [stats.shares[i] for i in chosen],
        "words": [len(block.words) for block in blocks],
        "linked": [stats.link_share[i] for i in chosen],
        "bold": [block.bold / len(block.text) for block in blocks],
        "images": [block.images for block in blocks],
        "end": [2 if SENTENCE_END.search(block.text[-6:]) else 1 if block.text[-1] in ":：" else 0 for block in blocks],
        "capitals": [sum(token[0].isupper() for token in found) / len(found) if found else NO_VALUE for found in tokens],
        "commas": [len(COMMAS.findall(block.text)) / len(block.words) for block in blocks],
        "separators": [len(SEPARATORS.findall(block.text)) for block in blocks],
        "lines": [block.breaks for block in blocks],
        "hidden": [stats.is_hidden(block.box) for block in blocks],
    }


def _describe_tag(stats: PageStats, chosen: Sequence[int]) -> Columns:
    """Features of the block itself: its tag."""
    tags = [stats.blocks[i].box.tag for i in chosen]
    return {
        "heading": [int(tag[1]) if tag in HEADING_TAGS else 0 for tag in tags],
        "is_p": [tag == "p" for tag in tags],
        "is_li": [tag == "li" for tag in tags],
        "is_cell": [tag in CELL_TAGS for tag in tags],
        "is_div": [tag == "div" for tag in tags],
    }


def _describe_position(stats: PageStats, chosen: Sequence[int]) -> Columns:
    """Features of the block's position on the page, relative to the body, the title and the headings."""
    upto = stats.upto_words
    start, end = upto[stats.first], upto[stats.last + 1]
    depth = stats.main.depth if stats.main else 0
    heading = [stats.heading[i] for i in chosen]
    return {
        "place": [i / len(stats.blocks) for i in chosen],
        "after_first": [i - stats.first for i in chosen],
        "before_last": [stats.last - i for i in chosen],
        "words_before": [upto[i] for i in chosen],
        "words_since_first": [upto[i] - start for i in chosen],
        "words_to_last": [end - upto[i + 1] for i in chosen],
        "kept_before": [stats.kept_before[i] for i in chosen],
        "kept_after": [stats.kept_after[i] for i in chosen],
        "since_h1": [stats.since_h1[i] for i in chosen],
        "h1_seen": [stats.h1_seen[i] for i in chosen],
        "since_heading": [stats.since_heading[i] for i in chosen],
        "heading_kept": [stats.shares[i] if i >= 0 else NO_VALUE for i in heading],
        "heading_level": [int(stats.blocks[i].box.tag[1]) if i >= 0 else 0 for i in heading],
        "depth": [stats.blocks[i].box.depth for i in chosen],
        "depth_in_main": [stats.blocks[i].box.depth - depth for i in chosen],
    }


def _describe_neighbours(stats: PageStats, chosen: Sequence[int]) -> Columns:
    """Features of the block's neighbours on the page, without the block itself."""
    end = len(stats.blocks)
    found: Columns = {}
    for name, step in (("previous", -1), ("next", 1)):
        beside = [i + step if 0 <= i + step < end else -1 for i in chosen]
        found[f"{name}_words"] = [stats.own.words[i] if i >= 0 else NO_VALUE for i in beside]
        found[f"{name}_linked"] = [stats.link_share[i] if i >= 0 else NO_VALUE for i in beside]
    totals_by_kind: dict[str, tuple[Sequence[float], Sequence[float]]] = {
        "kept": (stats.upto_kept, stats.own.kept),
        "linked": (stats.upto_linked, stats.own.linked),
        "prose": (stats.upto_prose, stats.own.prose),
    }
    for name, before, after, kinds in WINDOWS:
        runs = [(max(0, i - before), min(end, i + after + 1), i) for i in chosen]
        total = [stats.upto_words[b] - stats.upto_words[a] - stats.own.words[i] for a, b, i in runs]
        for kind in kinds:
            upto, own = totals_by_kind[kind]
            found[f"{name}_{kind}"] = [
                (upto[b] - upto[a] - own[i]) / n if n else NO_VALUE for (a, b, i), n in zip(runs, total, strict=True)
            ]
    return found


def _describe_totals(name: str, totals: GroupTotals, slots: Sequence[int], without: GroupTotals, without_slots: Sequence[int]) -> Columns:
    """Features of slots: words, shares of kept, linked and prose words, blocks. Slot -1 is empty. `without` does not count."""
    pairs = list(zip(slots, without_slots, strict=True))
    total = [totals.words[s] - without.words[i] if s >= 0 else 0 for s, i in pairs]
    found: Columns = {f"{name}_words": total}
    for kind in ("kept", "linked", "prose"):
        amounts, excluded = getattr(totals, kind), getattr(without, kind)
        found[f"{name}_{kind}"] = [(amounts[s] - excluded[i]) / n if n else NO_VALUE for (s, i), n in zip(pairs, total, strict=True)]
    return found | {f"{name}_blocks": [totals.blocks[s] if s >= 0 else 0 for s in slots]}


def _describe_boxes(stats: PageStats, chosen: Sequence[int], parts: MainParts) -> Columns:
    """Features of the boxes around the block: the three above its own, and its part of the main box."""
    around = [_list_boxes_above(stats.blocks[i].box) for i in chosen]
    found: Columns = {}
    for name, level in (("parent", 1), ("grand", 2), ("great", 3)):
        found |= _describe_totals(name, stats.boxes, [boxes[level].index for boxes in around], stats.own, chosen)
    chunks = [parts.find(boxes[0])[0] for boxes in around]
    found |= _describe_totals("chunk", stats.boxes, [chunk.index for chunk in chunks], stats.own, chosen)
    found |= _describe_siblings("box", stats, [boxes[0] for boxes in around])
    found |= _describe_siblings("chunk", stats, chunks)
    main = stats.main
    return found | {
        "parent_children": [stats.children[boxes[1].index] for boxes in around],
        "grand_children": [stats.children[boxes[2].index] for boxes in around],
        "into_chunk": [i - stats.first_in[chunk.index] for i, chunk in zip(chosen, chunks, strict=True)],
        "into_parent": [i - stats.first_in[boxes[1].index] for i, boxes in zip(chosen, around, strict=True)],
        "outside_main": [main.depth - chunk.parent.depth if main and chunk.parent else 0 for chunk in chunks],
        "below_chunk": [boxes[0].depth - chunk.depth for boxes, chunk in zip(around, chunks, strict=True)],
        "chunk_h1": [parts.h1_in[chunk.index] for chunk in chunks],
        "chunk_like_title": [parts.compare_with_title(chunk) for chunk in chunks],
    }


def _describe_siblings(name: str, stats: PageStats, boxes: Sequence[Box]) -> Columns:
    """Features of the boxes with the same parent and signature as each of the boxes."""
    slots = [stats.sibling_slot[box.index] for box in boxes]
    found = _describe_totals(f"like_{name}", stats.siblings, slots, stats.boxes, [box.index for box in boxes])
    return found | {f"like_{name}_count": [stats.sibling_count[slot] if slot >= 0 else 0 for slot in slots]}


def _list_boxes_above(box: Box) -> tuple[Box, Box, Box, Box]:
    parent = box.parent or box
    grand = parent.parent or parent
    return box, parent, grand, grand.parent or grand


def _describe_repetition(stats: PageStats, chosen: Sequence[int]) -> Columns:
    """Features of blocks with the same path, with the same last two signatures, and with the same text."""
    found = _describe_totals("path", stats.paths, [stats.of_path[i] for i in chosen], stats.own, chosen)
    found |= _describe_totals("sign", stats.signs, [stats.of_sign[i] for i in chosen], stats.own, chosen)
    for name in ("path", "sign"):
        pairs = zip(found[f"{name}_words"], found[f"{name}_blocks"], strict=True)
        found[f"{name}_mean"] = [total / (count - 1) if count > 1 else 0 for total, count in pairs]
    copies = Counter(tuple(block.words) for block in stats.blocks)
    return found | {"copies": [copies[tuple(stats.blocks[i].words)] for i in chosen]}


def _describe_structure(stats: PageStats, chosen: Sequence[int]) -> Columns:
    """Features of the tree distance to the next kept block and to the title."""
    title = stats.title_at
    targets: dict[str, list[int]] = {
        "kept_after": [i + stats.kept_after[i] if stats.kept_after[i] < MAX_DISTANCE else -1 for i in chosen],
        "title": [title] * len(chosen),
    }
    found: Columns = {}
    for name, places in targets.items():
        steps = [
            _count_steps(stats.blocks[i].box, stats.blocks[j].box) if j >= 0 else (-1, -1) for i, j in zip(chosen, places, strict=True)
        ]
        found[f"up_{name}"], found[f"down_{name}"] = [up for up, _ in steps], [down for _, down in steps]
    articles = [stats.article_of[stats.blocks[i].box.index] for i in chosen]
    there = stats.article_of[stats.blocks[title].box.index] if title >= 0 else -1
    return found | {
        "since_title": [i - title if title >= 0 else -999 for i in chosen],
        "title_article": [number == there for number in articles],
        "article_number": articles,
        "article_prose": [stats.article_prose[number] for number in articles],
    }


def _count_steps(box: Box, other: Box) -> tuple[int, int]:
    """Return the steps up from a box to the nearest box that contains both, and the steps down from there to the other."""
    up = down = 0
    while box is not other:
        if box.depth >= other.depth and box.parent is not None:
            box, up = box.parent, up + 1
        elif other.parent is not None:
            other, down = other.parent, down + 1
        else:
            break
    return up, down


def _describe_likeness(stats: PageStats, chosen: Sequence[int]) -> Columns:
    """Features of the words that the block shares with the title and with the other kept blocks."""
    known = dict(Counter(word for i in stats.kept for word in set(stats.blocks[i].words)))
    title = stats.title_words
    unique = [set(stats.blocks[i].words) for i in chosen]
    own = [1 if stats.shares[i] >= HALF else 0 for i in chosen]
    return {
        "in_title": [len(found & title) / len(found) for found in unique],
        "title_in": [_divide(len(found & title), len(title)) for found in unique],
        "affinity": [_measure_known(found, known, less) for found, less in zip(unique, own, strict=True)],
        "topic": [
            _measure_known([w for w in found if len(w) >= MIN_LONG_WORD_LETTERS], known, less)
            for found, less in zip(unique, own, strict=True)
        ],
    }


def _measure_known(found: Iterable[str], known: Mapping[str, int], less: int) -> float:
    """Return the share of words that occur in other kept blocks, 0 to 1; NO_VALUE without words."""
    hits = [known.get(word, 0) > less for word in found]
    return sum(hits) / len(hits) if hits else NO_VALUE


def _describe_names(stats: PageStats, chosen: Sequence[int], parts: MainParts) -> Columns:
    """Features of the names of boxes: the block's box and its parent, and all boxes from its part of the main box down."""
    own, inner, tags = [], [], []
    for i in chosen:
        block = stats.blocks[i]
        outer = stats.find_group_bits(block.box.parent) if block.box.parent else 0
        own.append(expand_class_groups(stats.find_group_bits(block.box) | outer | (find_class_groups(block.inline) if block.inline else 0)))
        _, bits, inside = parts.find(block.box)
        inner.append(expand_class_groups(bits))
        tags.append(inside)
    found: Columns = {}
    for number, group in enumerate(CLASS_GROUPS):
        found[f"own_{group}"] = [row[number] for row in own]
        found[f"inner_{group}"] = [row[number] for row in inner]
    return found | {f"in_{tag}": [bits & bit for bits in tags] for tag, bit in ENCLOSING_TAG_BITS.items()}


def _describe_page(stats: PageStats, chosen: Sequence[int]) -> Columns:
    """Features of the whole page, the same for all its blocks."""
    total, kept = stats.upto_words[-1], stats.upto_kept[-1]
    boxes, facts = stats.boxes, stats.facts
    main = stats.main.index if stats.main else 0
    dense = stats.dense.index if stats.dense else 0
    values: dict[str, float] = {
        "page_words": total,
        "page_kept": kept,
        "page_kept_blocks": len(stats.kept),
        "page_kept_share": _divide(kept, total),
        "page_kept_mean": _divide(kept, len(stats.kept)),
        "page_prose": stats.upto_prose[-1],
        "page_linked": _divide(stats.upto_linked[-1], total),
        "page_blocks": len(stats.blocks),
        "page_articles": stats.articles,
        "page_h1": stats.h1_seen[-1],
        "page_news": facts.is_news,
        "page_article": facts.is_article,
        "page_guide": facts.is_guide,
        "page_og": facts.is_og_article,
        "main_words": boxes.words[main],
        "main_kept": _divide(boxes.kept[main], boxes.words[main]),
        "main_linked": _divide(boxes.linked[main], boxes.words[main]),
        "main_prose": _divide(boxes.prose[main], boxes.words[main]),
        "main_children": stats.children[main],
        "dense_kept": _divide(boxes.kept[dense], kept),
    }
    return {name: [value] * len(chosen) for name, value in values.items()}
