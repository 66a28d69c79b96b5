"""A text as the words by which it is compared with others. Pure.

Case, punctuation, quotation marks and white space do not count: publishers set them each in their own way. Digits do. Where no spaces stand
between words (Chinese, Japanese, Thai, Khmer, Lao, Burmese), every four neighbouring characters are a word.
"""

from __future__ import annotations

import re
from itertools import chain

MOST_TEXT = 100_000  # characters of a text that are compared: twenty long articles
WINDOW = 4  # characters: five such words in a row are eight characters, in Chinese about five words

# Python's \w leaves out the vowel signs of the scripts of India and South-East Asia; the danda (0964, 0965) is a full stop.
_SIGNS = (
    "\u0300-\u036f\u0483-\u0487\u0900-\u0963\u0966-\u0dff\u0e31-\u0e3a\u0e47-\u0e4e\u0eb1-\u0ebc\u0ec8-\u0ecd"
    "\u0f71-\u0f84\u102b-\u103e\u1056-\u109d\u17b4-\u17d3"
)
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_PRINTED = "’“”‘–—…"  # in most English texts all that is not ASCII; without it they are cut into words in half the time
_PLAIN_WORD = re.compile("[0-9a-z]+")
_WORD = re.compile(rf"[\w{_SIGNS}]+")
_RUN = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")
_ANY_UNSPACED = re.compile(f"[{_UNSPACED}]")


def words(text: str) -> list[str]:
    """The words of a text, or of its first MOST_TEXT characters, in order.

    >>> words("“Don’t”, she said – 3.5 % MORE")
    ['don', 't', 'she', 'said', '3', '5', 'more']
    >>> words("iPhone东京都政府")
    ['iphone', '东京都政', '京都政府']
    """
    folded = text[:MOST_TEXT].casefold().replace("_", " ")
    if not folded.isascii():
        for mark in _PRINTED:
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
    return [run[at : at + WINDOW] for at in range(max(1, len(run) - WINDOW + 1))]
