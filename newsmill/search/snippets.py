"""Snippets: the part of a text that shows a match."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from newsmill.search.highlights import Highlight, Highlighter, Snippet, TextRange

SNIPPET_CHARACTERS = 240  # three lines of a list of results
SEARCHED_CHARACTERS = 20_000  # of the text
EDGE_CHARACTERS = 25  # by which a snippet may be shorter or longer, to begin and end with whole words


def build_snippet(text: str, highlighter: Highlighter) -> Snippet:
    """About SNIPPET_CHARACTERS of the text around words of the query, in pieces: (piece, whether it is a highlight).

    Two parts of the text, if no part of this length has all words that the text has.
    """
    found = highlighter.find_each(text[:SEARCHED_CHARACTERS])
    parts = [_choose_part(text, found, SNIPPET_CHARACTERS)]
    if _list_missing(found, parts[0]):
        half = _choose_part(text, found, SNIPPET_CHARACTERS // 2)
        first, second = sorted((half, _choose_part(text, _list_missing(found, half), SNIPPET_CHARACTERS // 2)))
        parts = [first, second] if first[1] < second[0] else [(first[0], second[1])]
    pieces: list[tuple[str, bool]] = []
    for start, end in parts:
        if start or pieces:
            pieces.append((" … " if pieces else "… ", False))
        pieces += _cut_pieces(text, start, end, [span for span, _ in found])
    if parts[-1][1] < len(text):
        pieces.append((" …", False))
    return tuple(pieces)


def _list_missing(found: Sequence[Highlight], part: TextRange) -> list[Highlight]:
    """The highlights of terms that have none in a part of the text."""
    shown = {number for (start, end), number in found if part[0] <= start and end <= part[1]}
    return [one for one in found if one[1] not in shown]


def _choose_part(text: str, found: Sequence[Highlight], size: int) -> TextRange:
    """The part with the most terms close together, of about `size` characters; the earliest of them."""
    start = _choose_start(text, found, size)
    end = min(len(text), start + size)
    if end < len(text):
        at = end - EDGE_CHARACTERS
        end = max(text.rfind(" ", at, end), text.rfind("\n", at, end), at)
    return start, end


def _choose_start(text: str, found: Sequence[Highlight], size: int) -> int:
    if not found:
        return 0
    leading = size // 4  # before the first highlight
    terms = [
        len({number for (_, stop), number in found[at : at + 20] if stop <= start + size - leading})
        for at, ((start, _), _) in enumerate(found)
    ]
    first = found[max(range(len(found)), key=lambda at: (terms[at], -at))][0][0]
    start = first - leading
    if start <= EDGE_CHARACTERS:
        return 0
    line = text.rfind("\n", start, first)
    space = text.find(" ", start - EDGE_CHARACTERS, first)
    return line + 1 if line >= 0 else space + 1 if space >= 0 else start


def _cut_pieces(text: str, start: int, end: int, highlights: Sequence[TextRange]) -> Iterator[tuple[str, bool]]:
    at = start
    for left, right in highlights:
        if left < start or right > end:
            continue
        if left > at:
            yield _collapse_whitespace(text[at:left]), False
        yield _collapse_whitespace(text[left:right]), True
        at = right
    if at < end:
        yield _collapse_whitespace(text[at:end]), False


def _collapse_whitespace(piece: str) -> str:
    return re.sub(r"\s+", " ", piece)
