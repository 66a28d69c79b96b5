"""The comparison of the fast path with full extraction, on a sample of pages."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b

from newsmill.extraction.body.blocks import split_words
from newsmill.model import Document, Profile

# One page in so many is extracted on both paths; a sample costs as much as three fast pages.
# A site learned from SETTLED_PAGES pages needs fewer samples: one in SETTLED_SAMPLE_ONE_IN.
SAMPLE_ONE_IN = 20
SETTLED_PAGES, SETTLED_SAMPLE_ONE_IN = 60, 50
# One sample in so many is a sample again at re-extraction, because it was compared when it was first fetched.
REEXTRACT_SAMPLE_FACTOR = 5
MIN_AGREEMENT_F1 = 0.97  # F1 over words from which both paths agree on a page


def is_sample(url: str, profile: Profile, *, again: bool = False) -> bool:
    """Return whether a page is extracted on both paths. The result depends only on the URL and the profile.

    `again`: the page is re-extracted. The samples are then a subset of those of the first extraction.
    """
    number = int.from_bytes(blake2b(url.encode("utf-8", "replace"), digest_size=4).digest())
    one_in = SAMPLE_ONE_IN if max(profile.pages, profile.looked_at) < SETTLED_PAGES else SETTLED_SAMPLE_ONE_IN
    return number % (one_in * REEXTRACT_SAMPLE_FACTOR if again else one_in) == 0


def is_same_result(one: Document | None, other: Document | None) -> bool:
    """Return whether both paths gave the same title, the same day, and nearly the same words for a page."""
    if one is None or other is None:
        return one is other
    same = one.published_day == other.published_day and split_words(one.title or "") == split_words(other.title or "")
    return same and measure_f1(one.text, other.text) >= MIN_AGREEMENT_F1


def measure_f1(one: str, other: str) -> float:
    """Return the F1 over the words of two texts, 0 to 1."""
    left, right = Counter(split_words(one)), Counter(split_words(other))
    both = sum((left & right).values())
    return 2 * both / (left.total() + right.total()) if both else float(not left and not right)
