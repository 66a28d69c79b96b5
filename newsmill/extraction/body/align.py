"""Alignment of an extracted text with the blocks of its page: how much of each block the text contains.

Lines that equal a block are matched first. Lines that occur once are matched before lines that occur often.
A line that occurs often is matched to the block nearest to its neighbours.
The lines between two matches are compared as one run by 4-word shingles.
Single lines do not suffice: an extractor breaks a block at every `br`, and a block may contain several lines.
An extractor also joins table cells into rows.
The module does not decide which blocks to keep.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from newsmill.extraction.body.blocks import TextBlock, split_words

SHINGLE_WORDS = 4  # words; the unit of the article-extraction-benchmark metric, long enough to avoid chance matches
HALF = 0.5  # share of a block that the text must contain for the block to count as contained
LONG_BLOCK_WORDS = 10_000  # words of a block; the longest of 1,842 measured pages has 1,959
# Blocks per shingle that a run is compared with, or twice the shingle's count in the run if that is more.
# No measured page exceeds the limit.
MAX_NEAR_BLOCKS = 64


@dataclass(frozen=True, slots=True)
class Alignment:
    """The result of `align`.

    `shares[i]` is the share of block i that the lines contain, 0 to 1.
    `covered` is the share of the lines' words that blocks contain, 0 to 1.
    """

    shares: tuple[float, ...]
    covered: float


def align(lines: Sequence[str], blocks: Sequence[TextBlock]) -> Alignment:
    """Align lines (in reading order) with blocks (in page order) and return the shares, all from 0 to 1.

    `covered` is 1.0 if the lines contain no word.
    """
    texts = [found for line in lines if (found := split_words(line))]
    matched = _match_equal(texts, blocks)
    shares = [0.0] * len(blocks)
    total = covered = 0
    for text, index in zip(texts, matched, strict=True):
        total += len(text)
        if index is not None:
            shares[index] = 1.0
            covered += len(text)
    runs = _list_runs(texts, matched, len(blocks))
    del texts, matched  # avoids a second copy of the words in memory; the largest page has 1.5 million
    if runs:
        block_index = _BlockIndex([run for run, _, _ in runs], blocks, shares)
        covered += sum(_match_run(run, block_index, shares, before, after) for run, before, after in runs)
    return Alignment(tuple(shares), covered / total if total else 1.0)


def _match_equal(texts: list[list[str]], blocks: Sequence[TextBlock]) -> list[int | None]:
    """Return for each line the index of the block with the same words, or None.

    Lines that are long and match one block are matched first, because their positions guide the other matches.
    """
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
        """Return the first free block between `before` and `after`.

        If there is none, return the free block nearest to `before` if `anywhere` is True, else None.
        """
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


def _list_runs(texts: list[list[str]], matched: list[int | None], end: int) -> list[tuple[list[str], int, int]]:
    """Return each run of unmatched lines as one word list, with the indices of the blocks before and after it."""
    runs: list[tuple[list[str], int, int]] = []
    run: list[str] = []
    before = -1
    for text, index in zip(texts, matched, strict=True):
        if index is None:
            run.extend(text)
            continue
        if run:
            runs.append((run, before, index if index > before else end))
            run = []
        before = index
    if run:
        runs.append((run, before, end))
    return runs


class _BlockIndex:
    """Maps the shingles of unmatched lines to blocks, so that a run is not compared with every block of the page.

    Shingles are stored as hashes, which need a third of the memory.
    Blocks of more than LONG_BLOCK_WORDS words are not indexed; a run is compared with the whole block.
    """

    def __init__(self, runs: Sequence[Sequence[str]], blocks: Sequence[TextBlock], shares: Sequence[float]) -> None:
        open_blocks = [block for block in blocks if block.words and shares[block.index] < HALF]
        indexed = [block for block in open_blocks if len(block.words) <= LONG_BLOCK_WORDS]
        self.long = {block.index: block.words for block in open_blocks if len(block.words) > LONG_BLOCK_WORDS}
        self.sizes = {block.index: max(1, len(block.words) - SHINGLE_WORDS + 1) for block in open_blocks}  # a shorter block counts as one
        self.short: dict[int, int] = {}  # shingle of a block with fewer than SHINGLE_WORDS words → number of words
        self.occurrences = defaultdict[int, list[tuple[int, int]]](list)  # shingle → (block, count), in page order
        wanted = {gram for run in runs for gram in _hash_shingles(run)} if indexed else set[int]()
        for block in indexed:
            if len(block.words) < SHINGLE_WORDS:
                gram = hash(tuple(block.words))
                self.short[gram] = len(block.words)
                self.occurrences[gram].append((block.index, 1))
            else:
                for gram, count in Counter(filter(wanted.__contains__, _hash_shingles(block.words))).items():
                    self.occurrences[gram].append((block.index, count))

    def whole(self, run: Sequence[str]) -> int | None:
        """Return the long block whose words equal the run, or None.

        This is the largest kind of article: one block whose lines are separated by `br`.
        """
        return next((block for block in self._long_enough(run) if self.long[block] == run), None)

    def count(self, run: Sequence[str]) -> dict[int, int]:
        """Return how often the run contains each shingle that a block may contain."""
        is_long = next(self._long_enough(run), None) is not None
        known = Counter(_hash_shingles(run) if is_long else filter(self.occurrences.__contains__, _hash_shingles(run)))
        for size in set(self.short.values()):
            known.update(filter(self.short.__contains__, _hash_shingles(run, size)))
        return known

    def candidates(
        self, run: Sequence[str], known: Mapping[int, int], before: int, after: int
    ) -> Iterator[tuple[int, Callable[[], Iterable[int]]]]:
        """Yield each block of which the run may contain at least half, with a function that returns the block's shingles.

        Blocks between `before` and `after` come first, so that a second copy elsewhere comes later.
        Other blocks follow, because extractors move text. A block of fewer than SHINGLE_WORDS words counts only at the expected position.
        """
        found = defaultdict[int, list[tuple[int, int]]](list)
        for gram, count in known.items():
            for block, times in self._nearest(gram, max(MAX_NEAR_BLOCKS, 2 * count), before, after):
                found[block].append((gram, times))
        likely = [block for block, grams in found.items() if sum(times for _, times in grams) >= HALF * self.sizes[block]]
        for block in sorted((*likely, *self._long_enough(run)), key=lambda block: (not before < block < after, block)):
            if block in self.long:
                # An iterator, because a list of the largest page's shingles has 1.5 million entries.
                yield block, partial(_hash_shingles, self.long[block])
            else:
                yield block, partial(_repeat_shingles, found[block])

    def _long_enough(self, run: Sequence[str]) -> Iterator[int]:
        """Return the long blocks of which the run has enough words to contain half."""
        return (block for block in self.long if len(run) >= HALF * self.sizes[block])

    def _nearest(self, gram: int, most: int, before: int, after: int) -> list[tuple[int, int]]:
        """Return at most `most` occurrences of a shingle: those from the expected position on, then the last ones before it."""
        occurrences = self.occurrences.get(gram, [])
        start = bisect_left(occurrences, (before + 1, 0))
        if gram in self.short:
            return occurrences[start : min(start + most, bisect_left(occurrences, (after, 0)))]
        first = max(0, min(start, len(occurrences) - most))
        return occurrences[first : first + most]


def _match_run(run: list[str], index: _BlockIndex, shares: list[float], before: int, after: int) -> int:
    """Set the shares of the blocks of which a run contains at least half, and return how many words of the run they cover.

    Each copy of a shingle in the run counts for one block.
    """
    if (whole := index.whole(run)) is not None:
        shares[whole] = 1.0
        return len(run)
    left = index.count(run)
    short = 0
    for block, grams in index.candidates(run, left, before, after):
        if shares[block] >= HALF:
            continue
        hits = sum(1 for gram in grams() if _decode_copies(left.get(gram, 0)))
        if hits and hits >= HALF * index.sizes[block]:
            shares[block] = max(shares[block], hits / index.sizes[block])
            short += index.short.get(next(gram for gram in grams() if _decode_copies(left.get(gram, 0))), 0)
            for gram in grams():
                if gram in left:
                    left[gram] = -max(_decode_copies(left[gram]), 1)
    return min(len(run), _count_covered(run, left) + short)


def _decode_copies(count: int) -> int:
    """Return how many copies of a shingle are left in the run.

    A count >= 0 belongs to a shingle that no block contained so far. For other shingles the stored value is -1 minus the count.
    Python shares one object per small integer, so 1.5 million shingles need no objects for their counts.
    """
    return count if count >= 0 else -1 - count


def _repeat_shingles(grams: Sequence[tuple[int, int]]) -> Iterator[int]:
    """Yield each shingle as often as its count."""
    return (gram for gram, times in grams for _ in range(times))


def _hash_shingles(text: Sequence[str], size: int = SHINGLE_WORDS) -> Iterator[int]:
    """Return the hashes of the text's shingles of `size` words; none if the text is shorter."""
    return map(hash, zip(*(islice(text, start, None) for start in range(size)), strict=False))


def _count_covered(run: list[str], left: Mapping[int, int]) -> int:
    """Return how many words of the run are in a shingle that a block contains.

    A run of fewer than SHINGLE_WORDS words is one shingle.
    """
    hit = bytearray(len(run))
    for i, gram in enumerate(_hash_shingles(run, min(SHINGLE_WORDS, len(run)))):
        if left.get(gram, 0) < 0:
            hit[i : i + SHINGLE_WORDS] = b"\1" * len(hit[i : i + SHINGLE_WORDS])
    return sum(hit)
