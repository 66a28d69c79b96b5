"""Find the lines of a text among the blocks of its page: which block holds how much of it. Decides nothing.

Lines that equal a block are matched first, those that occur once before those that occur often (nearest to their neighbours).
What is left between two matches is compared as one run by 4-word shingles, because an extractor breaks a block at every `br`,
joins table cells into rows, and a block may hold several of its lines.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice

from newsmill.read.blocks import TextBlock, words

SHINGLE = 4  # words; the unit of the article-extraction-benchmark metric, long enough not to match by chance
HALF = 0.5  # a block counts as held when half of it is there
NEAREST = 64  # blocks with one shingle that a run is compared with, or twice as many as it holds it; all, on every page measured


@dataclass(frozen=True, slots=True)
class Alignment:
    """`shares[i]`: how much of block i stands in the lines, 0 to 1. `covered`: how much of the lines' words stands in blocks, 0 to 1."""

    shares: tuple[float, ...]
    covered: float


def align(lines: Sequence[str], blocks: Sequence[TextBlock]) -> Alignment:
    """Align lines (in reading order) to blocks (in page order)."""
    texts = [found for line in lines if (found := words(line))]
    matched = _match_equal(texts, blocks)
    shares = [0.0] * len(blocks)
    total = covered = 0
    for text, index in zip(texts, matched, strict=True):
        total += len(text)
        if index is not None:
            shares[index] = 1.0
            covered += len(text)
    if runs := _runs(texts, matched, len(blocks)):
        places = _ShingleIndex((run for run, _, _ in runs), blocks, shares)
        covered += sum(_match_run(run, places, shares, before, after) for run, before, after in runs)
    return Alignment(tuple(shares), covered / total if total else 1.0)


def _match_equal(texts: list[list[str]], blocks: Sequence[TextBlock]) -> list[int | None]:
    """For each line the block with the same words, or None. Long and unique ones first: they anchor the others."""
    equal = defaultdict[tuple[str, ...], list[int]](list)
    for block in blocks:
        equal[tuple(block.words)].append(block.index)
    matched: list[int | None] = [None] * len(texts)
    groups: dict[tuple[str, ...], _FreeBlocks] = {}
    open_lines = []
    for number, text in enumerate(texts):
        key = tuple(text)
        if key not in equal:
            continue
        group = groups.get(key)
        if group is None:
            group = groups[key] = _FreeBlocks(equal[key])
            if len(equal[key]) == 1 and len(text) >= SHINGLE:
                matched[number] = equal[key][0]
                group.take(equal[key][0])
                continue
        open_lines.append((number, group))
    anchors = _NextAbove([-1 if index is None else index for index in matched])
    before, reached = -1, 0
    for number, group in open_lines:
        for index in matched[reached:number]:
            before = before if index is None else index
        reached = number
        after = anchors.find(number + 1, before, len(blocks))
        best = group.nearest(before, after, anywhere=len(texts[number]) >= SHINGLE)
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
        position = _root(self.up, start)
        following = self.indices[position] if position < len(self.indices) else None
        if following is not None and following < after:
            return following
        if not anywhere:
            return None
        position = _root(self.down, start)
        preceding = self.indices[position - 1] if position else None
        if following is None or preceding is None:
            return preceding if following is None else following
        return preceding if before - preceding <= following - before else following


def _root(links: list[int], position: int) -> int:
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


def _runs(texts: list[list[str]], matched: list[int | None], end: int) -> list[tuple[list[str], int, int]]:
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


class _ShingleIndex:
    """In which blocks the shingles of unmatched lines stand, so that a run of lines need not be compared with every block of the page."""

    def __init__(self, runs: Iterable[Sequence[str]], blocks: Sequence[TextBlock], shares: Sequence[float]) -> None:
        wanted = {gram for run in runs for size in range(1, SHINGLE + 1) for gram in _grams(run, size)}
        self.shares = shares
        self.sizes = [max(1, len(block.words) - SHINGLE + 1) for block in blocks]  # shingles; a short block is one
        self.places = defaultdict[tuple[str, ...], list[tuple[int, int]]](list)  # block and count, in page order
        for block in blocks:
            if block.words and shares[block.index] < HALF:
                grams = _grams(block.words, min(SHINGLE, len(block.words)))
                for gram, count in Counter(filter(wanted.__contains__, grams)).items():
                    self.places[gram].append((block.index, count))

    def known(self, run: Sequence[str]) -> Counter[tuple[str, ...]]:
        """The shingles of a run that stand in a block, counted; of fewer than SHINGLE words too, for short blocks."""
        known = Counter[tuple[str, ...]]()
        for size in range(1, SHINGLE + 1):
            known.update(filter(self.places.__contains__, _grams(run, size)))
        return known

    def candidates(
        self, known: Mapping[tuple[str, ...], int], before: int, after: int
    ) -> Iterator[tuple[int, list[tuple[tuple[str, ...], int]]]]:
        """Blocks of which at least half may stand in a run, with the shingles that do: those where the run should lie, then all others.

        (Extractors move text, and second copies must come second.) A word or two stand everywhere; they count only where they are expected.
        """
        found = defaultdict[int, list[tuple[tuple[str, ...], int]]](list)
        for gram, count in known.items():
            for index, times in self._nearest(gram, max(NEAREST, 2 * count), before, after):
                found[index].append((gram, times))
        for index in sorted(found, key=lambda index: (not before < index < after, index)):
            if sum(times for _, times in found[index]) >= HALF * self.sizes[index]:
                yield index, found[index]

    def _nearest(self, gram: tuple[str, ...], most: int, before: int, after: int) -> list[tuple[int, int]]:
        """Where a shingle stands, at most so many places: from the run's expected place on, then the last ones before it."""
        places = self.places[gram]
        start = bisect_left(places, (before + 1, 0))
        if len(gram) < SHINGLE:
            return places[start : min(start + most, bisect_left(places, (after, 0)))]
        first = max(0, min(start, len(places) - most))
        return places[first : first + most]


def _match_run(run: list[str], index: _ShingleIndex, shares: list[float], before: int, after: int) -> int:
    """Mark the blocks of which a run holds at least half; returns how many words of the run they cover. A copy counts once."""
    left = index.known(run)
    held: set[tuple[str, ...]] = set()
    short = 0
    for block, grams in index.candidates(left, before, after):
        if shares[block] >= HALF:
            continue
        hits = [(gram, count) for gram, count in grams if left[gram] > 0]
        total = sum(count for _, count in hits)
        if total and total >= HALF * index.sizes[block]:
            shares[block] = max(shares[block], total / index.sizes[block])
            for gram, count in hits:
                left[gram] -= count
            held.update(gram for gram, _ in hits)
            short += sum(len(gram) for gram, _ in hits if len(gram) < SHINGLE)
    return min(len(run), _covered(run, held) + short)


def _grams(text: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    """The runs of `size` words of a text, none where it is shorter."""
    return zip(*(islice(text, start, None) for start in range(size)), strict=False)


def _covered(run: list[str], held: Set[tuple[str, ...]]) -> int:
    """How many words of the run stand in a shingle that was found. A run of fewer than SHINGLE words is one shingle."""
    hit = bytearray(len(run))
    for i, gram in enumerate(_grams(run, min(SHINGLE, len(run)))):
        if gram in held:
            hit[i : i + SHINGLE] = b"\1" * len(hit[i : i + SHINGLE])
    return sum(hit)
