"""Find the lines of a text among the blocks of its page: which block holds how much of it. Decides nothing.

Lines that equal a block are matched first, those that occur once before those that occur often (nearest to their neighbours).
What is left between two matches is compared as one run by 4-word shingles, because an extractor breaks a block at every `br`,
joins table cells into rows, and a block may hold several of its lines.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from newsmill.read.blocks import TextBlock, words

SHINGLE = 4  # words; the unit of the article-extraction-benchmark metric, long enough not to match by chance
HALF = 0.5  # a block counts as held when half of it is there


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
    for run, before, after in _runs(texts, matched, len(blocks)):
        covered += _match_run(run, blocks, shares, before, after)
    return Alignment(tuple(shares), covered / total if total else 1.0)


def _match_equal(texts: list[list[str]], blocks: Sequence[TextBlock]) -> list[int | None]:
    """For each line the block with the same words, or None. Long and unique ones first: they anchor the others."""
    places = defaultdict(list)
    for block in blocks:
        places[tuple(block.words)].append(block.index)
    matched: list[int | None] = [None] * len(texts)
    taken: set[int] = set()
    open_lines = []
    for number, text in enumerate(texts):
        found = places.get(tuple(text), ())
        if len(found) == 1 and len(text) >= SHINGLE and found[0] not in taken:
            matched[number] = found[0]
            taken.add(found[0])
        elif found:
            open_lines.append((number, found))
    for number, found in open_lines:
        before, after = _neighbours(matched, number, len(blocks))
        free = [place for place in found if place not in taken]
        inside = [place for place in free if before < place < after]
        if inside or (free and len(texts[number]) >= SHINGLE):
            best = min(inside or free, key=lambda place: abs(place - before))
            matched[number] = best
            taken.add(best)
    return matched


def _neighbours(matched: list[int | None], number: int, end: int) -> tuple[int, int]:
    """The blocks of the nearest matched lines before and after a line; an impossible pair gives the whole page."""
    before = next((m for m in reversed(matched[:number]) if m is not None), -1)
    after = next((m for m in matched[number + 1 :] if m is not None and m > before), end)
    return before, after


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


def _match_run(run: list[str], blocks: Sequence[TextBlock], shares: list[float], before: int, after: int) -> int:
    """Mark the blocks of which a run holds at least half; returns how many words of the run they cover. A copy counts once."""
    left: dict[int, dict[tuple[str, ...], int]] = {size: dict(Counter(shingles(run, size))) for size in range(1, SHINGLE + 1)}
    held: set[tuple[str, ...]] = set()
    short = 0
    for block in _between_first(blocks, before, after):
        if shares[block.index] >= HALF or not block.words:
            continue
        size = min(SHINGLE, len(block.words))
        if size < SHINGLE and not before < block.index < after:
            continue  # a word or two stand everywhere; they count only where they are expected
        own = shingles(block.words, size)
        there = left[size]
        hits = [gram for gram in own if there.get(gram, 0) > 0]
        if len(hits) >= HALF * len(own):
            shares[block.index] = max(shares[block.index], len(hits) / len(own))
            for gram in hits:
                there[gram] -= 1
            held.update(hits)
            short += size if size < SHINGLE else 0
    return min(len(run), _covered(run, held) + short)


def _between_first(blocks: Sequence[TextBlock], before: int, after: int) -> list[TextBlock]:
    """The blocks where a run should lie, then all others (extractors move text, and second copies must come second)."""
    return [*blocks[before + 1 : after], *blocks[: before + 1], *blocks[after:]]


def shingles(text: list[str], size: int = SHINGLE) -> list[tuple[str, ...]]:
    """The shingles of a word list, `size` words each; a shorter list is one shingle."""
    if len(text) <= size:
        return [tuple(text)]
    return list(zip(*(text[i:] for i in range(size)), strict=False))


def _covered(run: list[str], held: set[tuple[str, ...]]) -> int:
    """How many words of the run stand in a 4-word shingle that was found."""
    hit = bytearray(len(run))
    for i, gram in enumerate(shingles(run)):
        if gram in held:
            hit[i : i + SHINGLE] = b"\1" * len(hit[i : i + SHINGLE])
    return sum(hit)
