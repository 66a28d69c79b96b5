"""The results of a search: hits, a page of them, and the documents before and behind one of them.

The title and the snippet of a hit highlight the words of the query: the same words and forms that the index matches.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, bindparam, func, select

from newsmill.model import Author, AuthorType, Document, is_doubtful
from newsmill.model.document_fields import Use, list_fields
from newsmill.search.parsed_query import QueryNote, Remedy, Terms
from newsmill.search.positions import IndexPosition
from newsmill.search.relevance import MatchScore
from newsmill.search.tokens import BETWEEN_RUNS, WORD_END, WORD_LETTER, WORD_REST, WORD_START, fold, is_unspaced
from newsmill.search.word_forms import Forms, WordForms, lemmatizer_of
from newsmill.storage.schema import documents

MAX_TOTAL = 10_000  # counted exactly for a page of results; counting more costs more than finding the page

FIRST_PAGE = "first"  # in the place of a cursor, where None means that the page is unknown

Order = Literal["relevance", "newest"]
Step = Literal["hour", "day"]
Snippet = tuple[tuple[str, bool], ...]  # pieces of text, and whether the piece matches the query
FindPage = Callable[[str | None, int], tuple[list[str], str | None]]  # (cursor, size) → the ids of a page, and the cursor of the next one


@dataclass(frozen=True, slots=True)
class Hit:
    """A matching document, as a list of results shows it."""

    id: str
    url: str
    title: str | None
    source: str | None
    site_name: str | None
    language: str | None
    section: str | None
    image: str | None
    published_at: datetime | None
    published_precision: str | None  # second, minute, day
    first_seen_at: datetime
    authors: tuple[Author, ...]
    word_count: int
    is_free: bool | None
    doubtful: bool
    title_snippet: Snippet  # the whole title; empty without one
    snippet: Snippet
    gone_at: datetime | None = None
    score: MatchScore | None = None  # where a search was asked to explain the order
    copies: int = 0  # other matches of its group of copies, for which it stands


@dataclass(frozen=True, slots=True)
class SearchResults:
    """One page of hits."""

    hits: tuple[Hit, ...]
    cursor: str | None  # of the next page; None on the last
    total: int | None  # None: more than MAX_TOTAL match, or counting takes too long
    # Not None: a longer search would have exceeded its time limit. The page is short, possibly empty. Everything down to
    # this time was searched, and the cursor continues with older documents.
    reached: datetime | None = None
    notes: tuple[QueryNote, ...] = ()  # what is wrong with the query
    remedies: tuple[Remedy, ...] = ()  # where nothing is found: what may help
    suggestion: str | None = None  # where nothing is found: the query with a word of the index in place of a similar one


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A document of a list of results."""

    id: str
    cursor: str | None  # of its page; None: the first
    previous: str | None = None  # the cursor of the page before that, or FIRST_PAGE; None: unknown


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The documents before and behind one in a list of results."""

    previous: Neighbour | None = None
    next: Neighbour | None = None
    cursor: str | None = None  # of the page that the document itself is on
    previous_page: str | None = None  # before that one, as in Neighbour


@dataclass(frozen=True, slots=True)
class StoredHit:
    """A document from `iterate`; the cursor continues after it."""

    document: Document
    stored_at: datetime
    cursor: str


def find_neighbours(find: FindPage, document_id: str, cursor: str | None, previous: str | None, size: int) -> Neighbours:
    """The neighbours of a document on the page with this cursor, or on the page after it; see `Search.neighbours`."""
    ids, following = find(cursor, size)
    if document_id not in ids and following is not None:
        previous, cursor = cursor or FIRST_PAGE, following
        ids, following = find(cursor, size)
    if document_id not in ids:
        return Neighbours()
    at, before, behind = ids.index(document_id), None, None
    if at:
        before = Neighbour(ids[at - 1], cursor, previous)
    elif previous is not None:
        page = None if previous == FIRST_PAGE else previous
        before = next((Neighbour(last, page) for last in find(page, size)[0][-1:]), None)
    if at + 1 < len(ids):
        behind = Neighbour(ids[at + 1], cursor, previous)
    elif following is not None:
        behind = next((Neighbour(first, following, cursor or FIRST_PAGE) for first in find(following, 1)[0]), None)
    return Neighbours(before, behind, cursor, previous)


# ---- highlights and snippets -------------------------------------------------------------------------------------------------


MAX_HIGHLIGHTS = 200  # of one text

TextRange = tuple[int, int]
Highlight = tuple[TextRange, int]  # where it is, and the number of its term
_PIECES = re.compile(r"\S+|\s+")
_STARTS = re.compile(WORD_START)
SNIPPET_CHARACTERS = 240  # three lines of a list of results
SEARCHED_CHARACTERS = 20_000  # of the text
EDGE_CHARACTERS = 25  # by which a snippet may be shorter or longer, to begin and end with whole words

_HIT_FIELDS = tuple(name for name in list_fields(Use.HIT) if name not in ("authors", "doubtful"))  # those two need a conversion
_HIT_ROWS = select(
    *(documents.c[name] for name in (*_HIT_FIELDS, "confidence", "authors")),
    func.substr(documents.c.text, 1, SEARCHED_CHARACTERS).label("text"),
).where(documents.c.id.in_(bindparam("b_ids", expanding=True)))


@dataclass(frozen=True, slots=True)
class Highlighter:
    """Finds the words of a query in texts of one language."""

    terms: Sequence[Terms] = ()
    forms: Forms | None = None  # of the words, from the index
    lemmatizer: str = ""  # of the text's language

    def find(self, text: str, *, is_title: bool = False) -> list[TextRange]:
        """Where the text contains the terms, in order, without overlaps. Terms of `title:` are found in a title only."""
        return [span for span, _ in self.find_each(text, is_title=is_title)]

    def find_each(self, text: str, *, is_title: bool = False) -> list[Highlight]:
        """The same, each with the number of the term."""
        terms = [term for term in self.terms if is_title or term.part != "title"]
        if not text or not terms:
            return []
        folded = fold_with_positions(text)
        found = {(folded.original(span), number) for number, term in enumerate(terms) for span in self._find_terms(term, folded.folded)}
        return _drop_overlaps(sorted(found, key=lambda one: (one[0][0], -one[0][1], one[1])))[:MAX_HIGHLIGHTS]

    def mark(self, text: str, *, is_title: bool = False) -> Snippet:
        """The whole text in pieces: (piece, whether it is a highlight)."""
        pieces, at = [], 0
        for start, end in self.find(text, is_title=is_title):
            pieces += [(text[at:start], False), (text[start:end], True)]
            at = end
        return tuple(piece for piece in (*pieces, (text[at:], False)) if piece[0])

    def _find_terms(self, term: Terms, folded: str) -> Iterator[TextRange]:
        """Word starts are checked last: a pattern that begins with a word is ten times as fast as one that begins with a look-behind.

        For the same reason each form is searched alone, and only where the text contains its letters.
        """
        if term.exact:
            yield from _find_pattern(term, folded)
            return
        (word,) = term.words
        for form in {*term.runs, *(self.forms or {}).get(word, WordForms()).forms(self.lemmatizer)}:
            if form in folded:
                yield from _match(f"{re.escape(form)}{WORD_END}", folded, is_spaced=True)


@dataclass(frozen=True, slots=True)
class FoldedText:
    """A folded text, and for each of its characters where the one that it stands for begins and ends; None: everything in its place."""

    folded: str
    starts: Sequence[int] | None = None
    ends: Sequence[int] | None = None

    def original(self, span: TextRange) -> TextRange:
        """The range of the text before folding."""
        if self.starts is None or self.ends is None:
            return span
        return self.starts[span[0]], self.ends[span[1] - 1]


def fold_with_positions(text: str) -> FoldedText:
    """The folded text with the way back: "ß" becomes two characters, an accent that is a character of its own becomes none."""
    folded = fold(text)
    if len(folded) == len(text):
        return FoldedText(folded)
    pieces: list[str] = []
    starts, ends, at = array("l"), array("l"), 0
    for piece in _PIECES.findall(text):  # words and what is between them
        folded = fold(piece)
        characters = [(folded, at)] if len(folded) == len(piece) else _fold_clusters(piece, at)
        for number, (part, begin) in enumerate(characters):
            pieces.append(part)
            if len(characters) == 1 and len(part) == len(piece):
                starts.extend(range(at, at + len(piece)))
                ends.extend(range(at + 1, at + len(piece) + 1))
            else:
                end = characters[number + 1][1] if number + 1 < len(characters) else at + len(piece)
                starts.extend([begin] * len(part))
                ends.extend([end] * len(part))
        at += len(piece)
    return FoldedText("".join(pieces), starts, ends)


def _fold_clusters(piece: str, at: int) -> list[tuple[str, int]]:
    """Each character with the marks behind it: folded, and where it begins."""
    begins = [number for number, character in enumerate(piece) if number == 0 or not unicodedata.combining(character)]
    return [(fold(piece[begin:end]), at + begin) for begin, end in zip(begins, [*begins[1:], len(piece)], strict=True)]


def _find_pattern(term: Terms, folded: str) -> Iterator[TextRange]:
    last = len(term.runs) - 1
    pattern = BETWEEN_RUNS.join(_run_pattern(run, term.prefix and number == last) for number, run in enumerate(term.runs))
    return _match(pattern, folded, is_spaced=not is_unspaced(term.runs[0]))


def _match(pattern: str, folded: str, *, is_spaced: bool) -> Iterator[TextRange]:
    found = re.finditer(pattern, folded)
    return (match.span() for match in found if not is_spaced or _STARTS.match(folded, match.start()))


def _run_pattern(run: str, is_prefix: bool) -> str:
    if is_unspaced(run):
        return re.escape(run)
    # The letters of one long word may be many beginnings of it, and each would read the rest.
    rest = f"(?<!{WORD_LETTER}{re.escape(run)}){WORD_REST}" if is_prefix else ""
    return f"{re.escape(run)}{rest}{WORD_END}"


def _drop_overlaps(found: Sequence[Highlight]) -> list[Highlight]:
    kept: list[Highlight] = []
    for (start, end), number in found:
        if not kept or start >= kept[-1][0][1]:
            kept.append(((start, end), number))
    return kept


def load_hits(conn: Connection, positions: Sequence[IndexPosition], terms: Sequence[Terms], forms: Forms) -> tuple[Hit, ...]:
    """The documents of some positions, in this order, without those that were deleted meanwhile."""
    ids = [position[1] for position in positions]
    rows = {row["id"]: row for row in conn.execute(_HIT_ROWS, {"b_ids": ids}).mappings().all()} if ids else {}
    return tuple(_build_hit(rows[position[1]], terms, forms) for position in positions if position[1] in rows)


def _build_hit(row: RowMapping, terms: Sequence[Terms], forms: Forms) -> Hit:
    highlighter = Highlighter(terms, forms, lemmatizer_of(row["language"]))
    fields: dict[str, Any] = {name: row[name] for name in _HIT_FIELDS}
    authors = tuple(Author(author["name"], AuthorType(author["type"])) for author in row["authors"])
    return Hit(
        **fields,
        authors=authors,
        doubtful=is_doubtful(row["confidence"]),
        title_snippet=highlighter.mark(row["title"] or "", is_title=True),
        snippet=build_snippet(row["text"], highlighter),
    )


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
