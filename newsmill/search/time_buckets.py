"""Stretches of time as words of the index. Pure.

GIN knows no order: asked for a word, it hands out every document of ten years that holds it. FTS5 knows the order of time, but not where
to stop looking for the next match. Asked for a word and a few stretches of time, both leave alone what lies in none of them. Each document
is in one stretch of each length.
"""

from __future__ import annotations

from newsmill.search.entry import MOMENTS_PER_SECOND

# Half an hour, four hours, a day and a third, and so on to two years: each eight times the one before, so that few of one length cover any.
BUCKET_MOMENTS = tuple(1800 * 8**level * MOMENTS_PER_SECOND for level in range(6))
MAX_BUCKETS = 16


def bucket_terms(moment: int) -> list[str]:
    """The words for the stretches a moment lies in."""
    return [_bucket_term(level, moment // length) for level, length in enumerate(BUCKET_MOMENTS)]


def covering_terms(lower: int, upper: int) -> list[str]:
    """The words of the stretches that together hold every moment from `lower` on and before `upper`, and little else; none for a time
    so long that naming it would leave out nothing."""
    for level, length in enumerate(BUCKET_MOMENTS):
        first, last = lower // length, (upper - 1) // length
        if last - first < MAX_BUCKETS:
            return [_bucket_term(level, number) for number in range(first, last + 1)]
    return []


def _bucket_term(level: int, number: int) -> str:
    return f"\ue005{level}{number:x}"
