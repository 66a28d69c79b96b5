"""What counts as a word: the same for documents and for queries, for SQLite and for Postgres. Pure.

Words are folded: case, width and ligatures (NFKC), accents on Latin and Greek letters, Arabic and Hebrew vowel marks. Scripts that put no
spaces between words (Chinese, Japanese, Thai, Khmer, Lao, Burmese), and Korean, which hangs particles on words, become pairs of
neighbouring characters, and after the pairs the last character alone: any part of such a run is then found as a phrase of pairs, and a
single character as the beginning of a pair.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

LONGEST = 40  # characters of one word; longer "words" are addresses and keys, cut alike in documents and queries

# Letters whose strokes Unicode does not take apart.
_STROKES = str.maketrans({"ı": "i", "ł": "l", "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "æ": "ae", "œ": "oe", "þ": "th", "\u0640": ""})
_MARKS = re.compile("(?<=[a-zα-ω])[\u0300-\u036f]+|[\u0591-\u05c7\u064b-\u0655\u0670]+")
# Python's \w leaves out the vowel signs of the scripts of India and South-East Asia; the danda (0964, 0965) is a full stop.
_SIGNS = (
    "\u0300-\u036f\u0483-\u0487\u0900-\u0963\u0966-\u0dff\u0e31-\u0e3a\u0e47-\u0e4e\u0eb1-\u0ebc\u0ec8-\u0ecd"
    "\u0f71-\u0f84\u102b-\u103e\u1056-\u109d\u17b4-\u17d3"
)
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_PRINTED = "’“”‘–—…"  # in most English texts all that is not ASCII; without it they are folded and cut into words in half the time
_WORD = re.compile(rf"[\w{_SIGNS}]+")  # one class: with the underscore as an alternative it is three times slower
_PLAIN_WORD = re.compile("[0-9a-z]+")
_RUN = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")
_ANY_UNSPACED = re.compile(f"[{_UNSPACED}]")


def fold(text: str) -> str:
    """The text as it is compared.

    >>> fold("Žluťoučký KŮŇ, ＮＡＴＯ, Straße")
    'zlutoucky kun, nato, strasse'
    """
    if text.isascii():
        return text.lower()
    # Nothing composes across a blank, and most pieces between two are ASCII: a third of what folding the whole text takes.
    return " ".join(
        piece.lower() if piece.isascii() else _known(piece) if len(piece) <= LONGEST else _folded(piece) for piece in text.split(" ")
    )


def _folded(piece: str) -> str:
    taken_apart = unicodedata.normalize("NFKD", piece).casefold()
    return unicodedata.normalize("NFC", _MARKS.sub("", taken_apart.translate(_STROKES)))


_known = lru_cache(maxsize=10_000)(_folded)  # a language repeats its words


def words(text: str) -> list[str]:
    """A document's words in order, as they are indexed.

    >>> words("The harbour's 東京都")
    ['the', 'harbour', 's', '東京', '京都', '都']
    """
    if not text.isascii():
        for mark in _PRINTED:
            text = text.replace(mark, " ")
    found = _split(fold(text))
    if text.isascii() or not _ANY_UNSPACED.search(text):
        return [word[:LONGEST] for word in found]
    return [token for word in found for run in _RUN.findall(word) for token in _tokens(run)]


def runs(text: str) -> list[str]:
    """What stands in a text as one piece, folded: words, cut where a script without spaces begins or ends.

    >>> runs("iPhone手机, e-mail")
    ['iphone', '手机', 'e', 'mail']
    """
    return [run for word in _split(fold(text)) for run in _RUN.findall(word)]


def phrase(pieces: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """What is looked for: words that must stand side by side, and whether the last one is only the beginning of a word.

    >>> phrase(["e", "mail"]), phrase(["東京都"]), phrase(["猫"])
    ((('e', 'mail'), False), (('東京', '京都'), False), (('猫',), True))
    """
    found = [token for run in pieces for token in _tokens(run)]
    if not pieces or not unspaced(pieces[-1]):
        return tuple(found), False
    return (tuple(found), True) if len(pieces[-1]) == 1 else (tuple(found[:-1]), False)


def single(character: str) -> str:
    """The word of the index that says that a run of a script without spaces holds this character."""
    return f"{character}\ue002"


def unspaced(run: str) -> bool:
    """Whether a run is of a script without spaces between words."""
    return _ANY_UNSPACED.match(run) is not None


# Between these a run of other scripts begins or ends, in a folded text; and what may stand between two runs of a phrase.
STARTS = rf"(?:(?<![^\W_{_UNSPACED}])(?<![{_SIGNS}]))"
ENDS = rf"(?:(?![^\W_{_UNSPACED}])(?![{_SIGNS}]))"
BETWEEN = rf"(?:(?![{_SIGNS}])[\W_])*"


def _split(folded: str) -> list[str]:
    return (_PLAIN_WORD if folded.isascii() else _WORD).findall(folded.replace("_", " "))


def _tokens(run: str) -> Iterator[str]:
    if not unspaced(run):
        yield run[:LONGEST]
        return
    for at in range(len(run) - 1):
        yield run[at : at + 2]
    yield run[-1]
