"""Why a block of a page went, in the reader's language: read/ says it in English, and what has no translation stays so."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache

from newsmill.web.pages.translations import FOLDER

_SURE = re.compile(r"(.*) \((\d\.\d\d) sure\)")
_OF = re.compile(r"(\d+) of (\d+)")


@cache
def translations(language: str) -> Mapping[str, str]:
    """English → that language; empty for English itself."""
    file = FOLDER / f"reasons.{language}.toml"
    return tomllib.loads(file.read_text("utf-8")) if file.exists() else {}


def in_words(reason: str, language: str) -> str | None:
    """The reason in a language, None where it is known in English only.

    >>> in_words("stands on 23 of 25 pages of this site", "de")
    'steht auf 23 von 25 Seiten dieser Website'
    """
    if sure := _SURE.fullmatch(reason):
        why = in_words(sure[1], language)
        return why and f"{why} ({sure[2].replace('.', ',')} {translations(language)['sure']})"
    counted = _OF.search(reason)
    found = translations(language).get(_OF.sub("{n} of {of}", reason, count=1))
    return found and (found.format(n=counted[1], of=counted[2]) if counted else found)
