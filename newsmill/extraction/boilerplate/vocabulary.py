"""The word lists of vocabulary.toml as regular expressions. Contains no rule of its own."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files


@cache
def _load_tables() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads(files("newsmill.extraction.boilerplate").joinpath("vocabulary.toml").read_text("utf-8"))


def build_alternation(name: str) -> str:
    """One alternation of every expression in a table, all languages together: a page's language is rarely known for certain.

    Without a group of its own; longer expressions first, so that "written by" wins over "by".
    """
    words = {word for language in _load_tables()[name].values() for word in language}
    return "|".join(sorted(words, key=lambda word: (-len(word), word)))
