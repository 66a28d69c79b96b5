"""How two revisions of a document differ: the changed fields, and the texts paragraph by paragraph and word by word. Pure.

Paragraphs that occur once in both texts are aligned first (patience diff: the longest increasing subsequence of their positions). The gaps
between them are compared by difflib, which is quadratic, so only small gaps are; larger ones count as removed and added. Of the paragraphs
in a gap, similar ones are a changed paragraph, whose words are compared in the same way.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from difflib import SequenceMatcher
from enum import StrEnum

from newsmill.model import Revision
from newsmill.model.document_fields import Use, list_fields
from newsmill.similarity.near_duplicates import SIGNS, UNSPACED
from newsmill.text import lazy_re as re

COMPARED = tuple(field.name for field in fields(Revision) if field.name in list_fields(Use.COMPARED))
MAX_GAP = 2_500  # pairs of elements that difflib compares between two aligned ones: 50 on either side
MIN_SIMILARITY = 0.5  # share of common words of two paragraphs that are one changed paragraph
MAX_CANDIDATES = 8  # added paragraphs with which a removed one is compared
MAX_PAIRED_CHARACTERS = 400_000  # removed and added; more are not compared by word, which would take more than a second
MAX_COUNTED_CHARACTERS = 1_000_000  # of a text whose changed words are counted: a million take 0.3 s

SEPARATOR = "\n\n"  # between paragraphs of `Document.text`
# A character of a script without spaces, a word, white space, or one other character: every text is the sequence of its tokens.
_SPACED = rf"[^\W{UNSPACED}]+(?:[{SIGNS}]+[^\W{UNSPACED}]*)*"
_TOKEN = re.compile(rf"[{UNSPACED}][{SIGNS}]*|{_SPACED}|\s+|.", re.DOTALL)
_WORD = re.compile(rf"(?P<unspaced>[{UNSPACED}])[{SIGNS}]*|{_SPACED}")

Match = tuple[int, int, int]  # position in the old sequence, position in the new one, number of equal elements


class ChangeKind(StrEnum):
    KEPT = "kept"
    REMOVED = "removed"
    ADDED = "added"
    CHANGED = "changed"  # of a paragraph with pieces of the other kinds


@dataclass(frozen=True, slots=True)
class Piece:
    """Neighbouring words that are in both texts, only in the old one or only in the new one."""

    kind: ChangeKind
    text: str


@dataclass(frozen=True, slots=True)
class ParagraphChange:
    """A paragraph in the order of reading. One that is not CHANGED has one piece of its kind."""

    kind: ChangeKind
    pieces: tuple[Piece, ...]


def list_changed_fields(old: Revision, new: Revision) -> tuple[str, ...]:
    """The names of the compared fields whose values differ."""
    return tuple(name for name in COMPARED if getattr(old, name) != getattr(new, name))


def count_changed_words(old: str, new: str) -> tuple[int, int]:
    """(words added, words removed): how often words are in one text and not, or less often, in the other. A moved sentence counts zero.

    Two characters of a script without spaces between words count as one word, as in `Document.word_count`.

    >>> count_changed_words("the old bridge", "the new, new bridge")
    (2, 1)
    """
    if old == new:
        return 0, 0
    before, after = (Counter(text[:MAX_COUNTED_CHARACTERS].split(SEPARATOR)) for text in (old, new))
    removed, added = _count_words(before - after), _count_words(after - before)
    return _sum_words(added - removed), _sum_words(removed - added)


def compare_texts(old: str, new: str) -> tuple[ParagraphChange, ...]:
    """The paragraphs of both texts in the order of reading; `restore_old` and `restore_new` give the texts back."""
    before, after = old.split(SEPARATOR), new.split(SEPARATOR)
    matches = [*_align(before, after), (len(before), len(after), 0)]
    kept = {at + step for at, _, count in matches for step in range(count)}
    unmatched = sum(map(len, before)) + sum(map(len, after)) - 2 * sum(len(before[at]) for at in kept)
    changes: list[ParagraphChange] = []
    i = j = 0
    for old_at, new_at, count in matches:
        changes += _compare_gap(before[i:old_at], after[j:new_at], pairs=unmatched <= MAX_PAIRED_CHARACTERS)
        changes += (_whole(ChangeKind.KEPT, paragraph) for paragraph in before[old_at : old_at + count])
        i, j = old_at + count, new_at + count
    return tuple(changes)


def compare_words(old: str, new: str) -> tuple[Piece, ...]:
    """The pieces of both texts in the order of reading. Blanks between two changes belong to them."""
    before, after = _TOKEN.findall(old), _TOKEN.findall(new)
    pieces: list[Piece] = []
    i = j = 0
    removed = added = ""
    for old_at, new_at, count in (*_align(before, after), (len(before), len(after), 0)):
        removed, added = removed + "".join(before[i:old_at]), added + "".join(after[j:new_at])
        kept = "".join(before[old_at : old_at + count])
        i, j = old_at + count, new_at + count
        if kept.isspace() and (removed or added) and (i, j) != (len(before), len(after)):
            removed, added = removed + kept, added + kept
            continue
        pieces += [Piece(ChangeKind.REMOVED, removed)] if removed else []
        pieces += [Piece(ChangeKind.ADDED, added)] if added else []
        pieces += [Piece(ChangeKind.KEPT, kept)] if kept else []
        removed = added = ""
    return tuple(pieces)


def restore_old(changes: Sequence[ParagraphChange]) -> str:
    """The old text of a comparison."""
    return _restore(changes, ChangeKind.ADDED)


def restore_new(changes: Sequence[ParagraphChange]) -> str:
    """The new text of a comparison."""
    return _restore(changes, ChangeKind.REMOVED)


def _restore(changes: Sequence[ParagraphChange], absent: ChangeKind) -> str:
    present = (change for change in changes if change.kind is not absent)
    return SEPARATOR.join("".join(piece.text for piece in change.pieces if piece.kind is not absent) for change in present)


def _whole(kind: ChangeKind, paragraph: str) -> ParagraphChange:
    return ParagraphChange(kind, (Piece(kind, paragraph),))


def _count_words(paragraphs: Counter[str]) -> Counter[str]:
    return Counter(found[0] for found in _WORD.finditer(SEPARATOR.join(paragraphs.elements())))


def _sum_words(words: Counter[str]) -> int:
    unspaced = sum(count for word, count in words.items() if (found := _WORD.match(word)) and found["unspaced"])
    return words.total() - unspaced + (unspaced + 1) // 2


def _compare_gap(removed: Sequence[str], added: Sequence[str], *, pairs: bool) -> Iterator[ParagraphChange]:
    """Paragraphs between two that both texts have. `pairs`: look for changed ones."""
    ours, theirs = ([_list_words(text) for text in texts] if pairs else [] for texts in (removed, added))
    at = 0
    for number, paragraph in enumerate(removed):
        candidates = range(at, min(at + MAX_CANDIDATES, len(added))) if pairs else range(0)
        best = max(candidates, key=lambda other: _similarity(ours[number], theirs[other]), default=None)
        if best is None or _similarity(ours[number], theirs[best]) < MIN_SIMILARITY:
            yield _whole(ChangeKind.REMOVED, paragraph)
            continue
        yield from (_whole(ChangeKind.ADDED, one) for one in added[at:best])
        if paragraph == added[best]:
            yield _whole(ChangeKind.KEPT, paragraph)
        else:
            yield ParagraphChange(ChangeKind.CHANGED, compare_words(paragraph, added[best]))
        at = best + 1
    yield from (_whole(ChangeKind.ADDED, one) for one in added[at:])


@dataclass(frozen=True, slots=True)
class _Words:
    """The words of a paragraph, each with its number, and their sum."""

    counts: Counter[str]
    total: int


def _list_words(paragraph: str) -> _Words:
    counts = Counter(found[0] for found in _WORD.finditer(paragraph))
    return _Words(counts, counts.total())


def _similarity(one: _Words, other: _Words) -> float:
    """The share of common words, 0 to 1. Its cost is that of the smaller text."""
    small, large = (one.counts, other.counts) if len(one.counts) <= len(other.counts) else (other.counts, one.counts)
    total = one.total + other.total
    return 2 * sum(min(count, large[word]) for word, count in small.items()) / total if total else 0.0


# ---- alignment of two sequences


def _align(old: Sequence[str], new: Sequence[str]) -> list[Match]:
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
