"""How two revisions of a document differ: the changed fields, and the texts paragraph by paragraph and word by word. Pure.

Paragraphs that occur once in both texts are aligned first (patience diff: the longest increasing subsequence of their positions). The gaps
between them are compared by difflib, which is quadratic, so only small gaps are; larger ones count as removed and added. Of the paragraphs
in a gap, similar ones are a changed paragraph, whose words are compared in the same way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum

from newsmill.model import Revision
from newsmill.model.document_fields import Use, list_fields
from newsmill.similarity.alignment import align
from newsmill.similarity.near_duplicates import SIGNS, UNSPACED
from newsmill.text import lazy_re as re

COMPARED = tuple(field.name for field in fields(Revision) if field.name in list_fields(Use.COMPARED))
MIN_SIMILARITY = 0.5  # share of common words of two paragraphs that are one changed paragraph
MAX_CANDIDATES = 8  # added paragraphs with which a removed one is compared
MAX_PAIRED_CHARACTERS = 400_000  # removed and added; more are not compared by word, which would take more than a second
MAX_COUNTED_CHARACTERS = 1_000_000  # of a text whose changed words are counted: a million take 0.3 s

SEPARATOR = "\n\n"  # between paragraphs of `Document.text`
# A character of a script without spaces, a word, white space, or one other character: every text is the sequence of its tokens.
_SPACED = rf"[^\W{UNSPACED}]+(?:[{SIGNS}]+[^\W{UNSPACED}]*)*"
_TOKEN = re.compile(rf"[{UNSPACED}][{SIGNS}]*|{_SPACED}|\s+|.", re.DOTALL)
_WORD = re.compile(rf"(?P<unspaced>[{UNSPACED}])[{SIGNS}]*|{_SPACED}")


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
    matches = [*align(before, after), (len(before), len(after), 0)]
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
    for old_at, new_at, count in (*align(before, after), (len(before), len(after), 0)):
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
