"""Words, the same for documents and queries and for both databases; and bigrams of common words. Pure.

Words are folded: case, width and ligatures (NFKC), accents on Latin and Greek letters, the Russian ё, Arabic and Hebrew vowel marks, and
the Arabic and Persian forms of one letter or digit.

Unspaced scripts (Chinese, Japanese, Thai, Khmer, Lao, Burmese) and Korean, which appends particles to words, become pairs of neighbouring
characters, followed by the last character alone. Any part of such a run is then a phrase of pairs, and a character the beginning of a pair.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

from newsmill.text import lazy_re as re
from newsmill.text.combining_marks import limit_marks

MAX_WORD_CHARACTERS = 40  # longer "words" are URLs and keys; documents and queries cut them alike

# Letters with strokes that Unicode does not decompose; and, in Arabic script, the tatweel, digits, and letters that keyboards and writers
# of one language spell differently: alef, yeh, kaf and heh.
_LETTERS = str.maketrans(
    {"ı": "i", "ł": "l", "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "æ": "ae", "œ": "oe", "þ": "th", "\u0640": ""}
    | {"\u0671": "\u0627", "\u0649": "\u064a", "\u06cc": "\u064a", "\u06a9": "\u0643"}
    | dict.fromkeys("\u0629\u06c1\u06d5", "\u0647")
    | {chr(zero + digit): str(digit) for zero in (0x0660, 0x06F0) for digit in range(10)}
)
# Not the Hebrew maqaf (05be), which is a hyphen. The accent shows the stress of a Russian word; й and ї are letters of their own.
_MARKS = re.compile(
    "(?<=[a-zα-ω])[\u0300-\u036f]+|(?<=е)\u0308|(?<=[аеиоуыэюя])\u0301"
    "|[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed]+"
)
# Python's \w leaves out the vowel signs of the scripts of India and South-East Asia; the danda (0964, 0965) is a full stop.
_SIGNS = (
    "\u0300-\u036f\u0483-\u0487\u0900-\u0963\u0966-\u0dff\u0e31-\u0e3a\u0e47-\u0e4e\u0eb1-\u0ebc\u0ec8-\u0ecd"
    "\u0f71-\u0f84\u102b-\u103e\u1056-\u109d\u17b4-\u17d3"
)
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_TYPOGRAPHIC_MARKS = "’“”‘–—…"  # often all that is not ASCII in an English text; without them folding and splitting take half the time
_WORD = re.compile(rf"[\w{_SIGNS}]+")  # one class: with the underscore as an alternative it is three times slower
_PLAIN_WORD = re.compile("[0-9a-z]+")
_ASCII_WORD = re.compile("[0-9A-Za-z]+")
_RUN = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")
_ANY_UNSPACED = re.compile(f"[{_UNSPACED}]")


def fold(text: str) -> str:
    """The text in the form that is compared.

    >>> fold("Žluťoučký KŮŇ, ＮＡＴＯ, Straße")
    'zlutoucky kun, nato, strasse'
    """
    if text.isascii():
        return text.lower()
    # Nothing composes across a space, and most pieces between spaces are ASCII: this takes a third of the time of folding the whole text.
    return " ".join(
        piece.lower() if piece.isascii() else _fold_cached(piece) if len(piece) <= MAX_WORD_CHARACTERS else _fold_piece(piece)
        for piece in text.split(" ")
    )


def _fold_piece(piece: str) -> str:
    """The folded piece. A mark that stood behind another mark can compose with the letter when that mark is gone, so folding repeats."""
    folded = _fold_once(piece)
    while not folded.isascii() and (again := _fold_once(folded)) != folded:
        folded = again
    return folded


def _fold_once(piece: str) -> str:
    decomposed = unicodedata.normalize("NFKD", limit_marks(piece)).casefold()
    return unicodedata.normalize("NFC", _MARKS.sub("", decomposed.translate(_LETTERS)))


_fold_cached = lru_cache(maxsize=10_000)(_fold_piece)  # a language repeats its words


def tokenize(text: str) -> list[str]:
    """A document's words in order, as they are indexed.

    >>> tokenize("The harbour's 東京都")
    ['the', 'harbour', 's', '東京', '京都', '都']
    """
    text = _replace_typographic_marks(text)
    folded = fold(text)
    found = _find_words(folded)
    if folded.isascii() or not _ANY_UNSPACED.search(folded):  # folded: half-width katakana, and characters for a whole word, become runs
        return [word[:MAX_WORD_CHARACTERS] for word in found]
    return [token for word in found for run in _RUN.findall(word) for token in _tokenize_run(run)]


def split_runs(text: str) -> list[str]:
    """The folded words of a text, split where an unspaced script begins or ends.

    >>> split_runs("iPhone手机, e-mail")
    ['iphone', '手机', 'e', 'mail']
    """
    return [run for word in _find_words(fold(text)) for run in _RUN.findall(word)]


def tokenize_phrase(runs: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """The adjacent words that a query of these runs means, and whether the last one is only the beginning of a word.

    >>> tokenize_phrase(["e", "mail"]), tokenize_phrase(["東京都"]), tokenize_phrase(["猫"])
    ((('e', 'mail'), False), (('東京', '京都'), False), (('猫',), True))
    """
    found = [token for run in runs for token in _tokenize_run(run)]
    if not runs or not is_unspaced(runs[-1]):
        return tuple(found), False
    return (tuple(found), True) if len(runs[-1]) == 1 else (tuple(found[:-1]), False)


def character_term(character: str) -> str:
    """The term of documents that contain this character of an unspaced script."""
    return f"{character}\ue002"


def is_unspaced(run: str) -> bool:
    """Whether a run is of a script without spaces between words."""
    return _ANY_UNSPACED.match(run) is not None


# Patterns for a folded text: where a word of a spaced script begins and ends, and what may stand between two runs of a phrase.
WORD_LETTER = rf"[^\W_{_UNSPACED}]"
WORD_START = rf"(?:(?<!{WORD_LETTER})(?<![{_SIGNS}]))"
WORD_END = rf"(?:(?!{WORD_LETTER})(?![{_SIGNS}]))"
WORD_REST = rf"[^\W_{_UNSPACED}{_SIGNS}]*+"
BETWEEN_RUNS = rf"(?:(?![{_SIGNS}])[\W_])*"


def split_words(text: str) -> list[str]:
    """The words of a text as they are written; folding may still split one.

    >>> split_words("The Ferry's über_all")
    ['The', 'Ferry', 's', 'über', 'all']
    """
    text = _replace_typographic_marks(text).replace("_", " ")
    return (_ASCII_WORD if text.isascii() else _WORD).findall(text)


def is_word(folded: str) -> bool:
    """Whether a folded text is one word of the index, of a script with spaces."""
    return 0 < len(folded) <= MAX_WORD_CHARACTERS and _WORD.fullmatch(folded) is not None and "_" not in folded and not is_unspaced(folded)


def _replace_typographic_marks(text: str) -> str:
    if not text.isascii():
        for mark in _TYPOGRAPHIC_MARKS:
            text = text.replace(mark, " ")
    return text


def _find_words(folded: str) -> list[str]:
    return (_PLAIN_WORD if folded.isascii() else _WORD).findall(folded.replace("_", " "))


def _tokenize_run(run: str) -> Iterator[str]:
    if not is_unspaced(run):
        yield run[:MAX_WORD_CHARACTERS]
        return
    for at in range(len(run) - 1):
        yield run[at : at + 2]
    yield run[-1]
