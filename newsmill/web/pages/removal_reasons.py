"""Why the extraction removed a block, in the reader's language."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache

from newsmill.web.pages.translations import CATALOGUE_FOLDER

_WITH_CONFIDENCE = re.compile(r"(.*) \((\d\.\d\d) sure\)")
_N_OF_M = re.compile(r"(\d+) of (\d+)")


def translate_reason(reason: str, language: str) -> str | None:
    """Why the extraction removed a block, translated from its English reason; None without a translation.

    >>> translate_reason("stands on 23 of 25 pages of this site", "de")
    'steht auf 23 von 25 Seiten dieser Website'
    """
    if match := _WITH_CONFIDENCE.fullmatch(reason):
        text = translate_reason(match[1], language)
        return text and f"{text} ({match[2].replace('.', ',')} {reason_translations(language)['sure']})"
    numbers = _N_OF_M.search(reason)
    translation = reason_translations(language).get(_N_OF_M.sub("{n} of {of}", reason, count=1))
    return translation and (translation.format(n=numbers[1], of=numbers[2]) if numbers else translation)


@cache
def reason_translations(language: str) -> Mapping[str, str]:
    """English reason → reason in that language; empty for English."""
    file = CATALOGUE_FOLDER / f"reasons.{language}.toml"
    return tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
