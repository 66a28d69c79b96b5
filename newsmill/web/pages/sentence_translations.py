"""Sentences of other parts of Newsmill in the reader's language.

The catalogue has the German text of each template. A value that is itself a sentence is translated too. A text that is no sentence of the
program (of a server, of a library) stays English and is marked so.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache

from newsmill.text.sentences import Sentence, Value, fill, is_neutral
from newsmill.web.pages.translations import CATALOGUE_FOLDER

_GERMAN_NUMBER = str.maketrans(",.", ".,")


def translate_sentence(text: str, language: str) -> str | None:
    """The sentence in that language; None if the catalogue has no text for it, and for English.

    >>> translate_sentence(Sentence("{new} new, {known} known", new=9, known=0), "de")
    '9 neu, 0 bekannt'
    >>> translate_sentence(Sentence("longer than {n:,} characters", n=4000), "de")
    'länger als 4.000 Zeichen'
    """
    if not isinstance(text, Sentence):
        return None
    translated = {name: translate_sentence(value, language) for name, value in text.values.items() if isinstance(value, Sentence)}
    template = load_catalogue(language).get(text.template)
    if template is None:
        if not is_neutral(text.template) or not any(translated.values()):
            return None
        template = text.template
    return fill(template, {name: translated.get(name) or value for name, value in text.values.items()}, write_value)


def write_value(value: Value, spec: str) -> str:
    """A number as it is written in German: 4.000, 0,5. Any other value as it is."""
    return format(value, spec).translate(_GERMAN_NUMBER) if spec or isinstance(value, float) else str(value)


@cache
def load_catalogue(language: str) -> Mapping[str, str]:
    """The templates of sentences and their text in that language; empty for English."""
    file = CATALOGUE_FOLDER / f"sentences.{language}.toml"
    return tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
