"""The words that extraction knows in texts (vocabulary.toml), by purpose and language."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files


@cache
def _load_tables() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads(files("newsmill.extraction").joinpath("vocabulary.toml").read_text("utf-8"))


def build_alternation(name: str) -> str:
    """Return one alternation of all expressions in a table, in all languages, because the language of a page is rarely certain.

    The result has no group. Longer expressions come first, so that "written by" takes precedence over "by".
    """
    words = {word for language in _load_tables()[name].values() for word in language}
    return "|".join(sorted(words, key=lambda word: (-len(word), word)))
