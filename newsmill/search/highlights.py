"""Highlights: where the words of a query are in a text."""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from newsmill.search.form_table import Forms, WordForms
from newsmill.search.parsed_query import Terms
from newsmill.search.tokens import BETWEEN_RUNS, WORD_END, WORD_LETTER, WORD_REST, WORD_START, fold, is_unspaced

Snippet = tuple[tuple[str, bool], ...]  # pieces of text, and whether the piece matches the query

MAX_HIGHLIGHTS = 200  # of one text

TextRange = tuple[int, int]
Highlight = tuple[TextRange, int]  # where it is, and the number of its term
_PIECES = re.compile(r"\S+|\s+")
_STARTS = re.compile(WORD_START)


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
