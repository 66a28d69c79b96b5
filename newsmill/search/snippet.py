"""Hits: the documents of some positions, each with the piece of its text that shows why it matches."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, func, select

from newsmill.model import is_doubtful
from newsmill.search.entry import IndexPosition
from newsmill.search.forms import Forms
from newsmill.search.highlight import Highlighter, TextRange
from newsmill.search.lemmas import lemmatizer_of
from newsmill.search.query_nodes import Terms
from newsmill.search.records import Hit, Snippet
from newsmill.search.tokens import fold
from newsmill.storage.schema import documents

SNIPPET_CHARACTERS = 240  # three lines of a list of results
LEADING_CHARACTERS = 60  # of the snippet, before the first highlight
SEARCHED_CHARACTERS = 20_000  # of the text
EDGE_CHARACTERS = 25  # by which a snippet may be shorter or longer, to begin and end with whole words

_FIELDS = (
    "id",
    "url",
    "title",
    "source",
    "site_name",
    "language",
    "section",
    "image",
    "published_at",
    "first_seen_at",
    "word_count",
    "is_free",
    "gone_at",
)
_ROWS = select(
    *(documents.c[name] for name in (*_FIELDS, "confidence", "authors")),
    func.substr(documents.c.text, 1, SEARCHED_CHARACTERS).label("text"),
).where(documents.c.id.in_(bindparam("b_ids", expanding=True)))


def load_hits(conn: Connection, positions: Sequence[IndexPosition], terms: Sequence[Terms], forms: Forms) -> tuple[Hit, ...]:
    """The documents of some positions, in this order, without those that were deleted meanwhile."""
    rows = (
        {row["id"]: row for row in conn.execute(_ROWS, {"b_ids": [position[1] for position in positions]}).mappings()} if positions else {}
    )
    return tuple(_build_hit(rows[position[1]], terms, forms) for position in positions if position[1] in rows)


def _build_hit(row: RowMapping, terms: Sequence[Terms], forms: Forms) -> Hit:
    highlighter = Highlighter(terms, forms, lemmatizer_of(row["language"]))
    fields: dict[str, Any] = {name: row[name] for name in _FIELDS}
    authors = tuple(author["name"] for author in row["authors"])
    return Hit(
        **fields,
        authors=authors,
        doubtful=is_doubtful(row["confidence"]),
        title_snippet=highlighter.mark(row["title"] or "", is_title=True),
        snippet=build_snippet(row["text"], highlighter),
    )


def build_snippet(text: str, highlighter: Highlighter) -> Snippet:
    """About SNIPPET_CHARACTERS of the text around words of the query, in pieces: (piece, whether it is a highlight)."""
    highlights = highlighter.find(text[:SEARCHED_CHARACTERS])
    start = _snippet_start(text, highlights)
    end = min(len(text), start + SNIPPET_CHARACTERS)
    if end < len(text):
        end = max(
            text.rfind(" ", end - EDGE_CHARACTERS, end),
            text.rfind("\n", end - EDGE_CHARACTERS, end),
            start + SNIPPET_CHARACTERS - EDGE_CHARACTERS,
        )
    pieces = [("… ", False)] if start else []
    pieces += _cut_pieces(text, start, end, highlights)
    if end < len(text):
        pieces.append((" …", False))
    return tuple(pieces)


def _snippet_start(text: str, highlights: Sequence[TextRange]) -> int:
    """The start with the most distinct highlights close together; the earliest of them."""
    if not highlights:
        return 0
    best = max(range(len(highlights)), key=lambda at: (_count_distinct(text, highlights, at), -at))
    start = highlights[best][0] - LEADING_CHARACTERS
    if start <= EDGE_CHARACTERS:
        return 0
    line = text.rfind("\n", start, highlights[best][0])
    space = text.find(" ", start - EDGE_CHARACTERS, highlights[best][0])
    return line + 1 if line >= 0 else space + 1 if space >= 0 else start


def _count_distinct(text: str, highlights: Sequence[TextRange], at: int) -> int:
    """How many different words are highlighted in a snippet that begins with this highlight."""
    end = highlights[at][0] + SNIPPET_CHARACTERS - LEADING_CHARACTERS
    return len({fold(text[start:stop]) for start, stop in highlights[at : at + 20] if stop <= end})


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
