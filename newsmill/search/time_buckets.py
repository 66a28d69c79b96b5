"""Time buckets: terms of the index that let a search skip what lies outside a span of time. Pure.

A time bucket is a term of the index, and each document is in one bucket of each length. For a word alone, GIN returns every document with
it, and FTS5 reads on until the next match. For a word and a few time buckets, both skip everything else. With a small source and a common
word, which lie far apart, a search then takes 40 ms on SQLite (p95) at a million documents (`benchmarks/growth.py --sizes 1000000`).
"""

from __future__ import annotations

from newsmill.search.positions import MOMENTS_PER_SECOND

# Half an hour to two years, each eight times the one before, so that few buckets cover any span.
BUCKET_MOMENTS = tuple(1800 * 8**level * MOMENTS_PER_SECOND for level in range(6))
MAX_BUCKETS = 16


def bucket_terms(moment: int) -> list[str]:
    """The terms of the buckets that a moment lies in, one for each length."""
    return [_bucket_term(level, moment // length) for level, length in enumerate(BUCKET_MOMENTS)]


def covering_terms(lower: int, upper: int) -> list[str]:
    """The terms of at most MAX_BUCKETS buckets that cover the times from `lower` on and before `upper`; empty for too long a span."""
    for level, length in enumerate(BUCKET_MOMENTS):
        first, last = lower // length, (upper - 1) // length
        if last - first < MAX_BUCKETS:
            return [_bucket_term(level, number) for number in range(first, last + 1)]
    return []


def _bucket_term(level: int, number: int) -> str:
    return f"\ue005{level}{number:x}"
