"""Which texts are (nearly) the same: a fingerprint to find candidates among millions by, and the exact measure to check them with. Pure.

A text is the set of its shingles, runs of five words; two are as alike as their sets: what is in both, of what is in either (Jaccard).
The fingerprint is MinHash (Broder, 1997) in bands. Each shingle has a place on a circle, and of 18 fixed points it is noted which place
comes next. Two texts have the same one at a point as often as they are alike, so of six bands of three points each at least one agrees for
55 % of the pairs that are alike by half, 92 % at 0.7, 99 % at 0.8 and all but one in 2,500 at 0.9: 1 - (1 - s³)⁶.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Set
from struct import pack, unpack
from zlib import crc32

from newsmill.relate.words import words

WORDS = 5  # of a shingle. Fewer are in texts that have nothing to do with each other, more make a changed word weigh more
BANDS = 6
ROWS = 3  # points of a band
# Shingles. In a text with fewer, one changed word alone brings it under 0.7, (n - 5) / (n + 5): nothing would be near it but the same text,
# and such texts are captions, notices and what a wall left.
LEAST = 30

Fingerprint = tuple[int, ...]  # BANDS signed numbers of 32 bits
Shingle = tuple[str, ...]

# A shingle's place is a sum of its words' numbers, each times a factor of its own, without the lowest and the highest bits (multilinear
# hashing: Lemire and Kaser, "Strongly universal string hashing is fast", 2012). The factors are the primes of xxHash32; any odd ones do.
_FACTORS = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1)
_WORD_BITS, _SHIFT, _PLACE_BITS = 28, 28, 30  # five products of 28 and 32 bits need 63; numbers of 30 bits are sorted fastest by Python
_POINTS = tuple((number << _PLACE_BITS) // (BANDS * ROWS) for number in range(BANDS * ROWS))


def fingerprint(text: str) -> Fingerprint | None:
    """The fingerprint of a text, the same on every machine; None where it is too short to say (LEAST). Never raises."""
    found = words(text)
    if len(found) < LEAST + WORDS - 1:
        return None
    places = _places(found)
    after = [places[at] if (at := bisect_left(places, point)) < len(places) else places[0] for point in _POINTS]
    # A band's points stand far apart on the circle: neighbours are followed by the same shingle where there are few.
    return tuple(crc32(pack(f"<{ROWS}I", *after[band::BANDS])) - (1 << 31) for band in range(BANDS))


def shingles(text: str) -> frozenset[Shingle]:
    """The shingles of a text; where it has fewer words than one, all its words together are one.

    >>> sorted(shingles("one two three four five six"))
    [('one', 'two', 'three', 'four', 'five'), ('two', 'three', 'four', 'five', 'six')]
    """
    found = words(text)
    return frozenset(zip(*(found[at:] for at in range(WORDS)), strict=False)) or frozenset({tuple(found)})


def similarity(one: Set[Shingle], other: Set[Shingle]) -> float:
    """How alike two texts are by their shingles, 0 to 1: what both have, of what either has."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def _places(found: list[str]) -> list[int]:
    """The shingles' places on the circle, in order.

    Reckoned on one long integer that holds a word's number in each 64 bits, so that Python's own arithmetic is the loop: half of what a
    comprehension takes.
    """
    count = len(found)
    row = int.from_bytes(pack(f"<{count}Q", *map(crc32, map(str.encode, found))), "little")
    row &= _each((1 << _WORD_BITS) - 1, count)
    total = sum((row >> 64 * at) * factor for at, factor in enumerate(_FACTORS))
    places = (total >> _SHIFT) & _each((1 << _PLACE_BITS) - 1, count - WORDS + 1)
    return sorted(unpack(f"<{count - WORDS + 1}Q", places.to_bytes(8 * (count - WORDS + 1), "little")))


def _each(value: int, count: int) -> int:
    """The value in each 64 bits."""
    return int.from_bytes(value.to_bytes(8, "little") * count, "little")
