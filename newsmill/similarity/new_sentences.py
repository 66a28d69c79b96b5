"""The sentences of a text that tell what earlier texts did not. Pure.

A sentence counts by its words that no earlier text has, in any order: a rewritten sentence adds nothing, a new name or number does.
"""

from __future__ import annotations

from collections.abc import Set

from newsmill.similarity.near_duplicates import split_words
from newsmill.text import lazy_re as re

MIN_NEW_WORDS = 3
MIN_NEW_SHARE = 0.2  # of the words of a sentence
MIN_WORD_CHARACTERS = 3  # shorter words, unless they are numbers, are in every text
MAX_SENTENCE_CHARACTERS = 300

_SENTENCE_END = re.compile(r"(?<=[.!?…。！？])[\"'”’»)\]]*\s+|\n+|(?<=[。！？])")


def list_content_words(text: str) -> set[str]:
    """The words of a text that can be new."""
    return {word for word in split_words(text) if len(word) >= MIN_WORD_CHARACTERS or word.isdigit()}


def find_new_sentences(text: str, known: Set[str], limit: int) -> tuple[str, ...]:
    """The sentences with the most words that are not in `known`, at most `limit`, in the order of the text.

    >>> find_new_sentences("The bridge is closed. Engineers found cracks on Monday.", {"the", "bridge", "closed"}, 3)
    ('Engineers found cracks on Monday.',)
    """
    found = []
    for number, sentence in enumerate(filter(None, map(str.strip, _SENTENCE_END.split(text)))):
        words = list_content_words(sentence)
        new = len(words - known)
        if new >= MIN_NEW_WORDS and new >= MIN_NEW_SHARE * len(words):
            found.append((-new, number, sentence[:MAX_SENTENCE_CHARACTERS]))
    return tuple(sentence for _, number, sentence in sorted(sorted(found)[:limit], key=lambda one: one[1]))
