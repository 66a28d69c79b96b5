"""Words that stand in most texts of their language, whatever these are about; pairs of them are indexed as one word. Pure.

A phrase such as "to be or not to be" is held by few documents, but each of its words by most: neither index finds the few without reading
where the words stand in all the others. So every two neighbours that are both in this list become one word more (`pairs`). The list is
part of the index's format: a new word changes what every entry holds, so all documents are indexed again. Words of all languages are in one
list, so a query need not know its language; they are folded, and looked for as they are, without a stemmer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

ENGLISH = (
    "the of to and a in that is for on it with as was at by be he from have his are an this has not but they will who had said were i "
    "their its s which one been or more would about after we all new when her she also than there out up can other some first over into "
    "so last if no what time two year years only could people most them just now like him may because any how before should our being "
    "down through where between these those while made make many such even under then against do did during t you your my me us off own "
    "much very here still well back says say both each too get go going told three don re ve ll d m does without within among until per"
)

# One word a language has only in another meaning does no harm: it makes a few pairs more.
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
    "في من على ان الى عن التي الذي هذا هذه مع كان قد لا ما هو هي بعد و به از که را با این است של את על לא הוא זה עם כי "
    # Hindi
    "गया के का में की है और से को पर ने"
)

# The place in the list is the character that stands for a word in a pair. U+E100 to U+F8FF are in no word of a text (words._WORD).
_FIRST_CHARACTER = 0xE100
COMMON_WORD_CHARACTERS = {
    word: chr(_FIRST_CHARACTER + number) for number, word in enumerate(dict.fromkeys((ENGLISH + " " + OTHER_LANGUAGES).split()))
}


def common_bigrams(words: Sequence[str]) -> set[str]:
    """The pairs of common words that stand side by side, each as one word.

    >>> [len(pair) for pair in pairs(["to", "be", "frank", "or", "not", "to"])]
    [2, 2, 2]
    """
    held = list(map(COMMON_WORD_CHARACTERS.get, words))
    return {first + second for first, second in pairwise(held) if first and second}


# What counts as a word: the same for documents and for queries, for SQLite and for Postgres. Pure.
#
# Words are folded: case, width and ligatures (NFKC), accents on Latin and Greek letters, Arabic and Hebrew vowel marks. Scripts that put no
# spaces between words (Chinese, Japanese, Thai, Khmer, Lao, Burmese), and Korean, which hangs particles on words, become pairs of
# neighbouring characters, and after the pairs the last character alone: any part of such a run is then found as a phrase of pairs, and a
# single character as the beginning of a pair.

MAX_WORD_CHARACTERS = 40  # characters of one word; longer "words" are addresses and keys, cut alike in documents and queries

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
_TYPOGRAPHIC_MARKS = (
    "’“”‘–—…"  # in most English texts all that is not ASCII; without it they are folded and cut into words in half the time
)
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
        piece.lower() if piece.isascii() else _fold_cached(piece) if len(piece) <= MAX_WORD_CHARACTERS else _fold_piece(piece)
        for piece in text.split(" ")
    )


def _fold_piece(piece: str) -> str:
    taken_apart = unicodedata.normalize("NFKD", piece).casefold()
    return unicodedata.normalize("NFC", _MARKS.sub("", taken_apart.translate(_STROKES)))


_fold_cached = lru_cache(maxsize=10_000)(_fold_piece)  # a language repeats its words


def tokenize(text: str) -> list[str]:
    """A document's words in order, as they are indexed.

    >>> words("The harbour's 東京都")
    ['the', 'harbour', 's', '東京', '京都', '都']
    """
    if not text.isascii():
        for mark in _TYPOGRAPHIC_MARKS:
            text = text.replace(mark, " ")
    found = _find_words(fold(text))
    if text.isascii() or not _ANY_UNSPACED.search(text):
        return [word[:MAX_WORD_CHARACTERS] for word in found]
    return [token for word in found for run in _RUN.findall(word) for token in _tokenize_run(run)]


def split_runs(text: str) -> list[str]:
    """What stands in a text as one piece, folded: words, cut where a script without spaces begins or ends.

    >>> runs("iPhone手机, e-mail")
    ['iphone', '手机', 'e', 'mail']
    """
    return [run for word in _find_words(fold(text)) for run in _RUN.findall(word)]


def tokenize_phrase(pieces: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """What is looked for: words that must stand side by side, and whether the last one is only the beginning of a word.

    >>> phrase(["e", "mail"]), phrase(["東京都"]), phrase(["猫"])
    ((('e', 'mail'), False), (('東京', '京都'), False), (('猫',), True))
    """
    found = [token for run in pieces for token in _tokenize_run(run)]
    if not pieces or not is_unspaced(pieces[-1]):
        return tuple(found), False
    return (tuple(found), True) if len(pieces[-1]) == 1 else (tuple(found[:-1]), False)


def character_term(character: str) -> str:
    """The word of the index that says that a run of a script without spaces holds this character."""
    return f"{character}\ue002"


def is_unspaced(run: str) -> bool:
    """Whether a run is of a script without spaces between words."""
    return _ANY_UNSPACED.match(run) is not None


# Between these a run of other scripts begins or ends, in a folded text; and what may stand between two runs of a phrase.
WORD_START = rf"(?:(?<![^\W_{_UNSPACED}])(?<![{_SIGNS}]))"
WORD_END = rf"(?:(?![^\W_{_UNSPACED}])(?![{_SIGNS}]))"
BETWEEN_RUNS = rf"(?:(?![{_SIGNS}])[\W_])*"


def _find_words(folded: str) -> list[str]:
    return (_PLAIN_WORD if folded.isascii() else _WORD).findall(folded.replace("_", " "))


def _tokenize_run(run: str) -> Iterator[str]:
    if not is_unspaced(run):
        yield run[:MAX_WORD_CHARACTERS]
        return
    for at in range(len(run) - 1):
        yield run[at : at + 2]
    yield run[-1]
