"""Runs of combining marks, limited so that Unicode's normal forms take linear time."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import regex

# Marks on one letter: the limit of the Stream-Safe Text Format (UAX 15, section 13). To sort a longer run takes quadratic time.
MAX_MARKS = 30
MIN_LONG_CHARACTERS = 1_000  # of a text; the marks of a shorter one take at most 2 ms


def limit_marks(text: str) -> str:
    """Return the text with at most MAX_MARKS combining marks in a row; shorter texts as they are. Call it before a normal form is made.

    >>> len(limit_marks("a" + 2_000 * chr(0x301)))
    31
    """
    return text if len(text) < MIN_LONG_CHARACTERS or text.isascii() else _long_run().sub(r"\1", text)


@cache
def _long_run() -> regex.Pattern[str]:
    # regex costs 0.04 s of CPU, which processes without long texts need not spend
    import regex

    return regex.compile(rf"([^\p{{ccc=0}}]{{{MAX_MARKS}}})[^\p{{ccc=0}}]+")
