"""Statistics of one page from the share of each block that an extractor kept, with the probable position of the body.

The module does not decide which blocks to keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from newsmill.extraction.body.align import HALF
from newsmill.extraction.body.blocks import Box
from newsmill.extraction.body.layout_stats import MAX_DISTANCE, LayoutStats

# Blocks on each side of a kept one that get features.
# With the main boxes this leaves out 0.1 to 0.7 % of the gold words.
NEAR_BLOCKS = 3

# tags around a block, inside its part of the main box, as bits of features
_ENCLOSING_TAGS = ("li", "td", "blockquote", "figure", "aside", "header", "footer", "article", "section", "main", "details", "table")
ENCLOSING_TAG_BITS = {tag: 1 << bit for bit, tag in enumerate(_ENCLOSING_TAGS)}


def _sum_by_slot(slots: Sequence[int], values: Sequence[float], size: int) -> list[float]:
    """Return the sum of the values of each slot; slot -1 does not count."""
    totals = [0.0] * size
    for slot, value in zip(slots, values, strict=True):
        if slot >= 0:
            totals[slot] += value
    return totals


class PageStats(LayoutStats):
    """Statistics of one page that several features share, from the kept share of each block."""

    def __init__(self, layout: LayoutStats, shares: Sequence[float]) -> None:
        vars(self).update(vars(layout))
        self.shares = shares
        self._apart: dict[int, int] = {}
        kept = [n * share for n, share in zip(self.own.words, shares, strict=True)]
        self.upto_kept = [0.0, *accumulate(kept)]
        in_boxes = _sum_by_slot(self._box_of, kept, len(self.all_boxes))
        for at, outer in self._outer_boxes:
            in_boxes[outer] += in_boxes[at]
        self.own, self.boxes = self.own.with_kept(kept), self.boxes.with_kept(in_boxes)
        self.paths = self.paths.with_kept(_sum_by_slot(self.of_path, kept, len(self.paths.words)))
        self.signs = self.signs.with_kept(_sum_by_slot(self.of_sign, kept, len(self.signs.words)))
        self.siblings = self.siblings.with_kept(_sum_by_slot(self.sibling_slot, in_boxes, len(self.sibling_count)))
        self.kept = [i for i, share in enumerate(shares) if share >= HALF]
        self.first, self.last = (self.kept[0], self.kept[-1]) if self.kept else (0, len(self.blocks) - 1)
        self.main = self._find_smallest_box(in_boxes) or self.dense
        self.around_main = {box.index for box in self.main.ancestors()} if self.main else set[int]()
        self._measure_kept_distances()

    def _measure_kept_distances(self) -> None:
        """Compute for each block the distance in blocks to the nearest kept block on each side."""
        size = len(self.blocks)
        self.kept_before, self.kept_after = [MAX_DISTANCE] * size, [MAX_DISTANCE] * size
        kept = -MAX_DISTANCE
        for i, share in enumerate(self.shares):
            self.kept_before[i] = min(MAX_DISTANCE, i - kept)
            if share >= HALF:
                kept = i
        kept = size + MAX_DISTANCE
        for i in reversed(range(size)):
            self.kept_after[i] = min(MAX_DISTANCE, kept - i)
            if self.shares[i] >= HALF:
                kept = i

    def find_apart_bits(self, box: Box | None) -> int:
        """Return COMMENTS_BIT and BESIDE_BIT of the box, inside its part of the page. The result is cached per box."""
        if box is None or box.index in self.around_main:
            return 0
        found = self._apart.get(box.index)
        if found is None:
            found = self._apart[box.index] = self._find_own_apart_bits(box) | self.find_apart_bits(box.parent)
        return found

    def find_near_blocks(self) -> list[int]:
        """Return the indices of the blocks near the body, in page order. Only these need features."""
        inside = [False] * len(self.all_boxes)
        for box in self.all_boxes:
            inside[box.index] = box is self.main or box is self.dense or (box.parent is not None and inside[box.parent.index])
        return [i for i, block in enumerate(self.blocks) if block.words and (self._is_near(i) or inside[block.box.index])]

    def _is_near(self, i: int) -> bool:
        return self.shares[i] >= HALF or self.kept_before[i] <= NEAR_BLOCKS or self.kept_after[i] <= NEAR_BLOCKS


class MainParts:
    """The part of the main box (or of a box around it) that contains a box: its highest box that does not contain the main box."""

    def __init__(self, stats: PageStats) -> None:
        self.stats = stats
        self.above = stats.around_main
        self.known: dict[int, tuple[Box, int, int]] = {}
        self.h1_in = [0] * len(stats.all_boxes)
        for box in reversed(stats.all_boxes):
            self.h1_in[box.index] += box.tag == "h1"
            if box.parent is not None:
                self.h1_in[box.parent.index] += self.h1_in[box.index]
        self.titled = self.find(stats.blocks[stats.title_at].box)[0] if stats.title_at >= 0 else None

    def find(self, box: Box) -> tuple[Box, int, int]:
        """Return (the part, class groups as bits, tags as bits). The bits cover the boxes from the part down to `box`."""
        chain = []
        node = box
        while node.index not in self.known and node.index not in self.above and node.parent and node.parent.index not in self.above:
            chain.append(node)
            node = node.parent
        part, bits, tags = self.known.get(node.index) or (node, self.stats.find_group_bits(node), ENCLOSING_TAG_BITS.get(node.tag, 0))
        self.known[node.index] = (part, bits, tags)
        for inner in reversed(chain):
            bits, tags = bits | self.stats.find_group_bits(inner), tags | ENCLOSING_TAG_BITS.get(inner.tag, 0)
            self.known[inner.index] = (part, bits, tags)
        return part, bits, tags

    def compare_with_title(self, part: Box) -> int:
        """Return 1 for the part with the title, 2 for another part with the same signature, 0 for any other part."""
        if self.titled is None or part.sign != self.titled.sign:
            return 0
        return 1 if part is self.titled else 2
