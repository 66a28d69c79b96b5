"""Lemmas: which words are inflected forms of one word, per language. The only module that knows simplemma.

simplemma's dictionaries keep words apart that a stemmer joins: "news" and "new", "generation" and "generate", "organization" and "organ".
A dictionary is loaded when the first text of its language is indexed, and stays: 3 MB and 0.1 s for English, 16 MB and 0.4 s for German,
48 MB and 1.2 s for Polish, one of the largest. A search needs a dictionary only for words that no document has (`forms.load_forms`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import cache, lru_cache
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from newsmill.search.tokens import MAX_WORD_CHARACTERS, fold, is_word, split_words

if TYPE_CHECKING:
    from simplemma.strategies import LemmatizationStrategy

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
