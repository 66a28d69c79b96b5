"""The languages of a query, by their names or codes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from babel import Locale, UnknownLocaleError

from newsmill.search.tokens import fold
from newsmill.search.word_forms import LEMMATIZERS

# Behind lang:, by code, or by name in English, German and the language itself.
_OTHER_LANGUAGES = ("zh", "ja", "ko", "th", "vi", "bn", "ta", "te", "ur", "eu", "az", "kk", "uz", "af", "be", "my", "km", "lo", "pa", "mr")


def find_language(text: str) -> str | None:
    """The code that a text names, folded; None if it names no language.

    >>> find_language("German"), find_language("deutsch"), find_language("Español"), find_language("de_AT"), find_language("klingonish")
    ('de', 'de', 'es', 'de-at', None)
    """
    import langcodes  # its tables take 0.05 s of CPU, which most processes need not spend

    folded = fold(text.strip()).replace("_", "-")
    if folded in _english_and_german_names():
        return _english_and_german_names()[folded]
    if langcodes.tag_is_valid(folded):
        return folded
    return _native_names().get(folded)


@cache
def _english_and_german_names() -> Mapping[str, str]:
    import langcodes  # as above

    names = [(fold(name), code.lower().replace("_", "-")) for locale in ("de", "en") for code, name in Locale(locale).languages.items()]
    return {name: code for name, code in reversed(names) if langcodes.tag_is_valid(code)}


@cache
def _native_names() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for code in (*LEMMATIZERS, *_OTHER_LANGUAGES):
        try:
            name = Locale.parse(code).languages.get(code)
        except (UnknownLocaleError, ValueError):
            continue
        if name:
            found.setdefault(fold(name), code)
    return found
