"""Words, the same for documents and queries and for both databases; bigrams of common words; and inflected forms.

Words are folded: case, width and ligatures (NFKC), accents on Latin and Greek letters, Arabic and Hebrew vowel marks.

Unspaced scripts (Chinese, Japanese, Thai, Khmer, Lao, Burmese) and Korean, which appends particles to words, become pairs of neighbouring
characters, followed by the last character alone. Any part of such a run is then a phrase of pairs, and a character the beginning of a pair.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import BindParameter, Connection, bindparam, or_, select, text, union

from newsmill.storage.schema import search_forms

if TYPE_CHECKING:
    from simplemma.strategies import LemmatizationStrategy


MAX_WORD_CHARACTERS = 40  # longer "words" are URLs and keys; documents and queries cut them alike

# Letters with strokes that Unicode does not decompose.
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
    decomposed = unicodedata.normalize("NFKD", piece).casefold()
    return unicodedata.normalize("NFC", _MARKS.sub("", decomposed.translate(_STROKES)))


_fold_cached = lru_cache(maxsize=10_000)(_fold_piece)  # a language repeats its words


def tokenize(text: str) -> list[str]:
    """A document's words in order, as they are indexed.

    >>> tokenize("The harbour's 東京都")
    ['the', 'harbour', 's', '東京', '京都', '都']
    """
    text = _replace_typographic_marks(text)
    found = _find_words(fold(text))
    if text.isascii() or not _ANY_UNSPACED.search(text):
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
WORD_START = rf"(?:(?<![^\W_{_UNSPACED}])(?<![{_SIGNS}]))"
WORD_END = rf"(?:(?![^\W_{_UNSPACED}])(?![{_SIGNS}]))"
WORD_REST = rf"[^\W_{_UNSPACED}{_SIGNS}]*"
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
    "في من على ان الى عن التي الذي هذا هذه مع كان قد لا ما هو هي بعد و به از که را با این است של את על לא הוא זה עם כי "
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


# ---- inflected forms: lemmas by language, and the table of the forms that documents have; only here simplemma is known ----------
#
# simplemma's dictionaries keep words apart that a stemmer joins: "news" and "new", "generation" and "generate", "organization" and "organ".
# A dictionary is loaded when the first text of its language is indexed, and stays: 3 MB and 0.1 s for English, 16 MB and 0.4 s for German,
# 48 MB and 1.2 s for Polish, one of the largest. A search needs a dictionary only for words that no document has (`load_forms`).
#
# The table is written with the index, and read to expand a query, to highlight, and to suggest another spelling.

# Languages by their code in documents, and the code of simplemma's dictionary. Latin and medieval languages are left out.
_CODES = (
    "ar", "ast", "bg", "ca", "cs", "cy", "da", "de", "el", "en", "eo", "es", "et", "fa", "fi", "fr", "ga", "gd", "gl", "gv", "he", "hi",
    "hu", "hy", "id", "is", "it", "ka", "lb", "lt", "lv", "mk", "ml", "ms", "nb", "nl", "nn", "pl", "pt", "ro", "ru", "se", "sk", "sl",
    "sq", "sv", "sw", "tl", "tr", "uk",
)  # fmt: skip
LEMMATIZERS: Mapping[str, str] = {
    **dict(zip(_CODES, _CODES, strict=True)),
    "no": "nb", "hr": "hbs", "sr": "hbs", "bs": "hbs", "sh": "hbs", "fil": "tl", "in": "id", "iw": "he",
}  # fmt: skip

MIN_WORD_CHARACTERS = 3  # shorter words have no other forms: "us" does not match "we"
# Longer words are looked up in the dictionary and not decomposed: for an unknown word that takes the square of the length (0.8 ms for 30
# letters in Russian; 0.03 ms without).
MAX_DECOMPOSED_CHARACTERS = 12
MAX_DISTINCT_WORDS = 4000  # of a text that are lemmatized; a long article has 1,500
CACHED_WORDS = 50_000  # in one process, about 10 MB
_REGISTER_SQLITE = text("""INSERT INTO search_forms (form, lemmatizer, lemma)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(:rows)
WHERE true ON CONFLICT DO NOTHING""")
# Sorted, so that two transactions wait for each other in one direction only.
_REGISTER_POSTGRES = text("""INSERT INTO search_forms (form, lemmatizer, lemma)
SELECT n.form, n.lemmatizer, n.lemma FROM unnest(CAST(:forms AS text[]), CAST(:lemmatizers AS text[]), CAST(:lemmas AS text[]))
AS n (form, lemmatizer, lemma) WHERE NOT EXISTS (SELECT 1 FROM search_forms AS f
WHERE f.form = n.form AND f.lemmatizer = n.lemmatizer AND f.lemma = n.lemma) ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING""")

_WORDS: BindParameter[Any] = bindparam("b_words", expanding=True)
_ROW = (search_forms.c.form, search_forms.c.lemmatizer, search_forms.c.lemma)
_FORMS_OF = select(*_ROW).where(search_forms.c.lemma.in_(_WORDS), search_forms.c.lemmatizer != "")
_LEMMAS_AND_FORMS_OF = select(*_ROW).where(
    or_(search_forms.c.form.in_(_WORDS), search_forms.c.lemma.in_(_WORDS)), search_forms.c.lemmatizer != ""
)
_KNOWN = union(
    select(search_forms.c.form).where(search_forms.c.form.in_(_WORDS)), select(search_forms.c.lemma).where(search_forms.c.lemma.in_(_WORDS))
)

# Dictionaries are large: a query loads those of the most common languages only. On Postgres 1,000 documents take 0.5 ms more than 300.
_COMMON_LEMMATIZERS = text("""SELECT lemmatizer FROM (SELECT lemmatizer FROM search_entries ORDER BY moment DESC LIMIT 300) AS e
WHERE lemmatizer <> '' GROUP BY lemmatizer ORDER BY count(*) DESC, lemmatizer LIMIT 4""")

FormRow = tuple[str, str, str]  # word, code of the lemmatizer, lemma


class Form(NamedTuple):
    """A word and its lemma, both folded. Words of which the lemmatizer knows nothing are their own lemma.

    A named tuple, because a dataclass takes ten times as long to be put in a set.
    """

    word: str
    lemma: str
    is_known: bool


def lemmatizer_of(language: str | None) -> str:
    """The code of the lemmatizer for a language tag; "" if there is none.

    >>> lemmatizer_of("de-AT"), lemmatizer_of("nb_NO"), lemmatizer_of("ja")
    ('de', 'nb', '')
    """
    return LEMMATIZERS.get((language or "").lower().replace("_", "-").partition("-")[0], "")


def find_forms(text: str, lemmatizer: str) -> set[Form]:
    """The distinct words of a text with their lemmas. A word may come twice, with two lemmas.

    >>> sorted((form.word, form.lemma) for form in find_forms("The Ferries, the ferry", "en"))
    [('ferries', 'ferry'), ('ferry', 'ferry'), ('the', 'the')]
    """
    words = dict.fromkeys(split_words(unicodedata.normalize("NFC", text)))
    forms = (find_form(word, lemmatizer) for word in islice(words, MAX_DISTINCT_WORDS))
    return {form for form in forms if form is not None}


@lru_cache(maxsize=CACHED_WORDS)
def find_form(word: str, lemmatizer: str) -> Form | None:
    """The form of a word as it is written; None if it is not one word when folded. Case counts: German nouns have capitals."""
    folded = fold(word)
    if not is_word(folded):
        return None
    if not lemmatizer or len(folded) < MIN_WORD_CHARACTERS or any(map(str.isdigit, word)):
        return Form(folded, folded, is_known=False)
    found = _load_strategy(len(folded) <= MAX_DECOMPOSED_CHARACTERS).get_lemma(word, lemmatizer)
    lemma = fold(found or word)[:MAX_WORD_CHARACTERS]
    return Form(folded, lemma if is_word(lemma) else folded, is_known=found is not None)


@cache
def _load_strategy(decomposes: bool) -> LemmatizationStrategy:
    from simplemma.strategies import DefaultStrategy, DictionaryLookupStrategy  # only who indexes needs it
    from simplemma.strategies.dictionaries import LOW_MEMORY_DICTIONARY_FACTORY

    return DefaultStrategy(low_memory=True) if decomposes else DictionaryLookupStrategy(LOW_MEMORY_DICTIONARY_FACTORY)


# ---- the table of forms ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WordForms:
    """What the index knows of one word of a query: by lemmatizer, its lemmas, and for each lemma the forms that documents contain."""

    lemmas: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)

    def forms(self, lemmatizer: str) -> frozenset[str]:
        """The words that match in documents of a lemmatizer, besides the word itself."""
        by_lemma = self.lemmas.get(lemmatizer, {})
        return frozenset(form for lemma, forms in by_lemma.items() for form in (*forms, lemma))


Forms = Mapping[str, WordForms]  # by word


def register_forms(conn: Connection, rows: Iterable[FormRow]) -> None:
    """Add the forms that the table does not have."""
    ordered = sorted(rows)
    if not ordered:
        return
    if conn.dialect.name == "sqlite":
        conn.execute(_REGISTER_SQLITE, {"rows": json.dumps(ordered)})
    else:
        forms, lemmatizers, lemmas = (list(column) for column in zip(*ordered, strict=True))
        conn.execute(_REGISTER_POSTGRES, {"forms": forms, "lemmatizers": lemmatizers, "lemmas": lemmas})


def load_forms(conn: Connection, words: Mapping[str, str]) -> Forms:
    """The forms of some folded words, each with its spelling. A word is a form of its lemmas, and of itself where it is a lemma.

    A word that no document of a common language has is lemmatized: "elections" finds documents that only have "election".
    """
    if not words:
        return {}
    rows = conn.execute(_LEMMAS_AND_FORMS_OF, {"b_words": sorted(words)}).all()
    own = {tuple(row) for row in rows if row.form in words}
    as_lemma = [row for row in rows if row.lemma in words]
    seen = {(form, lemmatizer) for form, lemmatizer, _ in own} | {(row.lemma, row.lemmatizer) for row in as_lemma}
    missing = [(word, lemmatizer) for lemmatizer in conn.execute(_COMMON_LEMMATIZERS).scalars() for word in words]
    own |= {row for word, lemmatizer in missing if (word, lemmatizer) not in seen for row in _guess(words[word], lemmatizer)}
    others = {lemma for _, _, lemma in own} - words.keys()
    forms: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in [*as_lemma, *(conn.execute(_FORMS_OF, {"b_words": sorted(others)}) if others else ())]:
        forms[row.lemmatizer, row.lemma].add(row.form)
    return {word: _word_forms(word, {(lemmatizer, lemma) for form, lemmatizer, lemma in own if form == word}, forms) for word in words}


def load_dictionaries(conn: Connection) -> None:
    """Load the dictionaries that `load_forms` needs: 0.1 to 1.2 s of CPU for each language."""
    for lemmatizer in conn.execute(_COMMON_LEMMATIZERS).scalars():
        find_form("word", lemmatizer)


def _guess(spelling: str, lemmatizer: str) -> Iterator[FormRow]:
    """The lemmas of a word that is not in the table. People type nouns without capitals."""
    for form in (find_form(spelling, lemmatizer), find_form(spelling.capitalize(), lemmatizer)):
        if form is not None and form.is_known and form.lemma != form.word:
            yield form.word, lemmatizer, form.lemma


def find_known(conn: Connection, words: Iterable[str]) -> set[str]:
    """The words that the table has, as forms or as lemmas."""
    wanted = sorted(set(words))
    return set(conn.execute(_KNOWN, {"b_words": wanted}).scalars()) if wanted else set()


def _word_forms(word: str, own: Iterable[tuple[str, str]], forms: Mapping[tuple[str, str], Iterable[str]]) -> WordForms:
    found: dict[str, dict[str, frozenset[str]]] = defaultdict(dict)
    for lemmatizer, lemma in {*own, *((lemmatizer, lemma) for lemmatizer, lemma in forms if lemma == word)}:
        found[lemmatizer][lemma] = frozenset(forms[lemmatizer, lemma])
    return WordForms(found)
