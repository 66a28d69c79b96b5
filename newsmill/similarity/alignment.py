"""The alignment of two sequences."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

MAX_GAP = 2_500  # pairs of elements that difflib compares between two aligned ones: 50 on either side
Match = tuple[int, int, int]  # position in the old sequence, position in the new one, number of equal elements


def align(old: Sequence[str], new: Sequence[str]) -> list[Match]:
    """Runs of equal elements in the order of both sequences."""
    i = j = _count_common(old, new)
    end = _count_common(old[i:][::-1], new[j:][::-1])  # most texts differ in a small middle
    matches: list[Match] = [(0, 0, i)]
    old_end, new_end = len(old) - end, len(new) - end
    anchors = [(i + old_at, j + new_at) for old_at, new_at in _find_anchors(old[i:old_end], new[j:new_end])]
    for old_at, new_at in anchors:
        matches += (*_align_gap(old, new, i, old_at, j, new_at), (old_at, new_at, 1))
        i, j = old_at + 1, new_at + 1
    return _join([*matches, *_align_gap(old, new, i, old_end, j, new_end), (old_end, new_end, end)])


def _count_common(one: Sequence[str], other: Sequence[str]) -> int:
    """The number of equal elements at the beginnings."""
    return next((at for at, (first, second) in enumerate(zip(one, other, strict=False)) if first != second), min(len(one), len(other)))


def _find_anchors(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """The positions of elements that occur once in either sequence, as many of them as have one order in both."""
    counts, others = Counter(old), Counter(new)
    places = {element: at for at, element in enumerate(new) if others[element] == 1}
    pairs = [(at, places[element]) for at, element in enumerate(old) if counts[element] == 1 and element in places]
    ends: list[int] = []  # per length the smallest position in `new` at which an increasing sequence ends
    last: list[int] = []  # the pair there
    before: list[int | None] = []  # per pair the one before it in its sequence
    for number, (_, place) in enumerate(pairs):
        length = bisect_left(ends, place)
        before.append(last[length - 1] if length else None)
        ends[length : length + 1] = [place]
        last[length : length + 1] = [number]
    found: list[tuple[int, int]] = []
    current = last[-1] if last else None
    while current is not None:
        found.append(pairs[current])
        current = before[current]
    return found[::-1]


def _align_gap(old: Sequence[str], new: Sequence[str], i: int, old_end: int, j: int, new_end: int) -> Iterator[Match]:
    """The matches in old[i:old_end] and new[j:new_end]: equal beginnings, what difflib finds in a small rest, and equal ends."""
    start, end = i, old_end
    while i < old_end and j < new_end and old[i] == new[j]:
        i, j = i + 1, j + 1
    yield start, j - (i - start), i - start
    while i < old_end and j < new_end and old[old_end - 1] == new[new_end - 1]:
        old_end, new_end = old_end - 1, new_end - 1
    if 0 < (old_end - i) * (new_end - j) <= MAX_GAP:
        matcher = SequenceMatcher(None, old[i:old_end], new[j:new_end], autojunk=False)
        yield from ((i + match.a, j + match.b, match.size) for match in matcher.get_matching_blocks())
    yield old_end, new_end, end - old_end


def _join(matches: Sequence[Match]) -> list[Match]:
    """The matches that are not empty, with neighbours in one."""
    joined: list[Match] = []
    for old_at, new_at, count in matches:
        if not count:
            continue
        if joined and (joined[-1][0] + joined[-1][2], joined[-1][1] + joined[-1][2]) == (old_at, new_at):
            first_old, first_new, length = joined[-1]
            joined[-1] = (first_old, first_new, length + count)
        else:
            joined.append((old_at, new_at, count))
    return joined
