"""Fills the markup in templates/: `$name` is a placeholder, also for the words of the page's language."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from html import escape
from pathlib import Path
from string import Template

HERE = Path(__file__).parent
WORDS: Mapping[str, Mapping[str, str]] = tomllib.loads((HERE / "words.toml").read_text("utf-8"))


@cache
def _template(name: str) -> Template:
    return Template((HERE / "templates" / name).read_text("utf-8"))


def fill(name: str, language: str = "de", /, **values: str) -> str:
    """The template with its placeholders filled. Raises KeyError for a placeholder without a value."""
    return _template(name).substitute(WORDS[language] | values)


def text(value: str) -> str:
    """The text escaped for use between tags."""
    return escape(value, quote=False)


def date_in_words(when: datetime, language: str) -> str:
    """ "20. November 2026"; the newspaper appears from September to November only."""
    words = WORDS[language]
    return words["date"].format(day=when.day, month=words["months"][when.month - 9], year=when.year)
