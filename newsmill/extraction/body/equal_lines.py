"""Lines of an extracted text that equal a block of the page.

Lines that occur once are matched before lines that occur often. A line that occurs often is matched to the block nearest to its neighbours.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence

from newsmill.extraction.body.blocks import TextBlock

SHINGLE_WORDS = 4  # words; the unit of the article-extraction-benchmark metric, long enough to avoid chance matches


def match_equal(texts: list[list[str]], blocks: Sequence[TextBlock]) -> list[int | None]:
    """Return for each line the index of the block with the same words, or None. Long lines that match one block guide the others."""
    first_words = {text[0] for text in texts}
    equal = defaultdict[tuple[str, ...], list[int]](list)
    for block in blocks:
        if block.words and block.words[0] in first_words:  # skips menus and teasers, which are most blocks
            equal[tuple(block.words)].append(block.index)
    matched: list[int | None] = [None] * len(texts)
    groups: dict[tuple[str, ...], _FreeBlocks] = {}
    anchored = set[int]()
    open_lines = []
    for number, text in enumerate(texts):
        key = tuple(text)
        if key not in equal:
            continue
        indices = equal[key]
        if len(indices) > 1 or len(text) < SHINGLE_WORDS:
            if key not in groups:
                groups[key] = _FreeBlocks(indices)
            open_lines.append((number, groups[key]))
        elif indices[0] not in anchored:  # a second line with the same words has no block
            matched[number] = indices[0]
            anchored.add(indices[0])
    anchors = _NextAbove([-1 if index is None else index for index in matched])
    before, reached = -1, 0
    for number, group in open_lines:
        for index in matched[reached:number]:
            before = before if index is None else index
        reached = number
        after = anchors.find(number + 1, before, len(blocks))
        best = group.nearest(before, after, anywhere=len(texts[number]) >= SHINGLE_WORDS)
        if best is not None:
            matched[number] = best
            group.take(best)
    return matched


class _FreeBlocks:
    """Blocks with the same words, in page order. Disjoint sets find the nearest free block in nearly constant time."""

    def __init__(self, indices: Sequence[int]) -> None:
        self.indices = indices
        self.up = list(range(len(indices) + 1))  # each position links to one closer to the next free position
        self.down = list(range(len(indices) + 1))  # the same towards the start; positions count from 1, and 0 means none

    def take(self, index: int) -> None:
        position = bisect_left(self.indices, index)
        self.up[position] = position + 1
        self.down[position + 1] = position

    def nearest(self, before: int, after: int, *, anywhere: bool) -> int | None:
        """Return the first free block between `before` and `after`, else, if `anywhere`, the free block nearest to `before`, or None."""
        start = bisect_right(self.indices, before)
        position = _find_root(self.up, start)
        following = self.indices[position] if position < len(self.indices) else None
        if following is not None and following < after:
            return following
        if not anywhere:
            return None
        position = _find_root(self.down, start)
        preceding = self.indices[position - 1] if position else None
        if following is None or preceding is None:
            return preceding if following is None else following
        return preceding if before - preceding <= following - before else following


def _find_root(links: list[int], position: int) -> int:
    """Return the position at which the links end, and halve the path for later calls."""
    while links[position] != position:
        links[position] = links[links[position]]
        position = links[position]
    return position


class _NextAbove:
    """A tree of maxima. It finds the next value above a bound in logarithmic time."""

    def __init__(self, values: Sequence[int]) -> None:
        self.size = 1 << max(len(values) - 1, 0).bit_length()
        self.tree = [-1] * self.size + [*values] + [-1] * (self.size - len(values))
        for node in range(self.size - 1, 0, -1):
            self.tree[node] = max(self.tree[2 * node], self.tree[2 * node + 1])

    def find(self, start: int, bound: int, default: int) -> int:
        """Return the first value greater than `bound` at or after position `start`, or `default` if there is none."""
        if start >= self.size:
            return default
        node = start + self.size
        while self.tree[node] <= bound:
            while node & 1:  # the successor of a right child is to the right of its parent
                node >>= 1
            if node == 0:
                return default
            node += 1
        while node < self.size:
            node = 2 * node if self.tree[2 * node] > bound else 2 * node + 1
        return self.tree[node]
