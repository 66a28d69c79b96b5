"""The words that extraction knows in texts (vocabulary.toml), by purpose and language."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from newsmill.text import lazy_re as re
from newsmill.text.caseless_re import CaselessPattern

_TABLE = re.compile(r"\{([a-z]\w*)\}")


@cache
def _load_tables() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads(files("newsmill.extraction").joinpath("vocabulary.toml").read_text("utf-8"))


def list_words(table: str) -> frozenset[str]:
    """Return the expressions of a table in all languages, because the language of a page is rarely certain."""
    return frozenset(word for language in _load_tables()[table].values() for word in language)


def build_alternation(table: str) -> str:
    """Return one alternation of all expressions of a table, without a group. "written by" comes before "by", because it is longer."""
    return "|".join(sorted(list_words(table), key=lambda word: (-len(word), word)))


def compile_words(form: str, *, ignores_case: bool = True) -> re.Pattern[str]:
    """Return the pattern of `form`, in which each table's name in braces stands for a group of the table's expressions.

    >>> compile_words(r"^{source_label}:").match("Quelle: dpa") is not None
    True
    """
    return re.compile(_insert_tables(form), re.IGNORECASE if ignores_case else 0)


def compile_rare_words(form: str) -> CaselessPattern:
    """Return the pattern of `form` as `compile_words` does, for a search through texts of which few have these words."""
    return CaselessPattern(_insert_tables(form))


def _insert_tables(form: str) -> str:
    return _TABLE.sub(lambda name: f"(?:{build_alternation(name[1])})", form)
