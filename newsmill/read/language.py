"""The language of the text as a BCP 47 tag."""

from __future__ import annotations

import re

import py3langid  # type: ignore[import-untyped]  # publishes no types

from newsmill.read.structured import Structured

_TAG = re.compile(r"\s*([A-Za-z]{2,3})(?:[-_]([A-Za-z]{4}))?(?:[-_]([A-Za-z]{2}|\d{3}))?(?=$|[^A-Za-z0-9])")
_NOT_LANGUAGES = {"und", "mul", "zxx", "mis", "xx"}
_OLD = {"iw": "he", "in": "id", "ji": "yi", "sh": "sr"}
ENOUGH = 200  # characters under which a statistical guess at the language is no better than chance
Found = tuple[str, str]


def find_language(page: Structured, text: str, fallback: str | None = None, hint: str | None = None) -> Found | None:
    """The tag and its source. What the page declares counts when its declarations agree; else the text itself is asked."""
    article = page.article or {}
    declared = [
        (tag, source)
        for value, source in (
            (article.get("inLanguage"), "json-ld"),
            (page.lang, "dom"),
            (page.first("og:locale", "content-language", "language", "dc.language", "inlanguage"), "meta"),
        )
        if (tag := bcp47(value)) is not None
    ]
    if declared and len({tag.split("-")[0] for tag, _ in declared}) == 1:
        return max(declared, key=lambda found: len(found[0]))
    if len(text) >= ENOUGH:
        guess = py3langid.classify(text[:4000])[0]
        return next((found for found in declared if found[0].split("-")[0] == guess), (guess, "text"))
    spare = (
        declared
        + [(tag, "feed") for value in (hint,) if (tag := bcp47(value))]
        + [(tag, "source") for value in (fallback,) if (tag := bcp47(value))]
    )
    return spare[0] if spare else None


def bcp47(value: object) -> str | None:
    """A language tag in its usual spelling ("de", "pt-BR", "zh-Hant-TW"), or None for what is none."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, dict):
        value = value.get("alternateName") or value.get("name")
    match = _TAG.match(value) if isinstance(value, str) else None
    if match is None or match.group(1).lower() in _NOT_LANGUAGES:
        return None
    language, script, region = match.groups()
    language = _OLD.get(language.lower(), language.lower())
    return "-".join(part for part in (language, script and script.title(), region and region.upper()) if part)
