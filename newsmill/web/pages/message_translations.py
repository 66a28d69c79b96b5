"""Sentences of other parts of Newsmill in the reader's language.

Other parts write English, because programs and logs read it too. A catalogue has their sentences as patterns with {placeholders}; a value
that is itself such a sentence is translated too, and so is each part of a detail that joins several with "; ". {n} stands for a number.
A text without a pattern (of a server, of a library) stays English and is marked so.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from newsmill.web.pages.translations import CATALOGUE_FOLDER

MAX_MESSAGE_CHARACTERS = 2000  # a longer text is not one of our sentences
MAX_MESSAGE_DEPTH = 4  # sentences within sentences
MIN_LITERAL_CHARACTERS = 4  # of a pattern that stands for itself
SEPARATOR = "; "  # of the sentences of one detail
_PLACEHOLDER = re.compile(r"{(\w+)}")
_NUMBER = re.compile(r"[\d,.]+")
_GROUPED_NUMBER = re.compile(r"\d{1,3}(,\d{3})+")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A sentence: the text before, between and after its placeholders."""

    literals: Sequence[str]
    names: Sequence[str]
    translation: str

    @property
    def needs_sentence(self) -> bool:
        """Whether hardly any text is around the placeholders (`{key}: {error}`), so that it fits other texts too."""
        return sum(map(len, self.literals)) <= MIN_LITERAL_CHARACTERS

    @property
    def has_separator(self) -> bool:
        """Whether it is one sentence although it looks like joined ones."""
        return any(SEPARATOR in literal for literal in self.literals)

    def match(self, text: str) -> Mapping[str, str] | None:
        """The values of the placeholders, each as short as possible; None for another sentence. Takes linear time."""
        first, *others = self.literals
        if not text.startswith(first):
            return None
        at, values = len(first), {}
        for number, (name, literal) in enumerate(zip(self.names, others, strict=True), 1):
            is_last = number == len(self.names)
            end = len(text) - len(literal) if is_last else text.find(literal, at + 1)
            if end <= at or not text.startswith(literal, end):
                return None
            values[name], at = text[at:end], end + len(literal)
            if name == "n" and not _NUMBER.fullmatch(values[name]):
                return None
        return values if at == len(text) else None


@lru_cache(maxsize=2000)  # a page repeats a few details
def translate_message(text: str, language: str, depth: int = 0) -> str | None:
    """The sentence in that language; None if no pattern fits, and for English.

    >>> translate_message("homepage: not a host name: '..'", "de")
    "homepage: '..' ist kein Hostname"
    >>> translate_message("9 new, 0 known; the body is empty", "de")
    '9 neu, 0 bekannt; der Inhalt ist leer'
    """
    if len(text) > MAX_MESSAGE_CHARACTERS or depth > MAX_MESSAGE_DEPTH:
        return None
    patterns = load_patterns(language)
    if SEPARATOR not in text:
        return _match(text, patterns, language, depth)
    whole = _match(text, [pattern for pattern in patterns if pattern.has_separator], language, depth)
    return whole or _translate_parts(text, language, depth) or _match(text, patterns, language, depth)


def _match(text: str, patterns: Sequence[Pattern], language: str, depth: int) -> str | None:
    for pattern in patterns:
        if (values := pattern.match(text)) is not None:
            translated = {name: translate_message(value, language, depth + 1) for name, value in values.items()}
            if pattern.needs_sentence and not any(translated.values()):
                continue
            return pattern.translation.format_map({name: translated[name] or _write_number(value) for name, value in values.items()})
    return None


def _write_number(value: str) -> str:
    """A number such as 4,000 as it is written in German; any other value stays as it is."""
    return value.replace(",", ".") if _GROUPED_NUMBER.fullmatch(value) else value


def _translate_parts(text: str, language: str, depth: int) -> str | None:
    """The joined sentences, of which those without a pattern stay English; None if all of them do."""
    parts = text.split(SEPARATOR)
    translated = [translate_message(part, language, depth + 1) for part in parts]
    return SEPARATOR.join(new or part for new, part in zip(translated, parts, strict=True)) if any(translated) else None


@cache
def load_patterns(language: str) -> tuple[Pattern, ...]:
    """The patterns of a language, those with the most text first; none for English."""
    file = CATALOGUE_FOLDER / f"messages.{language}.toml"
    texts = tomllib.loads(file.read_text("utf-8")) if file.exists() else {}
    patterns = [Pattern(_PLACEHOLDER.split(key)[::2], _PLACEHOLDER.findall(key), text) for key, text in texts.items()]
    return tuple(sorted(patterns, key=lambda pattern: -sum(map(len, pattern.literals))))
