"""The rows in which SQLite or Postgres holds an entry of the index. Pure."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import Any

from newsmill.search.index_entry import IndexEntry
from newsmill.search.positions import FIRST_DATED_MOMENT, MOMENTS_PER_SECOND
from newsmill.search.time_buckets import bucket_terms

BOUNDARY = "\ue004"  # a term between the words of a text and its synthetic terms in FTS5
MAX_POSITIONS_PER_WORD = 255  # that a tsvector keeps


def build_row(entry: IndexEntry, moment: int) -> dict[str, Any]:
    """The row of an entry for `search_entries`, without its words."""
    values = entry.facet_values
    return {
        "document_id": entry.document_id,
        "moment": moment,
        "source": entry.source,
        "lemmatizer": entry.lemmatizer,
        "language": values.language,
        "section": values.section,
        "authors": "\n".join(values.authors) or None,
        "type": values.type,
        "site": values.site,
    }


def build_column_texts(entry: IndexEntry, moment: int) -> dict[str, str]:
    """The words of an entry by column of FTS5. No phrase crosses the boundary to synthetic terms, which may begin with their character."""
    parts = zip(("title", "lead", "body"), (entry.title, entry.lead, entry.body), entry.synthetic, strict=True)
    return {
        "facets": " ".join([*entry.facets, *bucket_terms(moment)]),
        **{name: " ".join([*words, BOUNDARY, *terms] if terms else words) for name, words, terms in parts},
    }


def build_vector(entry: IndexEntry) -> dict[str, Any]:
    """The row of an entry for `search_entries`. No word or term contains a quotation mark or a backslash."""
    moment = entry.moment if entry.moment < FIRST_DATED_MOMENT else entry.moment + _moment_offset(entry.document_id)
    title, lead, body = (set(terms) for terms in entry.synthetic)
    words = [f"'{word}':{','.join(positions[:MAX_POSITIONS_PER_WORD])}" for word, positions in _word_positions(entry).items()]
    # A lexeme without a position would match every weight.
    terms = [f"'{term}':1{'A' if term in title else 'B' if term in lead else ''}" for term in title | lead | body]
    unweighted = [f"'{term}'" for term in (*entry.facets, *bucket_terms(moment))]
    return {**build_row(entry, moment), "vector": " ".join([*words, *terms, *unweighted])}


def _moment_offset(document_id: str) -> int:
    """An order of documents of one second that does not depend on the order of storage."""
    return int.from_bytes(hashlib.blake2b(document_id.encode(), digest_size=8).digest()) % MOMENTS_PER_SECOND


def _word_positions(entry: IndexEntry) -> dict[str, list[str]]:
    """The positions of each word with its weight: title A, lead B, body D. Parts are one position apart, so that no phrase crosses."""
    positions: dict[str, list[str]] = defaultdict(list)
    at = 1
    for part, weight in ((entry.title, "A"), (entry.lead, "B"), (entry.body, "")):
        for number, word in enumerate(part, at):
            positions[word].append(f"{number}{weight}")
        at += len(part) + 1
    return positions
