"""Hits: the documents of some positions, each with the piece of its text that shows why it matches."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, func, select

from newsmill.model import is_doubtful
from newsmill.search.entry import IndexPosition
from newsmill.search.query import Terms
from newsmill.search.records import Hit, Snippet
from newsmill.search.tokens import BETWEEN_RUNS, WORD_END, WORD_START, fold, is_unspaced
from newsmill.storage.schema import documents

SNIPPET_CHARACTERS = 240  # three lines of a list of results
LEADING_CHARACTERS = 60  # of the snippet, before the first highlight
SEARCHED_CHARACTERS = 20_000  # of the text
MAX_HIGHLIGHTS = 200
EDGE_CHARACTERS = 25  # by which a snippet may be shorter or longer, to begin and end with whole words

TextRange = tuple[int, int]
_STARTS = re.compile(WORD_START)
_FIELDS = ("id", "url", "title", "source", "site_name", "language", "section", "published_at", "first_seen_at", "word_count", "is_free")
_ROWS = select(
    *(documents.c[name] for name in (*_FIELDS, "confidence", "authors")),
    func.substr(documents.c.text, 1, SEARCHED_CHARACTERS).label("text"),
).where(documents.c.id.in_(bindparam("b_ids", expanding=True)))


def load_hits(conn: Connection, positions: Sequence[IndexPosition], terms: Sequence[Terms]) -> tuple[Hit, ...]:
    """The documents of some positions, in this order, without those that were deleted meanwhile."""
    rows = (
        {row["id"]: row for row in conn.execute(_ROWS, {"b_ids": [position[1] for position in positions]}).mappings()} if positions else {}
    )
    return tuple(_build_hit(rows[position[1]], terms) for position in positions if position[1] in rows)


def _build_hit(row: RowMapping, terms: Sequence[Terms]) -> Hit:
    fields: dict[str, Any] = {name: row[name] for name in _FIELDS}
    authors = tuple(author["name"] for author in row["authors"])
    return Hit(**fields, authors=authors, doubtful=is_doubtful(row["confidence"]), snippet=build_snippet(row["text"], terms))


def build_snippet(text: str, terms: Sequence[Terms]) -> Snippet:
    """About SNIPPET_CHARACTERS of the text around words of the query, in pieces: (piece, whether it is a highlight)."""
    highlights = find_highlights(text[:SEARCHED_CHARACTERS], terms)
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


def find_highlights(text: str, terms: Sequence[Terms]) -> list[TextRange]:
    """Where the text contains the terms, in order, without overlaps.

    Other forms of a word, which the stemmer equates, are highlighted only where the text does not contain the word itself. They are
    recognised by their common beginning.
    """
    if not text:
        return []
    folded = _fold_aligned(text)
    found: set[TextRange] = set()
    for term in terms:
        found |= _find_terms(term, folded, is_loose=False) or _find_terms(term, folded, is_loose=True)
    return _drop_overlaps(sorted(found))[:MAX_HIGHLIGHTS]


def _fold_aligned(text: str) -> str:
    """The folded text, every character in its place. Of a longer folded form only the first character stays."""
    folded = fold(text)
    if len(folded) == len(text):
        return folded
    return "".join(folded[:1] or " " for folded in map(fold, text))


def _find_terms(terms: Terms, folded: str, is_loose: bool) -> set[TextRange]:
    """Word starts are checked last: a pattern that begins with a word is ten times as fast as one that begins with a look-behind."""
    is_spaced = not is_unspaced(terms.runs[0])
    found = re.finditer(_pattern(terms, is_loose), folded)
    return {match.span() for match in found if not is_spaced or _STARTS.match(folded, match.start())}


def _pattern(terms: Terms, is_loose: bool) -> str:
    last = len(terms.runs) - 1
    return BETWEEN_RUNS.join(_run_pattern(run, is_loose, terms.prefix and number == last) for number, run in enumerate(terms.runs))


def _run_pattern(run: str, is_loose: bool, is_prefix: bool) -> str:
    run = _fold_aligned(run)
    if is_unspaced(run):
        return re.escape(run)
    if not is_loose:
        return f"{re.escape(run)}{'' if is_prefix else WORD_END}"
    # "policies" and "policy", "runs" and "running": the beginning and a suffix, as in English, German or Spanish.
    return rf"{re.escape(run[: max(3, len(run) - 4)])}\w{{0,4}}{WORD_END}"


def _drop_overlaps(found: Sequence[TextRange]) -> list[TextRange]:
    kept: list[TextRange] = []
    for start, end in found:
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return kept


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
