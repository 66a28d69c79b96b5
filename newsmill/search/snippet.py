"""The piece of a text that shows why it was found. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, func, select

from newsmill.model import is_doubtful
from newsmill.search.positions import IndexPosition
from newsmill.search.query import Terms
from newsmill.search.records import Hit, Snippet
from newsmill.search.tokens import BETWEEN_RUNS, WORD_END, WORD_START, fold, is_unspaced
from newsmill.storage.schema import documents

SNIPPET_CHARACTERS = 240  # characters: three lines of a list of results
LEADING_CHARACTERS = 60  # characters of it before the first word that is marked
SEARCHED_CHARACTERS = 20_000  # characters of a text that are looked through for it
MAX_HIGHLIGHTS = 200
EDGE_CHARACTERS = 25  # characters by which a piece may be shorter or longer, to begin and end with whole words

TextRange = tuple[int, int]
_STARTS = re.compile(WORD_START)


def build_snippet(text: str, wanted: Sequence[Terms]) -> Snippet:
    """About LENGTH characters of the text around words that were looked for, in pieces: (piece, whether it is such a word)."""
    marked = find_highlights(text[:SEARCHED_CHARACTERS], wanted)
    start = _snippet_start(text, marked)
    end = min(len(text), start + SNIPPET_CHARACTERS)
    if end < len(text):
        end = max(
            text.rfind(" ", end - EDGE_CHARACTERS, end),
            text.rfind("\n", end - EDGE_CHARACTERS, end),
            start + SNIPPET_CHARACTERS - EDGE_CHARACTERS,
        )
    pieces = [("… ", False)] if start else []
    pieces += _cut_pieces(text, start, end, marked)
    if end < len(text):
        pieces.append((" …", False))
    return tuple(pieces)


def find_highlights(text: str, wanted: Sequence[Terms]) -> list[TextRange]:
    """Where in the text what is looked for stands, in order, without overlaps.

    Other forms of a word (a stemmer took them for the same) are marked only where the word itself stands nowhere: what they have in common
    is then judged by their beginning.
    """
    if not text:
        return []
    folded = _fold_aligned(text)
    found: set[TextRange] = set()
    for words in wanted:
        found |= _find_terms(words, folded, loose=False) or _find_terms(words, folded, loose=True)
    return _drop_overlaps(sorted(found))[:MAX_HIGHLIGHTS]


def _fold_aligned(text: str) -> str:
    """The folded text, every character where it was. A character whose folded form is longer is kept by the first of it."""
    folded = fold(text)
    if len(folded) == len(text):
        return folded
    return "".join(folded[:1] or " " for folded in map(fold, text))


def _find_terms(words: Terms, folded: str, loose: bool) -> set[TextRange]:
    """The beginning is looked at last: a pattern that begins with a word is found ten times as fast as one that looks behind itself."""
    spaced = not is_unspaced(words.runs[0])
    found = re.finditer(_pattern(words, loose), folded)
    return {match.span() for match in found if not spaced or _STARTS.match(folded, match.start())}


def _pattern(words: Terms, loose: bool) -> str:
    said = [_run_pattern(run, loose, words.prefix and at == len(words.runs) - 1) for at, run in enumerate(words.runs)]
    return BETWEEN_RUNS.join(said)


def _run_pattern(run: str, loose: bool, prefix: bool) -> str:
    run = _fold_aligned(run)
    if is_unspaced(run):
        return re.escape(run)
    if not loose:
        return f"{re.escape(run)}{'' if prefix else WORD_END}"
    # "policies" and "policy", "runs" and "running": the beginning, and an ending as English, German or Spanish have them.
    return rf"{re.escape(run[: max(3, len(run) - 4)])}\w{{0,4}}{WORD_END}"


def _drop_overlaps(found: Sequence[TextRange]) -> list[TextRange]:
    apart: list[TextRange] = []
    for start, end in found:
        if not apart or start >= apart[-1][1]:
            apart.append((start, end))
    return apart


def _snippet_start(text: str, marked: Sequence[TextRange]) -> int:
    """Where most of what is marked stands close together; the earliest such place."""
    if not marked:
        return 0
    best = max(range(len(marked)), key=lambda at: (_count_distinct(text, marked, at), -at))
    wanted = marked[best][0] - LEADING_CHARACTERS
    if wanted <= EDGE_CHARACTERS:
        return 0
    line = text.rfind("\n", wanted, marked[best][0])
    space = text.find(" ", wanted - EDGE_CHARACTERS, marked[best][0])
    return line + 1 if line >= 0 else space + 1 if space >= 0 else wanted


def _count_distinct(text: str, marked: Sequence[TextRange], at: int) -> int:
    """How many different words are marked within a snippet that begins with this one."""
    end = marked[at][0] + SNIPPET_CHARACTERS - LEADING_CHARACTERS
    return len({fold(text[start:stop]) for start, stop in marked[at : at + 20] if stop <= end})


def _cut_pieces(text: str, start: int, end: int, marked: Sequence[TextRange]) -> Iterator[tuple[str, bool]]:
    at = start
    for left, right in marked:
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


# From places in the index to hits.

_FIELDS = ("id", "url", "title", "source", "site_name", "language", "section", "published_at", "first_seen_at", "word_count", "is_free")
_ROWS = select(
    *(documents.c[name] for name in (*_FIELDS, "confidence", "authors")),
    func.substr(documents.c.text, 1, SEARCHED_CHARACTERS).label("text"),
).where(documents.c.id.in_(bindparam("b_ids", expanding=True)))


def load_hits(conn: Connection, places: Sequence[IndexPosition], wanted: Sequence[Terms]) -> tuple[Hit, ...]:
    """The documents of some places, in their order; one that has just vanished is left out."""
    rows = {row["id"]: row for row in conn.execute(_ROWS, {"b_ids": [place[1] for place in places]}).mappings()} if places else {}
    return tuple(_build_hit(rows[place[1]], wanted) for place in places if place[1] in rows)


def _build_hit(row: RowMapping, wanted: Sequence[Terms]) -> Hit:
    fields: dict[str, Any] = {name: row[name] for name in _FIELDS}
    authors = tuple(author["name"] for author in row["authors"])
    return Hit(**fields, authors=authors, doubtful=is_doubtful(row["confidence"]), snippet=build_snippet(row["text"], wanted))
