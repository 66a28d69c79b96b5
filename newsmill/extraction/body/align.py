"""Find the lines of a text among the blocks of its page: which block holds how much of it. Decides nothing.

Lines that equal a block are matched first, those that occur once before those that occur often (nearest to their neighbours).
What is left between two matches is compared as one run by 4-word shingles, because an extractor breaks a block at every `br`,
joins table cells into rows, and a block may hold several of its lines.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from newsmill.extraction.body.blocks import TextBlock, split_words

SHINGLE_WORDS = 4  # words; the unit of the article-extraction-benchmark metric, long enough not to match by chance
HALF = 0.5  # a block counts as held when half of it is there
LONG_BLOCK_WORDS = 10_000  # words of a block; the longest of 1,842 measured pages has 1,959
MAX_NEAR_BLOCKS = 64  # blocks with one shingle that a run is compared with, or twice as many as it holds it; all, on every page measured


@dataclass(frozen=True, slots=True)
class Alignment:
    """`shares[i]`: how much of block i stands in the lines, 0 to 1. `covered`: how much of the lines' words stands in blocks, 0 to 1."""

    shares: tuple[float, ...]
    covered: float


def align(lines: Sequence[str], blocks: Sequence[TextBlock]) -> Alignment:
    """Align lines (in reading order) to blocks (in page order)."""
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
    del texts, matched  # 1.5 million words of the largest page are held once less
    if runs:
        places = _BlockIndex([run for run, _, _ in runs], blocks, shares)
        covered += sum(_match_run(run, places, shares, before, after) for run, before, after in runs)
    return Alignment(tuple(shares), covered / total if total else 1.0)


def _match_equal(texts: list[list[str]], blocks: Sequence[TextBlock]) -> list[int | None]:
    """For each line the block with the same words, or None. Long and unique ones first: they anchor the others."""
    first_words = {text[0] for text in texts}
    equal = defaultdict[tuple[str, ...], list[int]](list)
    for block in blocks:
        if block.words and block.words[0] in first_words:  # most blocks are menus and teasers
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
        elif indices[0] not in anchored:  # a second line of these words has no block
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
    """Blocks of the same words, in page order, of which those that are not taken are found in nearly constant time (disjoint sets)."""

    def __init__(self, indices: Sequence[int]) -> None:
        self.indices = indices
        self.up = list(range(len(indices) + 1))  # from each position to one nearer to the next free one
        self.down = list(range(len(indices) + 1))  # the same towards the start, positions counted from 1; 0 is none

    def take(self, index: int) -> None:
        position = bisect_left(self.indices, index)
        self.up[position] = position + 1
        self.down[position + 1] = position

    def nearest(self, before: int, after: int, *, anywhere: bool) -> int | None:
        """The first free block between two others; if there is none and it may stand anywhere, the one nearest to `before`."""
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
    """Where the links lead from a position; the way is halved for the next call."""
    while links[position] != position:
        links[position] = links[links[position]]
        position = links[position]
    return position


class _NextAbove:
    """Finds the next value above a bound in logarithmic time: a tree of maxima."""

    def __init__(self, values: Sequence[int]) -> None:
        self.size = 1 << max(len(values) - 1, 0).bit_length()
        self.tree = [-1] * self.size + [*values] + [-1] * (self.size - len(values))
        for node in range(self.size - 1, 0, -1):
            self.tree[node] = max(self.tree[2 * node], self.tree[2 * node + 1])

    def find(self, start: int, bound: int, default: int) -> int:
        """The first value from position `start` on that is greater than `bound`."""
        if start >= self.size:
            return default
        node = start + self.size
        while self.tree[node] <= bound:
            while node & 1:  # a right child: what follows it is right of its parent
                node >>= 1
            if node == 0:
                return default
            node += 1
        while node < self.size:
            node = 2 * node if self.tree[2 * node] > bound else 2 * node + 1
        return self.tree[node]


def _list_runs(texts: list[list[str]], matched: list[int | None], end: int) -> list[tuple[list[str], int, int]]:
    """Runs of unmatched lines as one word list, with the blocks they lie between."""
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
    """In which blocks the shingles of unmatched lines stand, so that a run of lines need not be compared with every block of the page.

    Shingles are known by their hash, which takes a third of the memory. Blocks of more than LONG words are not indexed but compared whole.
    """

    def __init__(self, runs: Sequence[Sequence[str]], blocks: Sequence[TextBlock], shares: Sequence[float]) -> None:
        open_blocks = [block for block in blocks if block.words and shares[block.index] < HALF]
        indexed = [block for block in open_blocks if len(block.words) <= LONG_BLOCK_WORDS]
        self.long = {block.index: block.words for block in open_blocks if len(block.words) > LONG_BLOCK_WORDS}
        self.sizes = {block.index: max(1, len(block.words) - SHINGLE_WORDS + 1) for block in open_blocks}  # shingles; a short block is one
        self.short: dict[int, int] = {}  # words of a shingle that is a whole block, where they are fewer than SHINGLE
        self.places = defaultdict[int, list[tuple[int, int]]](list)  # block and count, in page order
        wanted = {gram for run in runs for gram in _hash_shingles(run)} if indexed else set[int]()
        for block in indexed:
            if len(block.words) < SHINGLE_WORDS:
                gram = hash(tuple(block.words))
                self.short[gram] = len(block.words)
                self.places[gram].append((block.index, 1))
            else:
                for gram, count in Counter(filter(wanted.__contains__, _hash_shingles(block.words))).items():
                    self.places[gram].append((block.index, count))

    def whole(self, run: Sequence[str]) -> int | None:
        """The long block that says just what a run says: an article whose lines are set apart by `br`, the largest kind there is."""
        return next((block for block in self._long_enough(run) if self.long[block] == run), None)

    def count(self, run: Sequence[str]) -> dict[int, int]:
        """How often a run holds each shingle that may stand in a block."""
        is_long = next(self._long_enough(run), None) is not None
        known = Counter(_hash_shingles(run) if is_long else filter(self.places.__contains__, _hash_shingles(run)))
        for size in set(self.short.values()):
            known.update(filter(self.short.__contains__, _hash_shingles(run, size)))
        return known

    def candidates(
        self, run: Sequence[str], known: Mapping[int, int], before: int, after: int
    ) -> Iterator[tuple[int, Callable[[], Iterable[int]]]]:
        """Blocks of which at least half may stand in a run, and shingles of theirs: first those where the run should lie, then all others.

        (Extractors move text, and second copies must come second.) A word or two stand everywhere; they count only where they are expected.
        """
        found = defaultdict[int, list[tuple[int, int]]](list)
        for gram, count in known.items():
            for block, times in self._nearest(gram, max(MAX_NEAR_BLOCKS, 2 * count), before, after):
                found[block].append((gram, times))
        likely = [block for block, grams in found.items() if sum(times for _, times in grams) >= HALF * self.sizes[block]]
        for block in sorted((*likely, *self._long_enough(run)), key=lambda block: (not before < block < after, block)):
            if block in self.long:
                yield block, partial(_hash_shingles, self.long[block])  # not held as a list, as the largest page has 1.5 million
            else:
                yield block, partial(_repeat_shingles, found[block])

    def _long_enough(self, run: Sequence[str]) -> Iterator[int]:
        """The long blocks of which a run is long enough to hold half."""
        return (block for block in self.long if len(run) >= HALF * self.sizes[block])

    def _nearest(self, gram: int, most: int, before: int, after: int) -> list[tuple[int, int]]:
        """Where a shingle stands, at most so many places: from the run's expected place on, then the last ones before it."""
        places = self.places.get(gram, [])
        start = bisect_left(places, (before + 1, 0))
        if gram in self.short:
            return places[start : min(start + most, bisect_left(places, (after, 0)))]
        first = max(0, min(start, len(places) - most))
        return places[first : first + most]


def _match_run(run: list[str], index: _BlockIndex, shares: list[float], before: int, after: int) -> int:
    """Mark the blocks of which a run holds at least half; returns how many words of the run they cover. A copy counts once."""
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
    """How many copies of a shingle are left in the run.

    A shingle that no block held yet has the number itself; one that a block held has -1 minus the number. Python keeps one object for each
    number near 0, so that 1.5 million shingles need no objects for their counts.
    """
    return count if count >= 0 else -1 - count


def _repeat_shingles(grams: Sequence[tuple[int, int]]) -> Iterator[int]:
    """Each shingle as often as its number says."""
    return (gram for gram, times in grams for _ in range(times))


def _hash_shingles(text: Sequence[str], size: int = SHINGLE_WORDS) -> Iterator[int]:
    """The hashes of the shingles of a text, `size` words each; none where it is shorter."""
    return map(hash, zip(*(islice(text, start, None) for start in range(size)), strict=False))


def _count_covered(run: list[str], left: Mapping[int, int]) -> int:
    """How many words of the run stand in a shingle that a block held. A run of fewer than SHINGLE words is one shingle."""
    hit = bytearray(len(run))
    for i, gram in enumerate(_hash_shingles(run, min(SHINGLE_WORDS, len(run)))):
        if left.get(gram, 0) < 0:
            hit[i : i + SHINGLE_WORDS] = b"\1" * len(hit[i : i + SHINGLE_WORDS])
    return sum(hit)
