"""A text as the words by which it is compared with others. Pure.

Case, punctuation, quotation marks and white space do not count: publishers set them each in their own way. Digits do. Where no spaces stand
between words (Chinese, Japanese, Thai, Khmer, Lao, Burmese), every four neighbouring characters are a word.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Set
from functools import lru_cache
from itertools import chain
from math import comb
from struct import pack, unpack
from zlib import crc32

MAX_TEXT_CHARACTERS = 100_000  # characters of a text that are compared: twenty long articles
WINDOW_CHARACTERS = 4  # characters: five such words in a row are eight characters, in Chinese about five words

# Python's \w leaves out the vowel signs of the scripts of India and South-East Asia; the danda (0964, 0965) is a full stop.
_SIGNS = (
    "\u0300-\u036f\u0483-\u0487\u0900-\u0963\u0966-\u0dff\u0e31-\u0e3a\u0e47-\u0e4e\u0eb1-\u0ebc\u0ec8-\u0ecd"
    "\u0f71-\u0f84\u102b-\u103e\u1056-\u109d\u17b4-\u17d3"
)
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_TYPOGRAPHIC_MARKS = "’“”‘–—…"  # in most English texts all that is not ASCII; without it they are cut into words in half the time
_PLAIN_WORD = re.compile("[0-9a-z]+")
_WORD = re.compile(rf"[\w{_SIGNS}]+")
_RUN = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")
_ANY_UNSPACED = re.compile(f"[{_UNSPACED}]")


def split_words(text: str) -> list[str]:
    """The words of a text, or of its first MOST_TEXT characters, in order.

    >>> words("“Don’t”, she said – 3.5 % MORE")
    ['don', 't', 'she', 'said', '3', '5', 'more']
    >>> words("iPhone东京都政府")
    ['iphone', '东京都政', '京都政府']
    """
    folded = text[:MAX_TEXT_CHARACTERS].casefold().replace("_", " ")
    if not folded.isascii():
        for mark in _TYPOGRAPHIC_MARKS:
            folded = folded.replace(mark, " ")
    if folded.isascii():
        return _PLAIN_WORD.findall(folded)
    found = _WORD.findall(folded)
    if not _ANY_UNSPACED.search(folded):
        return found
    return list(chain.from_iterable(_windows(run) for word in found for run in _RUN.findall(word)))


def _windows(run: str) -> list[str]:
    if not _ANY_UNSPACED.match(run):
        return [run]
    return [run[at : at + WINDOW_CHARACTERS] for at in range(max(1, len(run) - WINDOW_CHARACTERS + 1))]


# Which texts are (nearly) the same: a fingerprint to find candidates among millions by, and the exact measure to check them with. Pure.
#
# A text is the set of its shingles, runs of five words; two are as alike as their sets: what is in both, of what is in either (Jaccard).
# The fingerprint is MinHash (Broder, 1997) in bands. Each shingle has a place on a circle, and of 18 fixed points it is noted which place
# comes next. Two texts have the same one at a point as often as they are alike, so of six bands of three points each at least one agrees for
# 55 % of the pairs that are alike by half, 92 % at 0.7, 99 % at 0.8 and all but one in 2,500 at 0.9: 1 - (1 - s³)⁶.
#
# Of each place ten bits are kept (Li and König, "b-Bit Minwise Hashing", 2010), so that in how many of the 18 two fingerprints agree is seen
# from their bands: texts of which a band agrees by chance, or by one paragraph, agree in hardly another point (`enough`).

SHINGLE_WORDS = 5  # of a shingle. Fewer are in texts that have nothing to do with each other, more make a changed word weigh more
BANDS = 6
POINTS_PER_BAND = 3  # points of a band
BITS_PER_POINT = 10  # of each point's place: three make a number of 30, and two places that differ look the same once in 1,024 times
MAX_LOST_SHARE = 0.001  # of the pairs that are just alike enough, how many may be lost by `enough`, beside those of which no band agrees
# Shingles. In a text with fewer, one changed word alone brings it under 0.7, (n - 5) / (n + 5): nothing would be near it but the same text,
# and such texts are captions, notices and what a wall left.
MIN_SHINGLES = 30

Fingerprint = tuple[int, ...]  # BANDS numbers of ROWS times BITS bits
Shingle = tuple[str, ...]

# A shingle's place is a sum of its words' numbers, each times a factor of its own, without the lowest and the highest bits (multilinear
# hashing: Lemire and Kaser, "Strongly universal string hashing is fast", 2012). The factors are the primes of xxHash32; any odd ones do.
_FACTORS = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1)
_WORD_BITS, _SHIFT, _PLACE_BITS = 28, 28, 30  # five products of 28 and 32 bits need 63; numbers of 30 bits are sorted fastest by Python
_LOW = (1 << BITS_PER_POINT) - 1
_POINTS = tuple((number << _PLACE_BITS) // (BANDS * POINTS_PER_BAND) for number in range(BANDS * POINTS_PER_BAND))


def fingerprint(text: str) -> Fingerprint | None:
    """The fingerprint of a text, the same on every machine; None where it is too short to say (LEAST). Never raises."""
    found = split_words(text)
    if len(found) < MIN_SHINGLES + SHINGLE_WORDS - 1:
        return None
    places = _shingle_hashes(found)
    after = [places[at] if (at := bisect_left(places, point)) < len(places) else places[0] for point in _POINTS]
    # A band's points stand far apart on the circle: neighbours are followed by the same shingle where there are few.
    low = [place & _LOW for place in after]
    return tuple(
        a << 2 * BITS_PER_POINT | b << BITS_PER_POINT | c
        for a, b, c in zip(low[:BANDS], low[BANDS : 2 * BANDS], low[2 * BANDS :], strict=True)
    )


def count_agreeing_points(one: Fingerprint, other: Fingerprint) -> int:
    """In how many of their points, BANDS times ROWS, two fingerprints agree."""
    return sum(
        not (a ^ b) >> row & _LOW
        for a, b in zip(one, other, strict=True)
        for row in range(0, POINTS_PER_BAND * BITS_PER_POINT, BITS_PER_POINT)
    )


@lru_cache
def min_agreeing_points(least: float) -> int:
    """In how many points fingerprints of which a band agrees must agree in all, for their texts to be worth comparing.

    `least`: the similarity that is asked for, 0 to 1. Where texts are alike by s and a given band agrees, of the 15 other points fewer than
    k - 3 do with the probability P(Binomial(15, s) < k - 3). There are six bands, so of all pairs at most 6 · s³ · P have one that agrees
    and are lost by asking for k. P falls as s rises: 6 · P at `least` is more than is lost anywhere above, and the answer is the largest k
    with which it is below LOST. At 0.7 that is 7, by which one pair in 5,000 is lost (6 · 0.343 · 0.00009); texts that share one of eight
    paragraphs, s = 1/15, and a band agree in so many points once in 70 times. At 0.5 it is 4, at 0.9 11.
    """
    others = (BANDS - 1) * POINTS_PER_BAND
    agree, fewer = 0, 0.0
    while agree < others:
        fewer += comb(others, agree) * least**agree * (1 - least) ** (others - agree)
        if BANDS * fewer > MAX_LOST_SHARE:
            break
        agree += 1
    return POINTS_PER_BAND + agree


def shingles(text: str) -> frozenset[Shingle]:
    """The shingles of a text; where it has fewer words than one, all its words together are one.

    >>> sorted(shingles("one two three four five six"))
    [('one', 'two', 'three', 'four', 'five'), ('two', 'three', 'four', 'five', 'six')]
    """
    found = split_words(text)
    return frozenset(zip(*(found[at:] for at in range(SHINGLE_WORDS)), strict=False)) or frozenset({tuple(found)})


def similarity(one: Set[Shingle], other: Set[Shingle]) -> float:
    """How alike two texts are by their shingles, 0 to 1: what both have, of what either has."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def _shingle_hashes(found: list[str]) -> list[int]:
    """The shingles' places on the circle, in order.

    Reckoned on one long integer that holds a word's number in each 64 bits, so that Python's own arithmetic is the loop: half of what a
    comprehension takes.
    """
    count = len(found)
    row = int.from_bytes(pack(f"<{count}Q", *map(crc32, map(str.encode, found))), "little")
    row &= _repeat_in_words((1 << _WORD_BITS) - 1, count)
    total = sum((row >> 64 * at) * factor for at, factor in enumerate(_FACTORS))
    places = (total >> _SHIFT) & _repeat_in_words((1 << _PLACE_BITS) - 1, count - SHINGLE_WORDS + 1)
    return sorted(unpack(f"<{count - SHINGLE_WORDS + 1}Q", places.to_bytes(8 * (count - SHINGLE_WORDS + 1), "little")))


def _repeat_in_words(value: int, count: int) -> int:
    """The value in each 64 bits."""
    return int.from_bytes(value.to_bytes(8, "little") * count, "little")
