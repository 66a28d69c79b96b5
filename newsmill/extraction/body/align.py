"""Alignment of an extracted text with the blocks of its page: how much of each block the text contains.

Lines that equal a block are matched first (`equal_lines`). The lines between two matches are compared as one run by 4-word shingles.
Single lines do not suffice: an extractor breaks a block at every `br`, and a block may contain several lines.
An extractor also joins table cells into rows.
The module does not decide which blocks to keep.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from newsmill.extraction.body.blocks import TextBlock, split_words
from newsmill.extraction.body.equal_lines import SHINGLE_WORDS, match_equal

HALF = 0.5  # share of a block that the text must contain for the block to count as contained
LONG_BLOCK_WORDS = 10_000  # words of a block; the longest of 1,842 measured pages has 1,959
# Blocks per shingle that a run is compared with, or twice the shingle's count in the run if that is more.
# No measured page exceeds the limit.
MAX_NEAR_BLOCKS = 64


@dataclass(frozen=True, slots=True)
class Alignment:
    """`shares[i]`: the share of block i that the lines contain, 0 to 1. `covered`: the share of the lines' words that blocks contain."""

    shares: tuple[float, ...]
    covered: float


def align(lines: Sequence[str], blocks: Sequence[TextBlock]) -> Alignment:
    """Align lines (in reading order) with blocks (in page order) and return the shares. `covered` is 1.0 if the lines contain no word."""
    texts = [found for line in lines if (found := split_words(line))]
    matched = match_equal(texts, blocks)
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
        """Return the long block whose words equal the run, or None. In the largest articles, one block holds lines separated by `br`."""
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
    """Set the shares of the blocks of which a run contains at least half, and return how many words of the run they cover."""
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
