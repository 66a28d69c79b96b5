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
from itertools import pairwise

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


# ---- common bigrams ------------------------------------------------------------------------------------------------------------
#
# Few documents contain "to be or not to be", but most contain its words, and an index finds the few only by reading all word positions. So
# every two adjacent common words are one more term. A phrase that stands nowhere takes 48 ms on SQLite (p95) at a million documents
# (`benchmarks/growth.py --sizes 1000000`).
#
# The list is part of the index's format: after a change all documents must be indexed again. The words of all languages are in one list, so
# that a query need not know its language. They are folded, and not stemmed.

ENGLISH = (
    "the of to and a in that is for on it with as was at by be he from have his are an this has not but they will who had said were i "
    "their its s which one been or more would about after we all new when her she also than there out up can other some first over into "
    "so last if no what time two year years only could people most them just now like him may because any how before should our being "
    "down through where between these those while made make many such even under then against do did during t you your my me us off own "
    "much very here still well back says say both each too get go going told three don re ve ll d m does without within among until per"
)

# A word that is rare in another language does no harm: it makes a few more bigrams.
OTHER_LANGUAGES = (
    # German
    "der die und den von zu das mit sich des auf fur ist im dem nicht ein eine als auch es werden aus er hat dass sie nach wird bei einer "
    "um am sind noch wie einem uber einen so zum war haben nur oder aber vor zur bis mehr durch man sein wurde sei prozent hatte kann "
    "gegen vom konnen schon wenn habe seine ihre dann unter wir soll ich eines jahr zwei jahren diese dieser wieder keine seiner worden "
    # French
    "de la le et les en un du une que est pour qui dans par plus pas au sur ne se ce il sont avec son aux cette ses ou mais comme elle on "
    "deux leur nous ont ete apres sa fait bien entre aussi etre c l qu n j y tout sans peut ces ans contre apres selon encore depuis "
    # Spanish, Portuguese, Catalan
    "el los y las por con una su para lo como mas pero sus le ya o este si porque esta cuando muy sin sobre tambien me hasta hay donde "
    "quien desde todo nos durante todos uno les ni contra otros ese eso ante ellos e esto entre ha han fue era ser dos anos segun o os as "
    "do da dos das no na nos nas ao aos pelo pela um uma que nao com se mais foi por ele ela seu sua sao tem mas ou quando muito ja eu "
    "tambem so isso els amb per les dels seva "
    # Italian
    "di che il non per una sono del della con si piu anche come dei le ma alla nel ha gli ed delle al da dal dalla nella ai questo era "
    "stato essere dopo cui suo sua tra fra ancora anni "
    # Dutch, Swedish, Danish, Norwegian
    "van het een in op te dat met voor zijn niet aan er om ook als bij maar dan nog naar uit worden wordt door heeft hij hun werd deze was "
    "over meer tot geen ze jaar och att det som pa av den till med har de inte om ett han men var jag sig fran vi sa kan nar ar under er "
    "efter eller hun ikke af en et til blev kunne vil skal mot fra blir ble ved etter "
    # Polish, Czech
    "w na z sie nie do ze to jest o jak przez za od po co tak dla ktory ktore ktora juz oraz tylko a i ale byl byla bylo sa tym tego je "
    "ve se pro podle pri jako ktery jeho uz jsou by nebo aby take k s u v "
    # Russian, Ukrainian, Bulgarian, Serbian
    "и в не на что с по он это как из у за от то к его но о для был а все так же было бы ее мы они до при или если только уже были еще "
    "после также года году который которые лет та що не від до як про за із є у й для на се да от са е ще като"
    # Turkish, Indonesian
    " bir ve bu da icin ile olarak cok daha gibi olan oldugu sonra kadar ise yang dan di dengan untuk dari dalam ini itu tidak pada akan "
    # Arabic, Persian, Hebrew
    "في من علي ان الي عن التي الذي هذا هذه مع كان قد لا ما هو هي بعد و به از كه را با اين است של את על לא הוא זה עם כי "
    # Hindi
    "गया के का में की है और से को पर ने"
)

# A word's place in the list gives the character for it in a bigram. U+E100 to U+F8FF are in no word of a text (`_WORD`).
_FIRST_CHARACTER = 0xE100
COMMON_WORD_CHARACTERS = {
    word: chr(_FIRST_CHARACTER + number) for number, word in enumerate(dict.fromkeys((ENGLISH + " " + OTHER_LANGUAGES).split()))
}


def common_bigrams(words: Sequence[str]) -> set[str]:
    """The terms for two adjacent common words.

    >>> [len(bigram) for bigram in sorted(common_bigrams(["to", "be", "frank", "or", "not", "to"]))]
    [2, 2, 2]
    """
    characters = map(COMMON_WORD_CHARACTERS.get, words)
    return {first + second for first, second in pairwise(characters) if first and second}
