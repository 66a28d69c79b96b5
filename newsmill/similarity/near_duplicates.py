"""Near duplicates: a fingerprint that finds candidates among millions of texts, and the exact measure to compare them. Pure.

A text is the set of its shingles, runs of five words. The similarity of two texts is the number of shingles in both, divided by the number
in either (Jaccard). Case, punctuation and white space do not count, digits do. In scripts without spaces between words (Chinese, Japanese,
Thai, Khmer, Lao, Burmese) every four neighbouring characters are a word.

The fingerprint is MinHash (Broder, 1997) in bands. Each shingle has a hash on a circle, and for each of 18 fixed points the next hash is
noted. Two texts agree at a point with a probability equal to their similarity s. At least one of six bands of three points agrees with the
probability 1 - (1 - s³)⁶: 55 % at 0.5, 92 % at 0.7, 99 % at 0.8, all but one pair in 2,500 at 0.9.

Ten bits of each hash are stored (Li and König, "b-Bit Minwise Hashing", 2010), so that two fingerprints show at how many of the 18 points
they agree. Texts with one band in common by chance, or by one paragraph, agree at hardly another point (`min_agreeing_points`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Set
from functools import lru_cache
from itertools import chain
from math import comb
from struct import pack, unpack
from zlib import crc32

from newsmill.text import lazy_re as re

MAX_TEXT_CHARACTERS = 100_000  # compared: twenty long articles
WINDOW_CHARACTERS = 4  # a shingle of such words is eight characters, in Chinese about five words

# Python's \w leaves out the vowel signs of the scripts of India and South-East Asia; the danda (0964, 0965) is a full stop.
SIGNS = (
    "\u0300-\u036f\u0483-\u0487\u0900-\u0963\u0966-\u0dff\u0e31-\u0e3a\u0e47-\u0e4e\u0eb1-\u0ebc\u0ec8-\u0ecd"
    "\u0f71-\u0f84\u102b-\u103e\u1056-\u109d\u17b4-\u17d3"
)
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_TYPOGRAPHIC_MARKS = "’“”‘–—…"  # often all that is not ASCII in an English text; without them splitting takes half the time
_PLAIN_WORD = re.compile("[0-9a-z]+")
_WORD = re.compile(rf"[\w{SIGNS}]+")
_RUN = re.compile(f"[{UNSPACED}]+|[^{UNSPACED}]+")
_ANY_UNSPACED = re.compile(f"[{UNSPACED}]")

SHINGLE_WORDS = 5  # fewer also occur in unrelated texts; with more, a changed word weighs more
BANDS = 6
POINTS_PER_BAND = 3  # points of a band
BITS_PER_POINT = 10  # three points make a number of 30 bits; two different hashes look equal once in 1,024 times
MAX_LOST_SHARE = 0.001  # of pairs at the requested similarity, by `min_agreeing_points`, beside those without a common band
# In a text of n shingles one changed word reduces the similarity to (n - 5) / (n + 5), below 0.7 for fewer. Such texts are captions,
# notices and beginnings of paywalled articles.
MIN_SHINGLES = 30

Fingerprint = tuple[int, ...]  # BANDS numbers of ROWS times BITS bits
Shingle = tuple[str, ...]

# A shingle's hash is the sum of its words' numbers, each times its own factor, without the lowest and highest bits (multilinear hashing:
# Lemire and Kaser, "Strongly universal string hashing is fast", 2012). The factors are the primes of xxHash32; any odd numbers work.
_FACTORS = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1)
_WORD_BITS, _SHIFT, _HASH_BITS = 28, 28, 30  # five products of 28 and 32 bits need 63 bits; Python sorts numbers of 30 bits fastest
_LOW = (1 << BITS_PER_POINT) - 1
_POINTS = tuple((number << _HASH_BITS) // (BANDS * POINTS_PER_BAND) for number in range(BANDS * POINTS_PER_BAND))


@lru_cache(maxsize=32)  # a worker asks before it stores a document, to find copies, and when it has stored it
def fingerprint(text: str) -> Fingerprint | None:
    """The fingerprint of a text, the same on every machine; None for a text with fewer than MIN_SHINGLES shingles. Never raises."""
    found = split_words(text)
    if len(found) < MIN_SHINGLES + SHINGLE_WORDS - 1:
        return None
    hashes = _shingle_hashes(found)
    after = [hashes[at] if (at := bisect_left(hashes, point)) < len(hashes) else hashes[0] for point in _POINTS]
    # The points of a band are far apart on the circle: neighbouring points often have the same next shingle.
    low = [hash_ & _LOW for hash_ in after]
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
    """The number of points at which two fingerprints with a common band must agree for their texts to be compared.

    `least` is the requested similarity, 0 to 1. The result k is the largest with which at most MAX_LOST_SHARE of the pairs at
    `least` are lost: 7 at 0.7, 4 at 0.5, 11 at 0.9.

    Given one common band, fewer than k - 3 of the other 15 points agree with the probability P(Binomial(15, s) < k - 3). There are six
    bands, so at most 6 · s³ · P of the pairs are lost, and P falls as s rises: at 0.7 one pair in 5,000.
    Texts that share one of eight paragraphs and a band are compared once in 70 times.
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
    """The shingles of a text. A text that is shorter than one has one shingle of all its words.

    >>> sorted(shingles("one two three four five six"))
    [('one', 'two', 'three', 'four', 'five'), ('two', 'three', 'four', 'five', 'six')]
    """
    found = split_words(text)
    return frozenset(zip(*(found[at:] for at in range(SHINGLE_WORDS)), strict=False)) or frozenset({tuple(found)})


def similarity(one: Set[Shingle], other: Set[Shingle]) -> float:
    """The Jaccard similarity of two sets of shingles, 0 to 1."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def _shingle_hashes(found: list[str]) -> list[int]:
    """The hashes of the shingles, sorted.

    One long integer holds a word's number in each 64 bits, so that Python's arithmetic is the loop: half the time of a comprehension.
    """
    count = len(found)
    row = int.from_bytes(pack(f"<{count}Q", *map(crc32, map(str.encode, found))), "little")
    row &= _repeat_in_words((1 << _WORD_BITS) - 1, count)
    total = sum((row >> 64 * at) * factor for at, factor in enumerate(_FACTORS))
    hashes = (total >> _SHIFT) & _repeat_in_words((1 << _HASH_BITS) - 1, count - SHINGLE_WORDS + 1)
    return sorted(unpack(f"<{count - SHINGLE_WORDS + 1}Q", hashes.to_bytes(8 * (count - SHINGLE_WORDS + 1), "little")))


def _repeat_in_words(value: int, count: int) -> int:
    """The value, repeated `count` times as 64-bit numbers."""
    return int.from_bytes(value.to_bytes(8, "little") * count, "little")


def split_words(text: str) -> list[str]:
    """The words of a text, or of its first MAX_TEXT_CHARACTERS characters, in order.

    >>> split_words("“Don’t”, she said – 3.5 % MORE")
    ['don', 't', 'she', 'said', '3', '5', 'more']
    >>> split_words("iPhone东京都政府")
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
