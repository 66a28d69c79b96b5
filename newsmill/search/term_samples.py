"""Samples of texts whose terms are compared."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, func, select, text

from newsmill.search.backend import Backend
from newsmill.search.positions import IndexPosition, Span
from newsmill.search.tokens import fold, is_unspaced, is_word, split_words, tokenize
from newsmill.storage.schema import documents

LEAD_CHARACTERS = 300
MAX_COUNTED = 100_000  # documents of a period among which is sampled; the newest
MIN_TERM_CHARACTERS = 2
SAME_BEGINNING_WORDS = 12
STATEMENT_VALUES = 500

IDS: BindParameter[Any] = bindparam("b_ids", expanding=True)
_TEXTS = select(
    documents.c.id, documents.c.title, documents.c.description, func.substr(documents.c.text, 1, LEAD_CHARACTERS).label("lead")
).where(documents.c.id.in_(IDS))
_IN_SPAN = "moment >= :lower AND moment < :upper"
_LANGUAGES = text(f"SELECT language, count(*) AS n FROM search_entries WHERE {_IN_SPAN} AND language IS NOT NULL GROUP BY 1")
# Document ids are hashes, so that an upper bound of the id draws a random sample.
_SAMPLE = text(f"""SELECT document_id, source, site FROM search_entries
WHERE {_IN_SPAN} AND language = :language AND document_id < :below ORDER BY moment DESC LIMIT :limit""")
_ID_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Text:
    """The words of one document's title, description and first paragraph: folded → as written."""

    words: Mapping[str, str]
    source: str


def newest_part(conn: Connection, backend: Backend, span: Span) -> Span:
    """A span without what comes before its newest MAX_COUNTED documents."""
    lower: IndexPosition | None = backend.nth_position(conn, span, MAX_COUNTED)
    return span if lower is None else Span(lower, span.upper)


def _bounds(span: Span) -> dict[str, int]:
    return {"lower": span.lower[0], "upper": span.upper[0]}


def count_languages(conn: Connection, span: Span) -> Counter[str]:
    return Counter({row.language: row.n for row in conn.execute(_LANGUAGES, _bounds(span))})


def read_texts(conn: Connection, span: Span, language: str, count: int, limit: int) -> list[Text]:
    """The distinct texts of a random sample of a span's documents in a language."""
    share = min(1.0, limit / max(1, count))
    below = "g" if share == 1 else f"{int(share * 16**_ID_DIGITS):0{_ID_DIGITS}x}"
    rows = conn.execute(_SAMPLE, {**_bounds(span), "language": language, "below": below, "limit": 2 * limit}).all()
    sources = {row.document_id: row.source or row.site or "" for row in rows}
    texts, seen = [], set[tuple[str, ...]]()
    for row in _rows_of(conn, list(sources)):
        pieces = [" ".join(filter(None, (row.title, row.description))), row.lead]
        words = {} if row.title is None else dict(_list_words(" . ".join(pieces)))
        keys = {("title", fold(row.title or row.id)), ("text", *islice(map(fold, split_words(row.lead)), SAME_BEGINNING_WORDS))}
        if words and not keys & seen:
            texts.append(Text(words, sources[row.id]))
        seen |= keys
    return texts


def _rows_of(conn: Connection, ids: Sequence[str]) -> Iterator[Any]:
    for at in range(0, len(ids), STATEMENT_VALUES):
        yield from conn.execute(_TEXTS, {"b_ids": ids[at : at + STATEMENT_VALUES]})


def _list_words(text: str) -> Iterator[tuple[str, str]]:
    """The words of a text, folded and as they are written. Runs of an unspaced script are pairs of characters."""
    for word in split_words(unicodedata.normalize("NFC", text)):
        folded = fold(word)
        if is_word(folded):
            if len(folded) >= MIN_TERM_CHARACTERS and not folded[0].isdecimal():
                yield folded, word
        elif any(map(is_unspaced, folded)):
            yield from ((pair, pair) for pair in tokenize(word) if len(pair) > 1 and is_unspaced(pair))
