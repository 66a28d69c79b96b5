"""Inflected forms of words: lemmas by language, and the table of the forms that documents have.

simplemma's dictionaries keep words apart that a stemmer joins: "news" and "new", "generation" and "generate", "organization" and "organ".
A dictionary is opened when the first text of its language is indexed (`dictionary_files`). A search needs a dictionary only for words that
no document has (`load_forms`).

The table is written with the index, and read to expand a query, to highlight, and to suggest another spelling.
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
MAX_DISTINCT_WORDS = 4000  # of a text that are lemmatized; a long article has 1,500
CACHED_WORDS = 50_000  # in one process, about 10 MB

FormRow = tuple[str, str, str]  # word, code of the lemmatizer, lemma


class Form(NamedTuple):
    """A word and its lemma, both folded; unknown words are their own lemma. A dataclass takes ten times as long to be put in a set."""

    word: str
    lemma: str
    is_known: bool


def lemmatizer_of(language: str | None) -> str:
    """The code of the lemmatizer for a language tag; "" if there is none.

    >>> lemmatizer_of("de-AT"), lemmatizer_of("nb_NO"), lemmatizer_of("ja")
    ('de', 'nb', '')
    """
    return LEMMATIZERS.get((language or "").lower().replace("_", "-").partition("-")[0], "")


def find_forms(text: str, lemmatizer: str) -> list[Form]:
    """The words of a text with their lemmas. A word may come several times: in several spellings, or with two lemmas.

    >>> [(form.word, form.lemma) for form in find_forms("The Ferries, the ferry", "en")]
    [('the', 'the'), ('ferries', 'ferry'), ('the', 'the'), ('ferry', 'ferry')]
    """
    words = dict.fromkeys(split_words(unicodedata.normalize("NFC", text)))
    return [form for word in islice(words, MAX_DISTINCT_WORDS) if (form := find_form(word, lemmatizer)) is not None]


@lru_cache(maxsize=CACHED_WORDS)
def find_form(word: str, lemmatizer: str) -> Form | None:
    """The form of a word as it is written; None if it is not one word when folded. Case counts: German nouns have capitals."""
    folded = fold(word)
    if not is_word(folded):
        return None
    if not lemmatizer or len(folded) < MIN_WORD_CHARACTERS or any(map(str.isdigit, word)):
        return Form(folded, folded, is_known=False)
    found = load_strategy().get_lemma(word, lemmatizer)
    lemma = folded if found is None or found == word else fold(found)[:MAX_WORD_CHARACTERS]
    return Form(folded, lemma if lemma == folded or is_word(lemma) else folded, is_known=found is not None)


@cache
def load_strategy() -> LemmatizationStrategy:
    """The dictionaries alone: simplemma's rules change 1 of 1,000 lemmas in 19 languages, and take ten times as long."""
    from simplemma.strategies import DictionaryLookupStrategy  # only who indexes needs it

    from newsmill.search.dictionary_files import DictionaryFiles

    return DictionaryLookupStrategy(DictionaryFiles())
