"""Why the extraction removed a block, in the reader's language."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache

from newsmill.text.sentences import Sentence, fill
from newsmill.web.pages.sentence_translations import write_value
from newsmill.web.pages.translations import CATALOGUE_FOLDER


def translate_reason(reason: str, language: str) -> str | None:
    """Why the extraction removed a block, translated from its English reason or template; None without a translation.

    >>> translate_reason(Sentence("stands on {n} of {of} pages of this site", n=23, of=25), "de")
    'steht auf 23 von 25 Seiten dieser Website'
    """
    texts = load_reasons(language)
    if not isinstance(reason, Sentence):
        return texts.get(reason)
    template = texts.get(reason.template)
    values = {name: texts.get(value) if isinstance(value, str) else value for name, value in reason.values.items()}
    known = {name: value for name, value in values.items() if value is not None}
    return None if template is None or len(known) < len(values) else fill(template, known, write_value)


@cache
def load_reasons(language: str) -> Mapping[str, str]:
    """The reasons and their text in that language; empty for English."""
    file = CATALOGUE_FOLDER / f"reasons.{language}.toml"
    return tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
