"""Tables of words: how often each word occurs, and each place of a keyword with the text around it. CSV, for spreadsheets and scripts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import BinaryIO

from newsmill.exceptions import ConfigError
from newsmill.exports.cells import format_cell
from newsmill.exports.csv_tables import encode_csv_row
from newsmill.model import Document

CONTEXT_CHARACTERS = 80  # on either side of a keyword
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")  # letters; apostrophes and hyphens inside a word belong to it
KEYWORD_COLUMNS = ("before", "keyword", "after", "id", "title", "source", "published_at", "url")


def write_word_counts(out: BinaryIO, documents: Iterable[Document]) -> None:
    """Write each word in lower case with its documents and occurrences in their texts, the most frequent first."""
    occurrences, containing = Counter[str](), Counter[str]()
    for document in documents:
        words = Counter(_WORD.findall(document.text.lower()))
        occurrences.update(words)
        containing.update(words.keys())
    out.write(encode_csv_row(["word", "documents", "occurrences"]))
    for word, number in sorted(occurrences.items(), key=lambda one: (-one[1], one[0])):
        out.write(encode_csv_row([format_cell(word), str(containing[word]), str(number)]))


def write_keyword_lines(out: BinaryIO, documents: Iterable[Document], keyword: str) -> int:
    """Write each place of the keyword with the text on either side, and return their number. Raises ConfigError without a letter."""
    pattern, count = build_pattern(keyword), 0
    out.write(encode_csv_row(KEYWORD_COLUMNS))
    for document in documents:
        text = " ".join(document.text.split())
        facts = (document.id, document.title, document.source, document.published_at, document.url)
        for found in pattern.finditer(text):
            start, end = found.span()
            around = (text[max(start - CONTEXT_CHARACTERS, 0) : start], found[0], text[end : end + CONTEXT_CHARACTERS])
            out.write(encode_csv_row([format_cell(cell) for cell in (*around, *facts)]))
            count += 1
    return count


def build_pattern(keyword: str) -> re.Pattern[str]:
    """The pattern of a word or several in a row, in upper or lower case; `*` at the end of a word stands for its other letters.

    >>> build_pattern("house pric*").findall("House prices. A lighthouse price. House-price")
    ['House prices', 'House-price']
    """
    words = [re.escape(word.rstrip("*")) + (r"\w*" if word.endswith("*") else "") for word in keyword.split() if word.strip("*")]
    if not words:
        raise ConfigError("--keyword expects a word, or several in a row")
    return re.compile(r"(?<!\w)" + r"\W+".join(words) + r"(?!\w)", re.IGNORECASE)
